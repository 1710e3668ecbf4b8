"""The built-in dataset: cartoon scenes rendered on demand, with exact masks, boxes and parts.

Example:
    from camlucida.data import toybox

    scene = toybox.scene(7, kinds=["cat", "dog"], objects=2)
    drawing = scene.draw()                          # image, masks, boxes, parts
    earless = scene.without_part(0, "ears").draw()  # all other pixels are identical
"""

from __future__ import annotations

from camlucida.data.toybox.kinds import Kind, Part
from camlucida.data.toybox.palette import ObjectColours
from camlucida.data.toybox.sampling import WATERMARK_CLASS, Sample, Toybox, Variant, scene
from camlucida.data.toybox.scene import CLASSES, KINDS, Drawing, PlacedObject, Scene, Watermark

__all__ = [
    "CLASSES",
    "KINDS",
    "WATERMARK_CLASS",
    "ObjectColours",
    "Drawing",
    "Kind",
    "Part",
    "PlacedObject",
    "Sample",
    "Scene",
    "Toybox",
    "Variant",
    "Watermark",
    "scene",
]
