"""Progress bars of the commands; lines on standard error where there is no terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from camlucida.cli.terminal import Terminal

LINE_INTERVAL_S = 10.0
"""Time, in seconds, between two lines of progress where there is no terminal, and before the first one."""


def progress_bar(console: Console, n_inputs: int | None = None) -> ProgressBar:
    """Return a progress bar that is removed when it is complete; without a terminal, lines on standard error.

    Args:
        console: The terminal.
        n_inputs: The number of inputs, if known; nothing is displayed for fewer than two.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    if isinstance(console, Terminal):
        console = console.progress_console
    is_hidden = n_inputs in (0, 1)
    has_lines = not is_hidden and not console.is_terminal and not console.quiet
    return ProgressBar(
        *columns,
        console=console,
        transient=True,
        disable=is_hidden or not console.is_terminal or console.quiet,
        errors=Terminal(stderr=True) if has_lines else None,
    )


class ProgressBar(Progress):
    """A progress bar that prints a line every `LINE_INTERVAL_S` instead, if it is given a console for them."""

    def __init__(self, *columns: Any, errors: Terminal | None, **kwargs: Any) -> None:
        super().__init__(*columns, **kwargs)
        self._errors = errors
        self._started = self._printed = time.monotonic()
        self._n_before = 0.0

    def resume(self, task_id: TaskID, n_before: int, total: int) -> None:
        """Begin a task of which a part was done by an earlier run, which does not count for the time left."""
        self._started, self._n_before = time.monotonic(), n_before
        self.reset(task_id, completed=n_before, total=total)

    def update(self, task_id: TaskID, **kwargs: Any) -> None:
        """Update a task, and print a line if it is time."""
        super().update(task_id, **kwargs)
        self._print_line(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Advance a task, and print a line if it is time."""
        super().advance(task_id, advance)
        self._print_line(task_id)

    def _print_line(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if self._errors is None or now - self._printed < LINE_INTERVAL_S:
            return
        self._printed = now
        task = self._tasks[task_id]
        if not task.visible or not task.completed or task.finished:
            return
        total = left = ""
        if task.total is not None:
            fraction = (task.completed - self._n_before) / max(1, task.total - self._n_before)
            total = f" of {task.total:,.0f} ({task.completed / max(1, task.total):.0%})"
            left = _time_left(now - self._started, fraction)
        description = task.description.replace("\\[", "[")  # escaped for rich's markup
        self._errors.print_line(f"{description}: {task.completed:,.0f}{total}{left}")


def _time_left(elapsed_s: float, fraction: float) -> str:
    """Return the time left as text, assuming that the rest takes as long as what is done."""
    left_s = elapsed_s * (1 - fraction) / fraction if fraction else 0.0
    if left_s < 1:
        return ""
    minutes, seconds = divmod(round(left_s), 60)
    return f", about {minutes} min left" if minutes >= 2 else f", about {60 * minutes + seconds} s left"


class ExplanationProgress:
    """A progress bar over several images with their throughput, and below it one for the forward passes of one image.

    Pass the method `runs` to `explain` as `progress`.
    """

    def __init__(self, progress: ProgressBar, images: int, method: str) -> None:
        self._progress, self._n_images = progress, images
        self._started, self._n_explained = time.monotonic(), 0
        self._images = progress.add_task("explaining", total=images, visible=images > 1)
        self._runs = progress.add_task(escape(method), total=None, visible=False)

    def runs(self, done: int, total: int) -> None:
        """Report that `done` of `total` forward passes for the current image are complete."""
        self._progress.update(self._runs, completed=done, total=total, visible=done < total)

    def resume(self, n: int) -> None:
        """Report that `n` images were complete before this run began."""
        self._progress.resume(self._images, n, self._n_images)
        self._started = time.monotonic()

    def advance(self) -> None:
        """Report that one more image is complete."""
        self._n_explained += 1
        speed = self._n_explained / max(1e-9, time.monotonic() - self._started)
        self._progress.update(self._runs, visible=False)
        text = f"explaining, {speed:,.{0 if speed >= 100 else 1}f} images/s"
        self._progress.update(self._images, advance=1, description=text)
