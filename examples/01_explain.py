"""Explain one image with one method and save a panel."""

import camlucida as cl
from camlucida.data import toybox

model = cl.load("toybox")
image = toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=384).picture()

explanation = cl.explain(model, image, target="dog")
print(explanation.target, explanation.score_label, "at", explanation.layer)
print(explanation.save("out/01_explain.png"))
