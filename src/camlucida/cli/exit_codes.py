"""Exit codes, the same in every command: a script can rely on them.

0    everything that was asked for was done
1    done, but not for all of it: an image that cannot be read, a method that does not fit, data to be corrected
2    nothing could be done: a wrong option, no input that can be read, a disk that is full
130  stopped by Ctrl-C
"""

from __future__ import annotations

DONE = 0
IN_PART = 1
NOT_DONE = 2
INTERRUPTED = 130


def exit_code(n_done: int, n_failed: int) -> int:
    """Return the exit code of a command over several inputs.

    Args:
        n_done: How many inputs were processed.
        n_failed: How many were not; each has been printed, or is a row with its reason.

    Returns:
        `DONE`, `IN_PART` where some failed, or `NOT_DONE` where all did, or where there were none.
    """
    if not n_done:
        return NOT_DONE
    return IN_PART if n_failed else DONE
