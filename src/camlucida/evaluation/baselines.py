"""Control maps: uninformative baselines and ground-truth maps that a metric must be able to tell apart.

Each control is an explainer, like a method, so that every metric can score it. Random numbers depend on the image, the
class and the seed: the same image gets the same map in any batch, and a modified image gets another one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.attribution.method_choice import default_method
from camlucida.engine import LayerSpec
from camlucida.engine.weight_randomization import randomize_weights, stages
from camlucida.errors import DataError, TargetError
from camlucida.evaluation.metric_inputs import Explainer, MethodExplainer
from camlucida.evaluation.model_input import ModelInput
from camlucida.maps import gaussian_blur
from camlucida.methods import find
from camlucida.models.model import Model
from camlucida.opaque_networks import has_layers

InformationSource: TypeAlias = Literal["nothing", "image", "ground truth", "another class"]
GROUND_TRUTH: InformationSource = "ground truth"
"""What an oracle knows: it has no map where nothing is annotated."""

MapFunction: TypeAlias = Callable[[ModelInput, Tensor], Tensor]
"""A function from the model's view of an image and inputs `(n, c, H, W)` to maps `(n, H, W)`."""

BLUR_SIGMA_FRACTION = 1 / 12
"""Standard deviation of the blur of `blurred_random` as a fraction of the side: as coarse as a typical last layer."""
CENTRE_SIGMA_FRACTION = 1 / 4
"""Standard deviation of the `centre` Gaussian as a fraction of each side."""


@dataclass(frozen=True)
class Control:
    """A map that is computed without running the model.

    Attributes:
        name: Name in tables.
        summary: What the map is.
        knows: The information from which the map is computed.
        make: Computes the maps.
        relu: Whether negative values are clipped.
    """

    name: str
    summary: str
    knows: InformationSource
    make: MapFunction
    relu: bool = False

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Return the maps `(n, H, W)` of inputs `(n, c, H, W)`; the classes are ignored."""
        return self.make(model_input, images)


def oracle(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map that is 1 on the object and 0 elsewhere.

    Raises:
        DataError: If the item has neither mask nor boxes.
    """
    if model_input.input_region is None:
        raise DataError("the position of the object is unknown: the image has neither a mask nor boxes.")
    return model_input.input_region.to(images).expand(len(images), -1, -1)


