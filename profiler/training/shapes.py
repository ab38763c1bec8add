"""The shapes of the batches that go into a model in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """One micro-batch."""

    batch: int
    """Sequences."""
    length: int
    """Tokens of each, padding included."""

    @property
    def tokens(self) -> int:
        """Of all sequences together."""
        return self.batch * self.length


class BatchShapes:
    """A forward pre-hook that notes the shapes of what goes into a model in training. It holds nothing else, so that a
    model with it can still be copied and pickled."""

    def __init__(self) -> None:
        self.seen: list[Shape] = []
        """Those that nobody has taken yet."""

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module.training:
            tokens = kwargs.get("input_ids", args[0] if args else None)
            shape = getattr(kwargs.get("inputs_embeds") if tokens is None else tokens, "shape", ())
            if len(shape) >= 2:
                self.seen.append(Shape(int(shape[0]), int(shape[1])))

    def take(self) -> list[Shape]:
        """What was noted since the last time."""
        seen, self.seen = self.seen, []
        return seen
