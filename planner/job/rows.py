"""What a job's dataset is once it is cut, split, and padded or packed: rows, and how long their batches are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.dataset.lengths import truncated
from planner.dataset.packing import bfd_sequences, wrapped_sequences
from planner.dataset.padding import Lengths, batch_lengths, mean_length, padded_tokens
from planner.job.job import Job
from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one epoch: examples, or packed sequences."""

    training: int
    evaluation: int

    tokens: float
    """Of the training rows, without padding and without what is cut off."""

    padded: float
    """Positions of the training rows in batches of a GPU, padding included."""

    batches: Lengths
    """How long the sequences of a micro-batch are on the GPU with the longest, for which the others wait."""

    shortest: float
    longest: float
    """Between which the mean of `batches` lies for certain; apart where lengths had to be assumed."""

    assumptions: tuple[str, ...]
    """A sentence each."""


def rows_of(run: TrainingRun, job: Job) -> Rows:
    """The rows that `run` trains on."""
    if run.packing:
        return _packed(run, job)
    if job.lengths is not None:
        return _profiled(run, job)
    return _assumed(run, job)


def _packed(run: TrainingRun, job: Job) -> Rows:
    """Full sequences; what bfd leaves empty at their ends is counted as if it were there."""
    limit = run.sequence_length
    if job.lengths is not None:
        sequences, tokens = bfd_sequences(job.lengths.histogram, limit), _cut_tokens(job, limit)
        said = "Examples are packed as TRL's bfd does: cut to the sequence length and kept whole."
    elif job.tokens is not None:
        sequences, tokens = wrapped_sequences(job.tokens, limit), float(job.tokens)
        said = "Examples are packed without gaps."
    else:
        sequences = job.examples or 0
        tokens = float(sequences * limit)
        said = _full_length(limit)
    training = max(1, sequences - job.held_out(sequences))
    return Rows(
        training=training,
        evaluation=sequences - training,
        tokens=tokens * training / sequences,
        padded=training * limit,
        batches=((limit, 1.0),),
        shortest=limit,
        longest=limit,
        assumptions=(said,),
    )


def _profiled(run: TrainingRun, job: Job) -> Rows:
    profile = job.lengths
    assert profile is not None
    histogram = truncated(profile.histogram, run.sequence_length)
    evaluation = job.held_out(profile.examples)
    training = profile.examples - evaluation
    share = training / profile.examples
    batches = batch_lengths(histogram, run.micro_batch_size * run.num_gpus)
    mean = mean_length(batches)
    padded = padded_tokens(histogram, run.micro_batch_size, run.sequence_length) * share
    tokens = _cut_tokens(job, run.sequence_length) * share
    said = "Examples come in random order and are padded to the longest of their batch."
    return Rows(training, evaluation, tokens, padded, batches, mean, mean, (said,))


def _assumed(run: TrainingRun, job: Job) -> Rows:
    """Without a dataset: examples of one length, or of lengths spread about a mean."""
    limit = run.sequence_length
    if job.tokens is not None and job.examples is not None:
        rows, mean = job.examples, min(limit, job.tokens / job.examples)
        tokens = mean * rows
        said = (
            "Lengths are spread exponentially about their mean and cut at the sequence length: an assumption, which "
            "--dataset replaces."
        )
    elif job.tokens is not None:
        rows, mean, tokens = wrapped_sequences(job.tokens, limit), limit, job.tokens
        said = f"Every sequence has {limit:,} tokens, the sequence length; give --examples too, or --dataset."
    else:
        rows, mean = job.examples or 0, limit
        tokens = limit * rows
        said = _full_length(limit)
    training = max(1, rows - job.held_out(rows))
    longest = exponential_longest(mean, run.micro_batch_size, limit)
    slowest = exponential_longest(mean, run.micro_batch_size * run.num_gpus, limit)
    alone = run.micro_batch_size * run.num_gpus == 1
    return Rows(
        training=training,
        evaluation=rows - training,
        tokens=tokens * training / rows,
        padded=longest * training,
        batches=((slowest, 1.0),),
        shortest=mean,
        longest=mean if alone else limit,
        assumptions=(said,),
    )


def exponential_longest(mean: float, drawn: int, limit: int) -> float:
    """Tokens of the longest of `drawn` examples of exponentially distributed lengths: mean x (1 + 1/2 + ... + 1/drawn).

    Of all distributions of positive lengths with this mean it is the one that assumes least (Jaynes 1957). At most
    `limit`.
    """
    return min(float(limit), mean * _harmonic(drawn))


def _harmonic(count: int) -> float:
    """1 + 1/2 + ... + 1/count; beyond 1,000 by its expansion, which is off by less than 1e-7 there."""
    if count <= 1000:
        return sum(1 / number for number in range(1, count + 1))
    return math.log(count) + 0.5772156649015329 + 1 / (2 * count)


def _cut_tokens(job: Job, limit: int) -> float:
    profile = job.lengths
    assert profile is not None
    return float(profile.tokens - profile.truncation(limit).tokens)


def _full_length(limit: int) -> str:
    return f"Each example is taken as {limit:,} tokens, the sequence length; give --tokens or --dataset."