def inverted_oracle(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map that is 0 on the object and 1 elsewhere."""
    return 1 - oracle(model_input, images)


def random(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map of independent uniform random values between 0 and 1."""
    maps = [
        torch.rand(image.shape[-2:], generator=_image_generator(model_input, image), dtype=torch.float32)
        for image in images
    ]
    return torch.stack(maps).to(images)


def blurred_random(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map of smooth random blobs between 0 and 1."""
    height, width = images.shape[-2:]
    sigmas = BLUR_SIGMA_FRACTION * height, BLUR_SIGMA_FRACTION * width
    radii = [max(1, min(math.ceil(3 * sigma), side - 1)) for sigma, side in zip(sigmas, (height, width), strict=True)]
    # The blur wraps around: with mirrored edges, the highest blobs would mostly lie at the edge.
    noise = gaussian_blur(random(model_input, images)[:, None], sigmas, (radii[0], radii[1]), "circular")[:, 0]
    low, high = noise.amin((1, 2), keepdim=True), noise.amax((1, 2), keepdim=True)
    return (noise - low) / (high - low).clamp_min(torch.finfo(noise.dtype).tiny)


def uniform(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a constant map of ones."""
    return torch.ones_like(images[:, 0])


def centre(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a Gaussian in the centre of the network input."""
    down, across = (
        torch.exp(-0.5 * ((torch.arange(n, dtype=torch.float32) + 0.5 - n / 2) / (CENTRE_SIGMA_FRACTION * n)) ** 2)
        for n in images.shape[-2:]
    )
    return (down[:, None] * across).to(images).expand(len(images), -1, -1)


def sobel(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return the gradient magnitude of the image's brightness, by Sobel's filter."""
    grey = (images / model_input.pixel_scale.to(images)).mean(1, keepdim=True)
    kernel_x = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(grey) / 8
    kernels = torch.stack([kernel_x, kernel_x.T])[:, None]
    gradients = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return gradients.square().sum(1).sqrt()


def zero(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map of zeros."""
    return torch.zeros_like(images[:, 0])


def fake_cam(model_input: ModelInput, images: Tensor) -> Tensor:
    """Return a map that is 1 at all positions except the top left pixel (Poppi et al., CVPR workshop 2021)."""
    maps = torch.ones_like(images[:, 0])
    maps[:, 0, 0] = 0
    return maps


@dataclass(frozen=True)
class OtherClass:
    """A method's map for a random other class, which has no information about the explained one.

    Attributes:
        base: The method.
        name: Name in tables.
        knows: The information from which the map is computed.
    """

    base: MethodExplainer
    name: str = "other_class"
    knows: InformationSource = "another class"

    @property
    def summary(self) -> str:
        """What the map is."""
        return f"{self.base.name} for a random other class"

    @property
    def relu(self) -> bool:
        """Whether negative values are clipped, as for the method."""
        return self.base.relu

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Compute the method's maps for a random other class per input.

        Raises:
            TargetError: If the model has a single output.
        """
        n_classes = len(model_input.logits)
        if n_classes < 2:
            raise TargetError("the model has a single output: there is no other class.")
        other_classes = [self._draw_other_class(model_input, int(target), n_classes) for target in classes]
        return self.base.maps(model_input, images, torch.tensor(other_classes))

    def _draw_other_class(self, model_input: ModelInput, target: int, n_classes: int) -> int:
        step = torch.randint(1, n_classes, (), generator=model_input.random(f"control/{self.name}/{target}"))
        return (target + int(step)) % n_classes


@dataclass(frozen=True, eq=False)
class RandomWeights:
    """A method's map of the same architecture with random weights. It depends on the image, but on no class.

    Attributes:
        base: The method.
        name: Name in tables.
        knows: The information from which the map is computed.
    """

    base: MethodExplainer
    name: str = "random_weights"
    knows: InformationSource = "image"
    _networks: WeakKeyDictionary[nn.Module, dict[int, nn.Module]] = field(default_factory=WeakKeyDictionary, repr=False)

    @property
    def summary(self) -> str:
        """What the map is."""
        return f"{self.base.name} of a network with re-initialised weights"

    @property
    def relu(self) -> bool:
        """Whether negative values are clipped, as for the method."""
        return self.base.relu

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Compute the method's maps of the re-initialised model."""
        return self.base.maps(
            replace(model_input, model=self._randomized_model(model_input.model, model_input.seed)), images, classes
        )

    def _randomized_model(self, model: Model, seed: int) -> Model:
        """Return the model with a re-initialised network, which is created once for all images of a run.

        Its output is read as that of the model: for a box, a region or a word, at the same position.
        """
        networks = self._networks.setdefault(model.network, {})
        if seed not in networks:
            networks[seed] = randomize_weights(model.network, stages(model.network), seed=seed)
        return replace(model, network=networks[seed])


CONTROLS: tuple[Control, ...] = (
    Control("oracle", "1 on the object, 0 elsewhere", GROUND_TRUTH, oracle),
    Control("random", "independent random values", "nothing", random),
    Control("blurred_random", "smooth random blobs", "nothing", blurred_random),
    Control("uniform", "constant", "nothing", uniform),
    Control("centre", "a Gaussian in the centre", "nothing", centre),
    Control("sobel", "the image's edges", "image", sobel),
    Control("zero", "0 at all positions", "nothing", zero),
    Control("fake_cam", "1 at all positions except one pixel", "nothing", fake_cam),
    Control("inverted_oracle", "0 on the object, 1 elsewhere", GROUND_TRUTH, inverted_oracle),
)
"""The controls that never run the model."""


def standard_controls(base: str = "grad_cam", layer: LayerSpec = None) -> tuple[Explainer, ...]:
    """Return the controls that every evaluation includes beside the methods.

    Args:
        base: The method that is applied to another class, and to a network with random weights.
        layer: Its layer; None for the default one.
    """
    explainer = _explainer(base, layer)
    return (*CONTROLS, OtherClass(explainer), RandomWeights(explainer))


def controls_of(model: Model) -> tuple[Explainer, ...]:
    """Return the standard controls that a model allows, with its default method.

    A network whose weights cannot be accessed has no map for random weights.
    """
    controls = standard_controls(default_method(model))
    return controls if has_layers(model.network) else tuple(c for c in controls if not isinstance(c, RandomWeights))


def _explainer(base: str, layer: LayerSpec) -> MethodExplainer:
    method = find(base)
    return MethodExplainer((method, method.with_options({})), layer)


def _image_generator(model_input: ModelInput, image: Tensor) -> torch.Generator:
    pixels = image.detach().cpu().contiguous()
    return model_input.random(f"control/{zlib.crc32(pixels.numpy().tobytes())}")
