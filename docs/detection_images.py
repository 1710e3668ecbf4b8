"""Write docs/images/detection.jpg, detections of a scene and an edge, and the maps of a missed object.

python docs/detection_images.py
"""

from __future__ import annotations

from pathlib import Path

import camlucida as cl
from camlucida.data import toybox

PATH = Path(__file__).resolve().parent / "images" / "detection.jpg"
QUALITY = 88
SCENE_PX = 288


def main() -> None:
    model = cl.load("toybox:detector")
    scene = toybox.scene((7, 3), ["cat"], objects=2, size=SCENE_PX)
    drawing = scene.draw()
    gone = drawing.boxes[0]
    removed = f"{scene.objects[0].kind} at {(gone[0] + gone[2]) / 2:g},{(gone[1] + gone[3]) / 2:g}"
    cl.explain(model, drawing.image, target=["box 1", "box 2", "edge left of box 1"]).figure().save(
        PATH, quality=QUALITY
    )
    missed = cl.explain(model, scene.without(0).picture(), target=removed)
    missed.panel().save(PATH.with_name("detection-missed.jpg"), quality=QUALITY)
    missed.detection_margin().panel().save(PATH.with_name("detection-margin.jpg"), quality=QUALITY)


if __name__ == "__main__":
    main()
