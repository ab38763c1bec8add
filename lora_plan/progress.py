"""A bar on stderr for what takes seconds."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.simulate.progress import Progress


class ProgressBar:
    """A bar with the name of the phase, from the first phase on and until it is closed; on a terminal only."""

    def __init__(self) -> None:
        self._shown = contextlib.ExitStack()
        self._update: Progress | None = None

    def tell(self, phase: str, share: float) -> None:
        """A phase begins, with this share of the work done."""
        if self._update is None:
            from profiler.simulate.progress import silent

            self._update = _drawn(self._shown) if sys.stderr.isatty() else silent
        self._update(phase, share)

    def close(self) -> None:
        """Wipe the bar out, and give the terminal its cursor back."""
        self._shown.close()


def _drawn(shown: contextlib.ExitStack) -> Progress:
    from rich import progress
    from rich.console import Console

    columns = progress.BarColumn(), progress.TimeElapsedColumn(), progress.TextColumn("{task.description}")
    bar = progress.Progress(*columns, console=Console(file=sys.stderr), transient=True)
    task = bar.add_task("", total=1.0)
    # before it starts, which hides the cursor
    shown.callback(bar.stop)
    bar.start()

    def update(phase: str, share: float) -> None:
        bar.update(task, description=phase, completed=share)

    return update
