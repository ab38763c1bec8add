"""Two or three ways of knowing a run's memory, side by side: what each says of every level, instant and component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from planner.memory.ledger import COMPONENTS, Instant, Ledgers, Levels

STANDS_OUT = 0.01
"""Share of the last column's allocated peak from which a difference is large."""

RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity as each column knows it, in bytes."""

    name: str
    """A level, an instant or a component."""
    bytes: tuple[int | None, ...]
    """One for each column; None where a column does not know it, which is not the same as 0."""

    @property
    def differences(self) -> tuple[int | None, ...]:
        """Each earlier column less the last, in bytes: `estimate - simulation`. Above 0: the earlier says more."""
        *earlier, last = self.bytes
        return tuple(None if size is None or last is None else size - last for size in earlier)

    @property
    def relative(self) -> tuple[float | None, ...]:
        """The differences as shares of the last column; None too where that is 0 and the other is not."""
        last = self.bytes[-1]
        return tuple(
            None if difference is None or (difference and not last) else difference / last if last else 0.0
            for difference in self.differences
        )


@dataclass(frozen=True, slots=True)
class ReconciledInstant:
    """One instant in every column: what is allocated then, and the components that add up to it."""

    name: str
    allocated: Line
    components: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Ledgers of one run side by side, the column that is trusted most last."""

    columns: tuple[str, ...]
    """The basis of each column: `formula`, `simulation`, `measurement`."""
    peaks: tuple[str, ...]
    """The instant that each column has its peak at."""
    levels: tuple[Line, ...]
    """The peak: allocated, reserved and process."""
    instants: tuple[ReconciledInstant, ...]
    """Every instant that any column has, in the order of a step."""

    @property
    def peak(self) -> ReconciledInstant | None:
        """The instant of the last column's peak."""
        return next((instant for instant in self.instants if instant.name == self.peaks[-1]), None)


def reconcile(columns: Sequence[Ledgers]) -> Reconciliation:
    """Ledgers side by side, in the order given: estimate, simulation, measurement.

    One alone is allowed: a run that the planner abstains from has a simulation and nothing to hold it to.
    """
    if not columns:
        raise ValueError("there is nothing to reconcile")
    by_name = [{instant.name: instant for instant in ledgers.instants} for ledgers in columns]
    return Reconciliation(
        columns=tuple(ledgers.basis for ledgers in columns),
        peaks=tuple(ledgers.instant for ledgers in columns),
        levels=(
            Line("allocated", tuple(ledgers.peak_bytes.allocated for ledgers in columns)),
            Line("reserved", tuple(ledgers.peak_bytes.reserved for ledgers in columns)),
            Line("process", tuple(ledgers.peak_bytes.process for ledgers in columns)),
        ),
        instants=tuple(
            _instant(name, [instants.get(name) for instants in by_name]) for name in _merged(list(map(list, by_name)))
        ),
    )


def without_runtime(ledgers: Ledgers) -> Ledgers:
    """The same ledgers without the workspaces of libraries, which belong to a card and not to the run.

    Reserved is less by what they are at the peak: exact for an estimate, which adds them to what it reserves. In a
    replay they lie in segments that other tensors may share, and leave 0 to 32 MiB when they go: only one that never
    had them is exact. The process level, with the context of that card, is not known any more.
    """
    instants = tuple(
        Instant(instant.name, {name: size for name, size in instant.components.items() if name != RUNTIME})
        for instant in ledgers.instants
    )
    kept = ledgers.peak.components.get(RUNTIME, 0)
    largest = max(instants, key=lambda instant: instant.allocated_bytes)
    before = next(instant for instant in instants if instant.name == ledgers.instant)
    # they are absent while loading, so that without them loading can be the peak
    peak = largest if largest.allocated_bytes > before.allocated_bytes else before
    allocated = max(ledgers.peak_bytes.allocated - kept, peak.allocated_bytes)
    return Ledgers(
        peak_bytes=Levels(allocated, max(ledgers.peak_bytes.reserved - kept, allocated), None),
        instant=peak.name,
        basis=ledgers.basis,
        instants=instants,
    )


def _instant(name: str, columns: Sequence[Instant | None]) -> ReconciledInstant:
    known = [instant for instant in columns if instant is not None]
    return ReconciledInstant(
        name,
        Line(name, tuple(instant and instant.allocated_bytes for instant in columns)),
        tuple(
            Line(component, tuple(instant and instant.components.get(component) for instant in columns))
            for component in _ordered(component for instant in known for component in instant.components)
        ),
    )


def _ordered(components: Iterable[str]) -> list[str]:
    """Each once, the ledger's own in the ledger's order and others after them."""
    names = dict.fromkeys(components)
    return [*(name for name in COMPONENTS if name in names), *(name for name in names if name not in COMPONENTS)]


def _merged(orders: Sequence[Sequence[str]]) -> list[str]:
    """The names of the last order; those that only earlier ones have, each after the name it follows there."""
    merged = list(orders[-1])
    for order in orders[:-1]:
        place = 0
        for name in order:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged
