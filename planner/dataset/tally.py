"""The lengths of the examples in rows of any kind, and the rows that are none."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable
from typing import cast

from planner.catalogue.spelling import shown
from planner.dataset.counting import Counter
from planner.dataset.layouts import Document, Layout, Row, characters
from planner.dataset.lengths import LengthProfile, Skipped, rounded
from planner.dataset.source import Rows, Unreadable
from planner.errors import InputError

Progress = Callable[[float], None]
"""Told how much of the file has been read, from 0 to 1."""

BATCH = 1000
"""Examples that are counted at a time."""

BATCH_CHARACTERS = 2**24
"""Or fewer, if they have so many characters."""

GIVE_UP = 10_000
"""Rows after which a file without one example is none."""

SHOWN = 3
"""Row numbers that are kept of each reason to skip some."""

NO_TEXT = "without text"
REFUSED = "refused by the chat template"
NOT_AN_OBJECT = "not a JSON object"


class Tally:
    """What is kept of the rows read so far."""

    def __init__(self, name: str, unit: str, layouts: tuple[Layout, ...], counter: Counter) -> None:
        self._name = name
        self._unit = unit
        self._layouts = layouts
        self._counter = counter
        self._lengths = Counts[int]()
        self._tokens = 0
        self._longest = 0
        self._taken = Counts[str]()
        self._chats = False
        self._skipped: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._fields: list[str] = []

    def read(self, rows: Rows, progress: Progress | None) -> None:
        """Count all rows."""
        layout = self._layouts[0]
        documents: list[Document] = []
        numbers: list[int] = []
        names: list[str] = []
        held = rejected = 0
        for number, row in rows.rows:
            if isinstance(row, dict):
                fields, reason = cast("Row", row), NO_TEXT
                document = layout.take(fields)
                if document is None:
                    layout, document = self._other_layout(fields, layout)
            else:
                document, reason = None, row.reason if isinstance(row, Unreadable) else NOT_AN_OBJECT
            if document is None:
                self._skip(reason, number)
                rejected += 1
                if rejected >= GIVE_UP and not self._tokens and not documents:
                    raise self._no_example(more=True)
                continue
            documents.append(document)
            numbers.append(number)
            names.append(layout.name)
            held += len(document) if isinstance(document, str) else characters(document)
            if len(documents) >= BATCH or held >= BATCH_CHARACTERS:
                self._count(documents, numbers, names)
                documents, numbers, names, held = [], [], [], 0
                if progress is not None:
                    progress(rows.share())
        self._count(documents, numbers, names)

    def profile(self, source: str) -> LengthProfile:
        """The profile of all that was read. Raises `InputError` where that is no example."""
        if not self._lengths:
            raise self._no_example()
        return LengthProfile(
            source=source,
            histogram=tuple(sorted(self._lengths.items())),
            tokens=self._tokens,
            longest=self._longest,
            layouts=tuple(sorted(self._taken.items(), key=lambda item: -item[1])),
            counted=self._counter.counted(),
            assumptions=tuple(self._counter.assumptions(self._chats)),
            skipped=self._reasons(),
            unit=self._unit,
        )

    def _other_layout(self, row: Row, tried: Layout) -> tuple[Layout, Document | None]:
        for layout in self._layouts:
            document = layout.take(row)
            if document is not None:
                return layout, document
        self._fields = self._fields or list(row)
        return tried, None

    def _count(self, documents: list[Document], numbers: list[int], names: list[str]) -> None:
        lengths = self._counter.lengths(documents)
        self._chats = self._chats or any(isinstance(document, list) for document in documents)
        for length, examples in Counts(lengths).items():
            if length:
                self._lengths[rounded(length)] += examples
                self._tokens += length * examples
                self._longest = max(self._longest, length)
        if not all(lengths):
            for length, number in zip(lengths, numbers, strict=True):
                if not length:
                    self._skip(REFUSED if length is None else NO_TEXT, number)
            names = [name for length, name in zip(lengths, names, strict=True) if length]
        self._taken.update(names)

    def _skip(self, reason: str, number: int) -> None:
        rows, first = self._skipped.get(reason, (0, ()))
        self._skipped[reason] = rows + 1, first if len(first) >= SHOWN else (*first, number)

    def _reasons(self) -> tuple[Skipped, ...]:
        most_first = sorted(self._skipped.items(), key=lambda item: -item[1][0])
        return tuple(Skipped(reason, rows, first) for reason, (rows, first) in most_first)

    def _no_example(self, more: bool = False) -> InputError:
        if not self._skipped:
            return InputError(f"{self._name} has no rows; give a file with examples", field="dataset")
        reasons = ", ".join(
            f"{skipped.rows:,} {skipped.reason} ({self._unit} {', '.join(map(str, skipped.first))}"
            f"{', ...' if skipped.rows > len(skipped.first) else ''})"
            for skipped in self._reasons()
        )
        where = f"in its first {GIVE_UP:,} rows " if more else ""
        message = f"{self._name} has no example {where}that can be used: {reasons}"
        if NO_TEXT in self._skipped and self._fields:
            have = ", ".join(f"'{shown(name, 40)}'" for name in self._fields[:12])
            wanted = ", ".join(layout.name for layout in self._layouts)
            message += f"; text is looked for in {wanted}, and its rows have {have}: name one with --text-field"
        else:
            message += "; give a file with an example in each row"
        return InputError(message, field="dataset")
