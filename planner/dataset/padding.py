"""Padded batches: every sequence of a batch is as long as the longest one.

Examples are drawn in random order, as `Trainer` draws them, so that a batch of B is any B of the N examples of an
epoch with the same chance. Its longest has at most l tokens in C(F, B) of the C(N, B) batches, F being how many
examples have at most l: the distribution of the largest order statistic, without replacement.
"""

from __future__ import annotations

from planner.dataset.lengths import Histogram, truncated

Lengths = tuple[tuple[float, float], ...]
"""(tokens, the share of batches that are so long), shortest first; the shares add up to 1."""

_NOTHING = 1e-15
"""A share of batches that is none."""


def batch_lengths(histogram: Histogram, batch_size: int) -> Lengths:
    """How long batches of `batch_size` examples are, with the exact share of each length."""
    examples = sum(count for _, count in histogram)
    drawn = min(batch_size, examples)
    lengths: list[tuple[float, float]] = []
    up_to, before = 0, 0.0
    for length, count in histogram:
        up_to += count
        share = _all_among(up_to, examples, drawn)
        if share > before:
            lengths.append((length, share - before))
        before = share
    return tuple(lengths)


def mean_length(lengths: Lengths) -> float:
    """Tokens of a batch's sequences, on average."""
    return sum(length * share for length, share in lengths)


def padded_tokens(histogram: Histogram, batch_size: int, sequence_length: int) -> float:
    """Positions of one epoch, padding included, that is to be expected of batches of `batch_size` in random order.

    Examples are cut to `sequence_length` first. The last batch has the examples that are left.
    """
    cut = truncated(histogram, sequence_length)
    examples = sum(count for _, count in cut)
    full, left = divmod(examples, batch_size)
    total = 0.0
    if full:
        total += full * batch_size * mean_length(batch_lengths(cut, batch_size))
    if left:
        total += left * mean_length(batch_lengths(cut, left))
    return total


def summarized(lengths: Lengths, parts: int) -> Lengths:
    """The same distribution in at most `parts` lengths: the means of slices of the same share each.

    What is worked out for a length need not be worked out for thousands of them. The mean stays as it is.
    """
    if len(lengths) <= parts:
        return lengths
    shares, sums, start = [0.0] * parts, [0.0] * parts, 0.0
    for length, share in lengths:
        end = start + share
        for index in range(parts):
            # shares add up to 1 but for rounding, of which the last slice takes what there is
            upper = end if index == parts - 1 else min(end, (index + 1) / parts)
            within = upper - max(start, index / parts)
            if within > 0:
                shares[index] += within
                sums[index] += within * length
        start = end
    return tuple((total / share, share) for total, share in zip(sums, shares, strict=True) if share > 0)


def _all_among(few: int, all_: int, drawn: int) -> float:
    """The chance that all of `drawn` out of `all_` are among `few` of them: C(few, drawn) / C(all_, drawn).

    It is the product of (few - i) / (all_ - i) for i < drawn, and also of (all_ - drawn - i) / (all_ - i) for
    i < all_ - few: the shorter one is taken.
    """
    if few < drawn:
        return 0.0
    factors, top = min((drawn, few), (all_ - few, all_ - drawn))
    share = 1.0
    for index in range(factors):
        share *= (top - index) / (all_ - index)
        if share < _NOTHING:
            return 0.0
    return share
