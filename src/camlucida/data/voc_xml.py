"""Bounding boxes from XML in the format of Pascal VOC, which ImageNet and Stanford Dogs also use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from camlucida.data.location import Location
from camlucida.data.object_metadata import plain_values
from camlucida.errors import DataError

TRUTH_VALUES = ("truncated", "difficult", "occluded")
"""Elements of an object that are 0 or 1."""
UNSPECIFIED = "Unspecified"
"""The pose of an object without one."""


@dataclass(frozen=True)
class AnnotatedObject:
    """One annotated object: its class name and its box, with the coordinates as in the file.

    Attributes:
        name: Name of its class.
        box: Left, top, right, bottom.
        difficult: Whether it is marked as difficult to recognise.
        attributes: What else is written of it: pose, truncated, difficult, occluded, and others by their names.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def area(self) -> float:
        """Return the area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def read_voc_xml(file: Location) -> list[AnnotatedObject]:
    """Return the objects in a file. Raises `DataError`, which names the file and the error."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file.name} is missing in {file.parent}") from None
    except OSError as error:
        raise DataError(f"cannot read {file}: {error}") from None
    if b"<!ENTITY" in content:  # entity expansion can exhaust the memory
        raise DataError(f"{file.name} defines entities, which annotations must not do, so it is not read")
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{file.name} is not XML: {error}") from None
    return [_parse_object(element, file) for element in tree.iter("object")]


def _parse_object(element: ElementTree.Element, file: Location) -> AnnotatedObject:
    values = [element.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
    except ValueError:
        raise DataError(f"{file.name}: a box must be four numbers, not {', '.join(map(repr, values))}") from None
    difficult = element.findtext("difficult", "0").strip() == "1"
    return AnnotatedObject(element.findtext("name", "").strip(), (x0, y0, x1, y1), difficult, _attributes(element))


def _attributes(element: ElementTree.Element) -> dict[str, Any]:
    """Return the attributes of an object that have one value; truth values are written as 0 and 1."""
    texts = {child.tag: (child.text or "").strip() for child in element if len(child) == 0 and child.tag != "name"}
    return plain_values(
        {
            name: text == "1" if name in TRUTH_VALUES and text in ("0", "1") else text
            for name, text in texts.items()
            if text != UNSPECIFIED
        }
    )
