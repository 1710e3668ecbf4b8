"""Do by hand what `attribute` does: record one run, compute gradients at a layer, and re-run the suffix of the network.

The engine needs no hook on the network: it records the layers of a structural copy.
"""

import torch

import camlucida as cl
from camlucida.engine import copy_of, resolve, trace
from camlucida.methods import grad_cam

model = cl.load("toybox")
batch = torch.randn(2, 3, 96, 96)

copy = copy_of(model.network)  # a structural copy that shares the weights; the model itself is not modified
layers = resolve(copy, batch, ["layer3", "layer4"])
run = trace(copy, batch, layers, gradients=True, rerun=True)

scores = run.output[:, :1].T  # (1 class, 2 images): the logit of "cat"
gradients = run.gradients(scores)
for recorded, gradient in zip(run.layers, gradients, strict=True):
    print(recorded.layer.label, tuple(grad_cam(recorded.activations, gradient[0]).shape))

last = run.layers[-1]
halved = torch.stack([last.activations[0], last.activations[0] / 2])
print("the logit of cat, and with layer4 halved:", run.rerun(last, halved, image=0)[:, 0].tolist())
print("by hand equals attribute:", torch.equal(
    grad_cam(last.activations, gradients[-1][0]), cl.attribute(model, batch, target="cat", layer="layer4", signed=True)
))  # fmt: skip
