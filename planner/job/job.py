"""`Job`: what a run is to train on, and what it does besides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.dataset.lengths import LengthProfile
from planner.errors import InputError
from planner.run.kinds import Kind, Number, Whole

_RULES: dict[str, Kind] = {
    "examples": Whole(1, 10**12),
    "tokens": Whole(1, 10**15),
    "epochs": Number(0, 10_000, above_low=True),
    "max_steps": Whole(1, 10**9),
    "eval_split": Number(0, 1, below_high=True),
    "save_steps": Whole(0, 10**9),
    "download_bytes_per_s": Number(1e3, 1e12),
}
"""Field -> what it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The work of one training run, validated when it is made.

    It has `examples`, `tokens`, both, or the `lengths` of a dataset. Raises `InputError`, in one sentence, for a value
    that is not allowed and for fields that contradict each other.
    """

    examples: int | None = None
    """Rows of the dataset, before any are split off for evaluation."""

    tokens: int | None = None
    """Of all examples together, once over, without padding."""

    lengths: LengthProfile | None = None
    """How long each example is; it says `examples` and `tokens` too."""

    epochs: float = 1.0
    """`num_train_epochs`; part of an epoch counts."""

    max_steps: int | None = None
    """Optimizer steps at which training stops, whatever `epochs` is."""

    eval_split: float = 0.0
    """The share of the examples that is kept for evaluation, as `test_size` of `Dataset.train_test_split`."""

    save_steps: int = 500
    """Optimizer steps from one checkpoint to the next, by default those of `TrainingArguments`; 0: no checkpoints.
    As in `Trainer`, the last step is followed by one too."""

    download_bytes_per_s: float | None = None
    """At which the model arrives. None: not known."""

    merge: bool = False
    """Whether the adapter is merged into the 16-bit base afterwards."""

    def __post_init__(self) -> None:
        for name, kind in _RULES.items():
            value: object = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, kind.parse(name, value))
        if self.lengths is not None and (self.examples is not None or self.tokens is not None):
            given = "examples" if self.examples is not None else "tokens"
            raise InputError(f"{given} and a dataset say the same; give one of them", field=given)
        if self.lengths is None and self.examples is None and self.tokens is None:
            raise InputError("a job needs examples, tokens or a dataset; give one of them", field="examples")
        if self.examples is not None and self.tokens is not None and self.tokens < self.examples:
            raise InputError(
                f"tokens must be at least one for each of the {self.examples:,} examples, not {self.tokens:,}; "
                "give the tokens of all examples together",
                field="tokens",
            )
        if self.all_examples is not None and not self.all_examples - self.held_out(self.all_examples):
            raise InputError(
                f"eval_split leaves no example of {self.all_examples:,} to train on; make it smaller",
                field="eval_split",
            )

    @property
    def all_examples(self) -> int | None:
        """Training and evaluation together; None where only tokens are known."""
        return self.lengths.examples if self.lengths is not None else self.examples

    @property
    def all_tokens(self) -> int | None:
        """Once over; None where only examples are known."""
        return self.lengths.tokens if self.lengths is not None else self.tokens

    @property
    def mean_length(self) -> float | None:
        """Tokens of an example; None where it is not known."""
        if self.all_examples is None or self.all_tokens is None:
            return None
        return self.all_tokens / self.all_examples

    def held_out(self, rows: int) -> int:
        """Of so many rows, those that are kept for evaluation: rounded up, as `train_test_split` does."""
        return math.ceil(self.eval_split * rows)
