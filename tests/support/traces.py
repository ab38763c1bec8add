"""Traces written by hand: windows with what is made and ended in them."""

from __future__ import annotations

from profiler.simulate.depth.assemble import Assembly
from profiler.simulate.trace.trace import TEMPORARY, Allocation, Free, Trace, Window, WindowTrace


class Sheet:
    """Writes a trace, one window after the other."""

    def __init__(self) -> None:
        self.trace = Trace()

    def window(self, phase: str, layer: int | None = None, part: int = 0) -> None:
        self.trace.windows.append(WindowTrace(Window(phase, layer, part)))

    def make(self, size: int, component: str = TEMPORARY, operator: str = "op", module: str = "") -> Free:
        """Allocate in the window written last; what is returned ends it."""
        window = self.trace.windows[-1]
        made = Allocation(size, len(self.trace.windows) - 1, len(window.allocations), operator, module, component)
        window.allocations.append(made)
        window.steps.append(made)
        return Free(made.window, made.number)

    def end(self, *frees: Free) -> None:
        self.trace.windows[-1].steps.extend(frees)


def played(assembly: Assembly) -> list[tuple[Window, list[str]]]:
    """The assembled windows; `+8@forward.3.0` is an allocation of 8 bytes, the first of layer 3's forward window,
    and `-forward.3.0` its end."""
    out: list[tuple[Window, list[str]]] = []
    for order, play in enumerate(assembly.plays):
        entries: list[str] = []
        for entry in assembly.entries(order):
            window, index = entry.block
            name = ".".join([window.phase, *([] if window.layer is None else [str(window.layer)]), str(index)])
            entries.append(f"-{name}" if entry.made is None else f"+{entry.made.size}@{name}")
        out.append((play.window, entries))
    return out
