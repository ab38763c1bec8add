"""A run's stream, composed of a hand-made trace of one layer."""

from __future__ import annotations

import pytest

from profiler.simulate.depth.assemble import Assembly, DoesNotFold
from profiler.simulate.depth.select import Selection
from profiler.simulate.stream import MOST_MICRO_BATCHES, Stream, compose
from profiler.simulate.trace.trace import (
    AFTER,
    BACKWARD,
    BASE_WEIGHTS,
    CLIP,
    EMBED,
    EVALUATION,
    FORWARD,
    LOAD,
    LOSS_BACKWARD,
    MADE,
    OPTIMIZER,
    RUNTIME,
    ZERO_GRAD,
    Free,
    Window,
)
from tests.support.traces import Sheet

ONE = Selection((0,), (0,))


def micro_batch(sheet: Sheet, part: int = 0, before: Free | None = None) -> Free:
    """Keeps 10 bytes from forward to backward and makes a gradient of 4, into which a later one is added."""
    sheet.window(EMBED, None, part)
    sheet.window(FORWARD, 0, part)
    kept = sheet.make(10)
    sheet.window(LOSS_BACKWARD, None, part)
    sheet.window(BACKWARD, 0, part)
    gradient = sheet.make(4)
    if before is not None:
        sheet.end(gradient)
    sheet.end(kept)
    sheet.window(AFTER, None, part)
    return before or gradient


def loaded() -> Sheet:
    sheet = Sheet()
    sheet.window(LOAD)
    sheet.make(100, BASE_WEIGHTS)
    return sheet


def optimizer(*, clipping: bool = False) -> Sheet:
    """Makes a state of 8 bytes in its first step; a norm of 1 byte replaces the one before."""
    sheet = Sheet()
    sheet.window(LOAD)
    sheet.make(1000)
    sheet.window(OPTIMIZER, None, MADE)
    norm: Free | None = None
    for number in (0, 1):
        sheet.window(CLIP, None, number)
        if clipping:
            sheet.end(*([norm] if norm is not None else []))
            norm = sheet.make(1)
        sheet.window(OPTIMIZER, None, number)
        if number == 0:
            sheet.make(8)
        sheet.window(ZERO_GRAD, None, number)
    return sheet


def composed(sheet: Sheet, gradient: Free, **fields: object) -> Stream:
    window = sheet.trace.windows[gradient.window].window
    fields = {"micro_batches": 1} | fields
    steps = fields.pop("optimizer", optimizer())
    assert isinstance(steps, Sheet)
    return compose(
        Assembly(sheet.trace, ONE),
        steps.trace,
        [(window, gradient.number)],
        **fields,  # pyright: ignore[reportArgumentType]
    )


def in_words(stream: Stream, step: int) -> list[str]:
    """`backward +4 -10`"""
    ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
    return [
        " ".join(
            [
                stretch.window.phase,
                *(
                    f"{event.size:+}" if event.size else f"-{stream.made[event.block].size}"
                    for event in stream.events[stretch.begins : end]
                ),
            ]
        )
        for stretch, end in zip(stream.stretches, ends, strict=True)
        if stretch.step == step and end > stretch.begins
    ]


def test_loading_then_steps() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet))
    passes = ["forward +10", "backward +4 -10"]
    assert in_words(stream, 0) == ["load +100"]
    assert in_words(stream, 1) == [*passes, "optimizer +8", "zero_grad -4"]
    assert in_words(stream, 2) == in_words(stream, 3) == [*passes, "zero_grad -4"]
    assert in_words(stream, 4) == []


def test_the_optimizers_own_parameters_are_not_played() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet))
    assert 1000 not in [made.size for made in stream.made]


@pytest.mark.parametrize(("micro_batches", "played"), [(1, 1), (2, 2), (3, 3), (64, MOST_MICRO_BATCHES)])
def test_micro_batches_after_the_second_are_like_it(micro_batches: int, played: int) -> None:
    sheet = loaded()
    gradient = micro_batch(sheet)
    micro_batch(sheet, 1, gradient)
    words = in_words(composed(sheet, gradient, micro_batches=micro_batches), 2)
    later = ["forward +10", "backward +4 -4 -10"]
    assert words == ["forward +10", "backward +4 -10", *later * (played - 1), "zero_grad -4"]


