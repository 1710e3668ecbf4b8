"""The progress of `camlucida audit`: images, images per second, time left and errors so far."""

from __future__ import annotations

import time
from pathlib import Path

from rich.progress import TaskID

from camlucida.cli.progress import ProgressBar
from camlucida.cli.terminal import Terminal

ERROR_INTERVAL_S = 1.0
"""Time, in seconds, between two counts of the errors so far."""


class AuditProgress:
    """The progress of an audit: images, images per second, time left, and errors so far."""

    def __init__(self, console: Terminal, bar: ProgressBar, folder: Path) -> None:
        self._console, self._bar, self._folder = console, bar, folder
        self._task: TaskID | None = None
        self._started = self._counted = 0.0
        self._n_before = self._n_errors = 0
        self._seen: set[int] = set()

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` images are finished."""
        now = time.monotonic()
        if self._task is None:  # the first call reports what earlier runs measured
            self._task = self._bar.add_task("auditing", total=None)
            self._started, self._n_before = now, done
            self._bar.resume(self._task, done, total)
            if done:
                self._console.print_line(f"{done:,} of {total:,} images are in {self._folder} already.")
            return
        speed = (done - self._n_before) / max(1e-9, now - self._started)
        text = f"auditing, {speed:,.{0 if speed >= 100 else 1}f} images/s"
        if n_errors := self._errors(now, done == total):
            text += f", {n_errors:,} errors" if n_errors > 1 else ", 1 error"
        self._bar.update(self._task, description=text, completed=done, total=total)

    def _errors(self, now: float, last: bool) -> int:
        """Return the number of images with an error in the chunks that are stored so far."""
        from camlucida.audits.store import AuditStore

        if last or now - self._counted >= ERROR_INTERVAL_S:
            self._counted = now
            store = AuditStore.open(self._folder.expanduser())
            new = set(store.part_numbers()) - self._seen
            self._seen |= new
            self._n_errors += sum(store.n_errors(number) for number in new)
        return self._n_errors
