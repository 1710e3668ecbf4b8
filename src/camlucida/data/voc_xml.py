"""Boxes from XML, as Pascal VOC writes it and ImageNet and Stanford Dogs do after it."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from camlucida.data.location import Location
from camlucida.errors import DataError


@dataclass(frozen=True)
class AnnotatedObject:
    """One object: its class's name and its box, as the numbers stand in the file."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def read_voc_xml(file: Location) -> list[AnnotatedObject]:
    """The objects in a file. Raises `DataError` that names it and says what is wrong."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file.name} is missing in {file.parent}") from None
    except OSError as error:
        raise DataError(f"cannot read {file}: {error}") from None
    if b"<!ENTITY" in content:  # a few lines of those can fill the memory, and no annotation needs one
        raise DataError(f"{file.name} defines entities, which no annotation does: it is not read")
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{file.name} is no XML: {error}") from None
    return [_parse_object(element, file) for element in tree.iter("object")]


def _parse_object(element: ElementTree.Element, file: Location) -> AnnotatedObject:
    values = [element.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
    except ValueError:
        raise DataError(f"{file.name}: a box is four numbers, not {', '.join(map(repr, values))}") from None
    difficult = element.findtext("difficult", "0").strip() == "1"
    return AnnotatedObject(element.findtext("name", "").strip(), (x0, y0, x1, y1), difficult)
