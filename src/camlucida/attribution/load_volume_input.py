"""Load what a user passes as a volume or a video, and make the network input of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida.attribution.load_input import LoadedInput, load_input
from camlucida.attribution.network_inputs import model_inputs
from camlucida.data.video import Video, load_video
from camlucida.data.volumes import Volume, is_volume_path, load_volume
from camlucida.engine import NetworkCopy, copy_of
from camlucida.engine.image_axes import image_axes
from camlucida.engine.named_inputs import call_network
from camlucida.errors import ImageError
from camlucida.models.model import Model
from camlucida.models.volume_preprocessing import VolumePreprocessing
from camlucida.types import Geometry, VolumeGeometry

COLOUR_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class LoadedVolume:
    """A volume with the network input made of it.

    Attributes:
        volume: The volume.
        voxels: `(c, d, h, w)`, with the axes of the network input.
        inputs: Network input `(c, D, H, W)`.
        geometry: Position of the network input on the voxels.
        windows: Lowest and highest displayed value of each channel.
        preprocessing: How the network input was made; None for a tensor, which is one.
    """

    volume: Volume
    voxels: NDArray[np.float32]
    inputs: Tensor
    geometry: VolumeGeometry
    windows: tuple[tuple[float, float], ...]
    preprocessing: VolumePreprocessing | None = None


@dataclass(frozen=True, eq=False)
class LoadedVideo:
    """A video with the network input made of it.

    Attributes:
        video: The frames.
        inputs: Network input, `(c, t, H, W)` or `(t, c, H, W)`, as the network takes it.
        geometry: Position of the network input on every frame.
    """

    video: Video
    inputs: Tensor
    geometry: Geometry


Loaded: TypeAlias = LoadedInput | LoadedVolume | LoadedVideo


def load_any(model: Model, source: Any) -> Loaded:
    """Return the network input of an image, a volume or a video.

    Args:
        model: The model; with `volume`, files, arrays and lists of them are volumes.
        source: Anything that `load_input` or `load_volume` reads, or a `Video`. NIfTI and DICOM are always volumes, and
            .npy files by their shape, see `_from_npy`.

    Raises:
        ImageError: It cannot be read, or does not fit the network input.
    """
    if isinstance(source, Tensor) and (source.ndim == 4 or model.volume is not None):
        return _from_tensor(model, source)
    if isinstance(source, Video):
        return video_input(model, source)
    if isinstance(source, Volume) or model.volume is not None or is_volume_path(source):
        return volume_input(model.volume or VolumePreprocessing(), load_volume(source))
    if isinstance(source, np.ndarray) and source.ndim == 4:
        return _from_four_axes(model, source)
    if isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(".npy"):
        return _from_npy(model, Path(source))
    return load_input(model.preprocessing, source)


def is_batch(model: Model, image: Any) -> bool:
    """Return whether a tensor is a batch of network inputs: five axes, or four for a network of images."""
    return isinstance(image, Tensor) and image.ndim == (4 if model.volume is None and image.ndim < 5 else 5)


def volume_input(preprocessing: VolumePreprocessing, volume: Volume) -> LoadedVolume:
    """Return the network input of a volume."""
    voxels = volume.oriented(preprocessing.orientation)
    inputs, geometry, windows = preprocessing(voxels, volume.voxel_mm(preprocessing.orientation))
    return LoadedVolume(volume, voxels, inputs, geometry, windows, preprocessing)


def video_input(model: Model, video: Video) -> LoadedVideo:
    """Return the network input of a video: every frame is preprocessed as an image, then they are stacked.

    Whether the network takes `(c, t, H, W)` or `(t, c, H, W)` is measured (`camlucida.engine.image_axes`).

    Raises:
        ImageError: The network runs on neither of the two.
    """
    frames, geometry = [], None
    for frame in video.frames:
        pixels, geometry = model.preprocessing(frame)
        frames.append(pixels)
    assert geometry is not None, "a video has at least one frame"
    stacked = torch.stack(frames)  # (t, c, H, W)
    return LoadedVideo(video, _in_order(model, stacked), geometry)


def _in_order(model: Model, frames: Tensor) -> Tensor:
    """Return frames `(t, c, H, W)` in the order of axes that the network takes."""
    copy = copy_of(model.network)
    reasons = []
    for channels, inputs in ((1, frames.transpose(0, 1)), (2, frames)):
        moved = model_inputs(model, inputs[None].contiguous())
        try:
            with torch.inference_mode(False), torch.no_grad():
                call_network(copy.module, moved)
                measured = image_axes(copy, moved).channels
        except Exception as error:  # networks raise errors of any type for inputs that they do not take
            reasons.append(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
            continue
        if measured == channels:
            return inputs.contiguous()
    n, c, height, width = frames.shape
    raise ImageError(
        f"the network runs neither on {c}×{n}×{height}×{width} (channels, frames, height, width) nor on "
        f"{n}×{c}×{height}×{width}; it raised {' and '.join(dict.fromkeys(reasons)) or 'no error, but mixes both'}. "
        "Does it need another number of frames (n_frames of load_video) or another size (size= of wrap)?"
    )


def _from_npy(model: Model, path: Path) -> Loaded:
    """Return the network input of a .npy file: an image, bands, a video `(t, h, w, 1 | 3 | 4)` or a volume."""
    try:
        array = np.load(path.expanduser(), allow_pickle=False, mmap_mode="r")
    except FileNotFoundError:
        raise ImageError(f"no file {path}.") from None
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"cannot read {path}: it is no array of numbers, or damaged ({str(error)[:120]}).") from None
    if array.ndim == 4:
        return _from_four_axes(model, array, path.name)
    if not model.preprocessing.is_photographic:
        return load_input(model.preprocessing, path)
    if array.ndim == 3 and array.shape[2] not in COLOUR_CHANNELS:
        return volume_input(VolumePreprocessing(), load_volume(path))
    return load_input(model.preprocessing, np.asarray(array))


def _from_four_axes(model: Model, array: NDArray[Any], name: str = "array") -> Loaded:
    if array.shape[3] in COLOUR_CHANNELS:
        video = load_video(array)
        return video_input(model, Video(video.frames, video.indices, name))
    preprocessing = VolumePreprocessing(mean=(0.0,) * len(array), std=(1.0,) * len(array))
    return volume_input(preprocessing, load_volume(array))


def _from_tensor(model: Model, inputs: Tensor) -> LoadedVolume | LoadedVideo:
    """Return a network input `(c, D, H, W)`, or frames, unmodified, with what is displayed of it."""
    shape = "×".join(map(str, inputs.shape)) or "of one number"
    if inputs.ndim != 4 or not inputs.is_floating_point():
        raise ImageError(
            f"a tensor {shape} of {inputs.dtype} is no volume: pass (channels, depth, height, width) as floats, "
            "normalised as the network requires."
        )
    inputs = inputs.detach()
    copy: NetworkCopy = copy_of(model.network)
    axes = image_axes(copy, model_inputs(model, inputs[None]))
    voxels = axes.to_grid(inputs[None])[0].cpu().float()
    if model.volume is None and len(voxels) == len(model.preprocessing.mean) and len(voxels) in COLOUR_CHANNELS:
        frames = model.preprocessing.denormalise(voxels.transpose(0, 1))
        size = int(voxels.shape[3]), int(voxels.shape[2])
        video = Video(tuple(map(_as_image, frames)), tuple(range(len(frames))), "Tensor")
        return LoadedVideo(video, inputs, Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
    depth, height, width = (int(side) for side in voxels.shape[1:])
    size3 = depth, height, width
    geometry = VolumeGeometry(size3, size3, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    array = voxels.numpy()
    return LoadedVolume(Volume(array, name="Tensor"), array, inputs, geometry, _ranges(array))


def _as_image(pixels: Tensor) -> Image.Image:
    """Return pixels `(c, h, w)` in [0, 1] as RGB."""
    rgb = pixels.nan_to_num(nan=0.0).expand(3, -1, -1) if len(pixels) == 1 else pixels[:3].nan_to_num(nan=0.0)
    return Image.fromarray((rgb.permute(1, 2, 0) * 255).round().byte().numpy())


def _ranges(voxels: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    ranges: Sequence[tuple[float, float]] = [(float(channel.min()), float(channel.max())) for channel in voxels]
    return tuple(ranges)