def test_evaluation_is_played_once_after_the_first_step() -> None:
    sheet = loaded()
    gradient = micro_batch(sheet)
    sheet.window(EMBED, None, EVALUATION)
    tokens = sheet.make(3)
    sheet.window(AFTER, None, EVALUATION)
    sheet.end(tokens)
    stream = composed(sheet, gradient)
    assert in_words(stream, 1)[-2:] == ["embed +3", "after -3"]
    assert [stretch.step for stretch in stream.stretches if stretch.window.part == EVALUATION] == [1, 1]


def test_workspaces_come_with_the_first_forward_and_backward_pass_and_stay() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet), workspaces=(50, 60))
    assert in_words(stream, 1)[:4] == ["embed +50", "forward +10", "loss_backward +60", "backward +4 -10"]
    assert in_words(stream, 2)[:2] == ["forward +10", "backward +4 -10"]
    assert [made.size for made in stream.made if made.component == RUNTIME] == [50, 60]


def test_what_is_replaced_ends_once_the_new_one_is_there() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet), optimizer=optimizer(clipping=True))
    assert [word for step in (1, 2, 3) for word in in_words(stream, step) if word.startswith("clip")] == [
        "clip +1",
        "clip -1 +1",
        "clip +1 -1",  # of the second step's trace once more: the norm before is the third step's own
    ]


def test_blocks_are_named_once() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet), workspaces=(50,))
    made = [event.block for event in stream.events if event.size]
    assert made == list(range(len(stream.made)))
    freed = [event.block for event in stream.events if not event.size]
    assert len(set(freed)) == len(freed)
    assert [stream.made[event.block].size for event in stream.events if event.size] == [
        event.size for event in stream.events if event.size
    ]


def test_windows_are_named_as_they_are_played() -> None:
    sheet = loaded()
    stream = composed(sheet, micro_batch(sheet))
    second = [stretch.window for stretch in stream.stretches if stretch.step == 2]
    assert second == [
        Window(EMBED),
        Window(FORWARD, 0),
        Window(LOSS_BACKWARD),
        Window(BACKWARD, 0),
        Window(AFTER),
        Window(CLIP, None, 1),
        Window(OPTIMIZER, None, 1),
        Window(ZERO_GRAD, None, 1),
        Window(ZERO_GRAD),
    ]


def test_a_neighbour_that_is_not_there_does_not_fold() -> None:
    """Layer 1 of three ends the second tensor of layer 0, which layers that layer 1 stands for do not have."""
    sheet = loaded()
    sheet.window(FORWARD, 0)
    sheet.make(1)
    second = sheet.make(2)
    sheet.window(FORWARD, 1)
    gradient = sheet.make(3)
    sheet.end(second)
    sheet.window(FORWARD, 2)
    with pytest.raises(DoesNotFold, match="freed, but not alive"):
        folded(sheet, gradient)


def test_what_is_freed_twice_does_not_fold() -> None:
    sheet = loaded()
    kept = []
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
        kept.append(sheet.make(1))
    sheet.window(LOSS_BACKWARD)
    sheet.end(*kept)
    sheet.window(AFTER)
    sheet.end(kept[0])
    with pytest.raises(DoesNotFold, match="freed, but not alive"):
        folded(sheet, kept[0])


def test_what_would_never_end_does_not_fold() -> None:
    """In the trace layer 2 ends what layer 0 made, two layers before it: in the whole model that is layer 2's."""
    sheet = loaded()
    sheet.window(FORWARD, 0)
    far = sheet.make(1)
    sheet.window(FORWARD, 1)
    sheet.make(1)
    sheet.window(FORWARD, 2)
    sheet.end(far)
    with pytest.raises(DoesNotFold, match="does not end"):
        folded(sheet, far)


def folded(sheet: Sheet, gradient: Free) -> Stream:
    return compose(
        Assembly(sheet.trace, Selection((0, 1, 4), (0, 1, 1, 1, 2))),
        optimizer().trace,
        [(sheet.trace.windows[gradient.window].window, gradient.number)],
        micro_batches=1,
    )
