"""Packed sequences: examples behind each other in sequences of one length, in the two ways that TRL has.

`bfd`, the default of TRL's `packing_strategy`, keeps examples whole: they are cut to the sequence length, and the
longest goes first, into the sequence where it leaves the least room (best-fit decreasing). `wrapped` joins all examples
and cuts the whole into sequences. TRL packs 1,000 examples at a time; here all are packed at once, which leaves a
little less room.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from planner.dataset.lengths import Histogram, truncated


def wrapped_sequences(tokens: int, sequence_length: int) -> int:
    """Sequences of all `tokens` behind each other; the last may be shorter."""
    return -(-tokens // sequence_length)


def bfd_sequences(histogram: Histogram, sequence_length: int) -> int:
    """Sequences that best-fit decreasing fills, exactly.

    Examples of one length are placed together: a sequence with the least room that still is enough takes as many as
    go in, since it stays the fullest that fits, and all sequences of that room do the same.
    """
    rooms: dict[int, int] = {}
    order: list[int] = []  # the rooms that some sequence has, least first
    sequences = 0

    def add(room: int, count: int) -> None:
        if room and count:
            if room not in rooms:
                insort(order, room)
            rooms[room] = rooms.get(room, 0) + count

    def place(length: int, left: int, room: int, available: int) -> tuple[int, int]:
        """Examples still left, and sequences of `room` that got some; what room they keep is put back."""
        each = room // length
        full = min(available, left // each)
        add(room - each * length, full)
        left -= full * each
        if left and full < available:
            add(room - left * length, 1)
            return 0, full + 1
        return left, full

    for length, count in reversed(truncated(histogram, sequence_length)):
        left = count
        while left:
            index = bisect_left(order, length)
            if index == len(order):
                _, opened = place(length, left, sequence_length, left)
                sequences += opened
                break
            room = order[index]
            del order[index]
            available = rooms.pop(room)
            left, used = place(length, left, room, available)
            add(room, available - used)
    return sequences
