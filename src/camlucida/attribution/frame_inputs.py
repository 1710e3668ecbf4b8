"""The inputs of methods for the frames of a video, where the network processes every frame as an image of its own.

The channels of a frame are weighted by the gradients at that frame: a network that reads the frames in order, such as
an LSTM, may count the same channel for a class at one time and against it at another. Methods that run the network
again, such as Score-CAM, weight a channel once for all frames, since they change it in all frames together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor

from camlucida.attribution.method_inputs import Chunks, MethodInputs

FRAMEWISE_INPUTS = frozenset(
    {
        *("activations", "gradients", "competing_classes", "hvp", "layer_at", "layer_relevance"),
        *("inputs", "guided", "progress"),
    }
)
"""Inputs that can be given frame by frame."""
WEIGHTS = frozenset({"gradients", "layer_at", "layer_relevance"})
"""Inputs that weight the channels of a layer: a method with none of them regards all frames together."""


def is_framewise(needs: Collection[str]) -> bool:
    """Return whether a method with these inputs computes the map of each frame by itself."""
    return FRAMEWISE_INPUTS.issuperset(needs) and not WEIGHTS.isdisjoint(needs)


def split_frames(tensor: Tensor) -> Tensor:
    """Return `(..., b, c, t, h, w)` as `(..., b * t, c, h, w)`."""
    return tensor.movedim(-3, -4).flatten(-5, -4)


@dataclass(frozen=True)
class FrameInputs:
    """The inputs of methods with every frame as an image: each member is what a parameter of that name receives.

    Attributes:
        videos: The inputs for whole videos.
        n_frames: Number of frames of a video.
    """

    videos: MethodInputs
    n_frames: int

    def join_frames(self, tensor: Tensor) -> Tensor:
        """Return `(..., b * t, c, h, w)` as `(..., b, c, t, h, w)`."""
        videos = tensor.reshape(*tensor.shape[:-4], -1, self.n_frames, *tensor.shape[-3:])
        return videos.movedim(-4, -3)

    def join_maps(self, maps: Tensor) -> Tensor:
        """Return maps of frames `(b * t, h, w)` as maps of videos `(b, t, h, w)`."""
        return maps.reshape(-1, self.n_frames, *maps.shape[1:])

    @property
    def activations(self) -> Tensor:
        """Activations of the layer `(b * t, c, h, w)`."""
        return split_frames(self.videos.activations)

    @property
    def gradients(self) -> Tensor:
        """d score / d activations `(b * t, c, h, w)`."""
        assert self.videos.gradients is not None
        return split_frames(self.videos.gradients)

    @property
    def inputs(self) -> Tensor:
        """Network inputs `(b * t, c, H, W)`."""
        return split_frames(self.videos.inputs)

    def competing_classes(self, n: int) -> tuple[Tensor, Tensor]:
        """Return gradients `(n, b * t, c, h, w)` and scores `(n, b * t)` of the n classes nearest in score."""
        gradients, scores = self.videos.competing_classes(n)
        return split_frames(gradients), scores.repeat_interleave(self.n_frames, 1)

    def hvp(self, direction: Tensor) -> Tensor:
        """Return the Hessian-vector product of the score with `direction`, `(b * t, c, h, w)`."""
        return split_frames(self.videos.hvp(self.join_frames(direction)))

    def layer_at(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer's activations and gradients `(b * t, c, h, w)` for other network inputs."""
        activations, gradients = self.videos.layer_at(self.join_frames(inputs))
        return split_frames(activations), split_frames(gradients)

    def layer_relevance(
        self, rule: str, *, epsilon: float, gamma: float, contrast: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the relevance of the layer `(b * t, c, h, w)`, and the total of every video at each of its frames."""
        values, total = self.videos.layer_relevance(rule, epsilon=epsilon, gamma=gamma, contrast=contrast)
        return split_frames(values), total.repeat_interleave(self.n_frames, 0)

    def guided(self, variants: Callable[[Tensor], Tensor], count: int) -> Chunks:
        """Yield indices `(n,)`, scores `(n, b)` and gradients `(n, b * t, c, H, W)` of variants of the frames."""
        for indices, scores, gradients in self.videos.guided(lambda which: self.join_frames(variants(which)), count):
            yield indices, scores, split_frames(gradients)

    def progress(self, done: int, total: int) -> None:
        """Report progress, for methods that run the network step by step."""
        self.videos.progress(done, total)
