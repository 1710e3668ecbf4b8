"""A profile of the module calls in one forward pass, with the shape and layout of what each call returned.

No tensor outlives the call after the one that returned it, so a profile needs as much memory as a forward pass.
Dependence of the scores on an output is not computed here but, for the few calls where it matters, in `influence`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.batch_axes import select_image
from camlucida.engine.call_profile import CallProfile, main_tensor
from camlucida.engine.call_recorder import CallRecorder
from camlucida.engine.final_activation import ActivationRecorder
from camlucida.engine.image_axes import find_image, image_axes, image_size, is_image
from camlucida.engine.image_dependence import independent_calls
from camlucida.engine.named_inputs import NamedInputs, held_values
from camlucida.engine.network_copy import CallObserver, NetworkCopy
from camlucida.engine.video_frames import verify_frames
from camlucida.errors import LayerError
from camlucida.opaque_networks import has_layers

MAX_KEPT_OUTPUT_BYTES = 16 * 2**20
"""An output of at most this size is kept from the profile's run until the class scores are looked for in it."""


def profile_calls(copy: NetworkCopy, inputs: Any, *, refresh: bool = False) -> CallProfile:
    """Return the profile of the module calls on inputs of this shape.

    Args:
        copy: The network copy, which caches the profile.
        inputs: Network inputs; only the first image is run.
        refresh: Whether to run the network even if a profile for this shape is cached.

    Raises:
        LayerError: If the inputs hold no batch of images (b, c, h, w).
    """
    find_image(inputs)
    key = _profile_key(inputs)
    if refresh or key not in copy.notes:
        copy.notes[key], output = _record_calls(copy, first_image(inputs))
        if sum(t.nbytes for _, t in nested.tensors(output)) <= MAX_KEPT_OUTPUT_BYTES:
            copy.notes["profiled output"] = key, output
    profile: CallProfile = copy.notes[key]
    return profile


def profiled_output(copy: NetworkCopy, inputs: Any) -> Any:
    """Return the network's output for the first image, from the run of the profile if that was just made.

    The output carries the network's last activation, where it has one (`final_activation`).
    """
    try:
        profile_calls(copy, inputs)
    except LayerError:  # no image among the inputs, so there is no profile of layers
        return _run_recording_activation(copy, _Unobserved(), first_image(inputs))
    key, output = copy.notes.pop("profiled output", (None, None))
    if key == _profile_key(inputs):
        return output
    with torch.inference_mode(False), torch.no_grad():
        return copy.run(_Unobserved(), first_image(inputs))


def _profile_key(inputs: Any) -> Any:
    return "survey", held_values(inputs), tuple((t.shape[1:], t.dtype) for _, t in nested.tensors(inputs))


class _Unobserved:
    """A call observer that runs every module unmodified."""

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs)


def _run_recording_activation(copy: NetworkCopy, observer: CallObserver, inputs: Any) -> Any:
    """Run the network, and note whether it returns the result of a softmax or sigmoid."""
    with torch.inference_mode(False), torch.no_grad():
        if not has_layers(copy.module):  # a function may compute with PyTorch, but only its scores are known
            return copy.run(observer, inputs)
        with ActivationRecorder() as recorder:
            output = copy.run(observer, inputs)
        copy.ends_in_activation |= recorder.attach(output)
    return output


def first_image(inputs: Any) -> Any:
    """Return the first image as a batch of one, detached from any graph and from inference mode."""
    with torch.inference_mode(False):
        return nested.transform(select_image(inputs, 0), lambda _, t: _noise_if_constant(t.detach().clone()))


def _noise_if_constant(image: Tensor) -> Tensor:
    """Return seeded noise in place of a constant image, else the image.

    On a constant image every unit may be inactive, so that no layer would appear to influence the scores.
    """
    if not is_image(image) or not image.is_floating_point() or bool((image != image[..., :1, :1]).any()):
        return image
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(image)


def noise_image(inputs: Any) -> Any:
    """Return the network's inputs with seeded noise in place of every image (b, c, h, w)."""
    generator = torch.Generator().manual_seed(0)

    def noise(_: nested.Path, tensor: Tensor) -> Tensor:
        if not is_image(tensor) or not tensor.is_floating_point():
            return tensor
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(tensor)

    return nested.transform(inputs, noise)


def _record_calls(copy: NetworkCopy, inputs: Any) -> tuple[CallProfile, Any]:
    """Return the profile of the calls for one image, and the network's output."""
    axes, image = image_axes(copy, inputs), image_size(copy, inputs)
    recorder = CallRecorder(copy, image[1:], n_frames=image[0]) if axes.frames else CallRecorder(copy, image)
    output = _run_recording_activation(copy, recorder, inputs)
    if isinstance(inputs, NamedInputs) and inputs.other_tensors:
        for position in independent_calls(copy, inputs, main_tensor):
            module_call = recorder.module_calls[position]
            recorder.module_calls[position] = replace(
                module_call, layout=None, needs_check=False, depends_on_image=False
            )
    if axes.frames:
        verify_frames(copy, inputs, axes, recorder.module_calls)
    n_outputs = next((int(t.shape[-1]) for _, t in nested.tensors(output) if t.ndim == 2), None)
    return CallProfile(recorder.module_calls, tuple(dict.fromkeys(recorder.grids)), n_outputs), output
