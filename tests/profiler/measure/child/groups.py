"""Who is alive in a process group, as Linux says it."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE_S = 30.0
"""Until what is killed has to be gone; far more than it takes."""


def alive_in(group: int) -> list[int]:
    """Processes of a group, without those that only wait to be reaped."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc_pid_stat(5): pid (comm) state ppid pgrp
            state, _, pgrp, *_ = status.read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(status.parent.name))
    return found


def is_gone(group: int) -> bool:
    """Whether nobody is left in a group, at once or very soon."""
    until = time.monotonic() + PATIENCE_S
    while alive_in(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
