"""Exit codes, the same for every command, so that scripts can rely on them.

0    everything that was requested is done
1    done in part: an image that cannot be read, a method that does not fit, data to be corrected
2    nothing could be done: a wrong option, no readable input, a full disk
3    everything is done, and a condition of --fail-on holds: the test of `camlucida audit --against` has failed
130  interrupted with Ctrl-C
"""

from __future__ import annotations

DONE = 0
IN_PART = 1
NOT_DONE = 2
CONDITION_HOLDS = 3
INTERRUPTED = 130


def exit_code(n_done: int, n_failed: int) -> int:
    """Return the exit code of a command over several inputs.

    Args:
        n_done: The number of inputs that were processed.
        n_failed: The number of inputs that failed; each has been printed, or is a row with its reason.

    Returns:
        `DONE`; `IN_PART` if some inputs failed; or `NOT_DONE` if all failed or there were none.
    """
    if not n_done:
        return NOT_DONE
    return IN_PART if n_failed else DONE
