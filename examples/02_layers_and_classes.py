"""Explain several classes, layers and methods of one image with one forward pass."""

import camlucida as cl
from camlucida.data import toybox

model = cl.load("toybox")
image = toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=384).picture()

grid = cl.explain(
    model,
    image,
    target=["cat", "cat rather than dog", "not cat"],
    layer=["layer2", "layer3", "layer4"],
    method=["grad_cam", "layer_cam"],
)
print(len(grid), "maps of", grid.axis("layer"))
print(grid.select(method="layer_cam").save("out/02_layer_cam.png"))
