"""Put methods to the checks: read the pictures, take the steps, compare the maps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from camlucida.data.images import Source, load_image
from camlucida.engine import LayerSpec
from camlucida.error_context import name_of
from camlucida.errors import CamlucidaError, DataError, MethodError, nearest
from camlucida.explaining import as_model, iterated
from camlucida.methods import Combined, Method, find
from camlucida.metrics.parts.similarity import hog, ssim
from camlucida.models.model import Model
from camlucida.options import Count, checked_arguments, shown
from camlucida.outputs import placed
from camlucida.request import MethodSpec, one_layer
from camlucida.sanity_checks.steps import STEPS, Subject, count
from camlucida.sanity_checks.value import Sanity
from camlucida.sanity_checks.verdict import CHECKS, Check, Step
from camlucida.tensors import pearson, spearman, upsample
from camlucida.types import ProgressCallback

SMOOTH = "smooth({}, n=50, noise=0.1)"
"""Of the smooth variant: as many noisy pictures, and as noisy, as its authors have."""


@checked_arguments(MethodError)
def sanity(
    model: Model | nn.Module | str,
    images: Sequence[Source],
    *,
    methods: Sequence[MethodSpec] = ("grad_cam",),
    checks: Sequence[Check] = ("cascading", "random_logit"),
    layer: LayerSpec = None,
    seeds: Count = 5,
    progress: ProgressCallback | None = None,
) -> Sanity:
    """Put methods to the sanity checks on some pictures.

    model     as of `explain`
    images    a dozen is enough; those that cannot be read are left out and named in `failures`
    methods   by name, with combinators or not
    checks    of cascading, independent, smooth, random_logit, labels
    layer     one layer, None for the default
    seeds     how often the weights are drawn anew
    progress  told how many of how many steps are done

    The class explained is the one that the untouched network predicts. Raises `DataError` where no picture can be
    read, `MethodError` for names unknown.
    """
    wrapped = as_model(model)
    images = list(iterated(images))
    one_layer(layer, "the checks are made at")
    for name, listed in (("methods", methods), ("checks", checks)):
        if not isinstance(listed, list | tuple) or not listed:
            raise MethodError(f"sanity: {name} is a list with one element or more, not {shown(listed)}.")
    for check in checks:
        if not isinstance(check, str) or check not in CHECKS:
            raise MethodError(f"no check {check!r}.{nearest(str(check), CHECKS)} Known: {', '.join(CHECKS)}.")
    chosen = [find(method) for method in methods]
    names, inputs, failures = _read(wrapped, images)
    subject = Subject(wrapped, names, inputs, layer)
    total = sum(count(subject, check, seeds) for check in checks) * len(chosen)
    steps: list[Step] = []
    strips_: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]] = {}
    done = 0
    for method in chosen:
        for check in checks:
            asked = find(SMOOTH.format(method.name)) if check == "smooth" else method
            own = subject.maps(subject.model, asked, subject.classes)
            strip = [("itself", _as_shown(asked, own[0]))]
            for stage, share, seed, maps in STEPS[check](subject, asked, seeds):
                steps += _compared(subject.names, method.name, check, stage, share, seed, own, maps)
                strip += [(stage, _as_shown(asked, maps[0]))] if seed == 0 else []
                done += 1
                if progress:
                    progress(done, total)
            strips_[method.name, check] = tuple(strip)
    picture = wrapped.preprocessing.denormalised(inputs[:1])[0]
    return Sanity(tuple(steps), strips_, _drawn(picture), wrapped.name, failures)


def _compared(
    names: Sequence[str], method: str, check: Check, stage: str, share: float, seed: int, own: Tensor, maps: Tensor
) -> Iterator[Step]:
    fine = max(own.shape[1], 64)  # SSIM's window and HOG's cells need room
    size = (fine, max(1, round(fine * own.shape[2] / own.shape[1])))
    large, other = upsample(own, size), upsample(maps, size)
    found = (
        spearman(own, maps),
        spearman(own.abs(), maps.abs()),
        ssim(large, other),
        pearson(hog(large), hog(other)),
        spearman(own.roll(1, 0), maps),
    )
    for i, name in enumerate(names):
        numbers = [float(f[i]) for f in found]
        yield Step(name, method, check, stage, share, seed, *numbers)


def _as_shown(method: Method | Combined, map_: Tensor) -> Tensor:
    return map_.relu() if method.relu else map_.abs()


def _drawn(picture: Tensor) -> Image.Image:
    """A picture (c, h, w) in [0, 1] as RGB."""
    pixels = (picture.expand(3, -1, -1) if len(picture) == 1 else picture[:3]).permute(1, 2, 0)
    return Image.fromarray((pixels * 255).round().byte().numpy())


def _read(model: Model, images: Sequence[Source]) -> tuple[tuple[str, ...], Tensor, tuple[tuple[str, str], ...]]:
    names, inputs, failures = [], [], []
    for number, image in enumerate(images, start=1):
        try:
            inputs.append(model.preprocessing(load_image(image))[0])
            name = name_of(image)
            names.append(f"{name} {number}" if name in names or not isinstance(image, str | os.PathLike) else name)
        except CamlucidaError as error:
            failures.append((name_of(image), str(error)))
    if not inputs:
        why = f" The first: {failures[0][1]}" if failures else ""
        raise DataError(f"no picture to check: {len(images)} were given, and none could be read.{why}")
    return tuple(names), placed(model.network, torch.stack(inputs)), tuple(failures)
