"""Learning curves as a TensorBoard event file, written by `torch.utils.tensorboard` (extra `tensorboard`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from camlucida._optional import need


def require_tensorboard() -> None:
    """Raise `MissingExtra` if TensorBoard is not installed; called before a training starts."""
    need("tensorboard", extra="tensorboard", what="writing metrics for TensorBoard")


def event_file(points: Iterable[tuple[float, int, Mapping[str, float]]]) -> bytes:
    """Return the content of an event file with scalars.

    The file is rewritten as a whole after every epoch, so that a resumed training contains each epoch once.

    Args:
        points: For each step: the Unix time in seconds, its number, and its scalars by tag.

    Returns:
        The content of a file whose name begins with `events.out.tfevents`.

    Raises:
        MissingExtra: If TensorBoard is not installed.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    with TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for seconds, step, scalars in points:
                for tag, value in scalars.items():
                    writer.add_scalar(tag, value, step, walltime=seconds)
        (file,) = Path(folder).iterdir()
        return file.read_bytes()
