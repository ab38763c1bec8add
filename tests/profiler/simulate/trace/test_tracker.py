"""What the tracker sees of tensors; those of the CPU here, which it is told to follow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from profiler.simulate.trace.trace import (
    BASE_WEIGHTS,
    EMBED,
    FORWARD,
    GRADIENTS,
    SAVED,
    TEMPORARY,
    Allocation,
    Free,
    Window,
)
from profiler.simulate.trace.tracker import Tracker


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    tracker = Tracker(device="cpu")
    tracker.enter(Window(EMBED))
    with tracker:
        yield tracker
        tracker.close()


def in_words(tracker: Tracker, window: int = -1) -> list[str]:
    """`+8 empty` and `-0.1`: the second allocation of the first window ends."""
    steps = tracker.trace.windows[window].steps
    return [
        f"+{one.size} {one.operator.split('.')[1]}" if isinstance(one, Allocation) else f"-{one.window}.{one.number}"
        for one in steps
    ]


def test_a_tensor_is_made_and_freed(tracker: Tracker) -> None:
    x = torch.empty(10)
    y = torch.empty(3, dtype=torch.bfloat16)
    del x
    assert in_words(tracker) == ["+40 empty", "+6 empty", "-0.0"]
    del y
    assert in_words(tracker)[-1] == "-0.1"


def test_views_and_writes_in_place_are_of_the_same_storage(tracker: Tracker) -> None:
    x = torch.zeros(4, 4)
    y = x.t()[1:].mul_(2).view(3, 2, 2)
    del x
    assert in_words(tracker) == ["+64 zeros"]
    del y
    assert in_words(tracker) == ["+64 zeros", "-0.0"]


def test_the_tensors_of_tuples_and_lists_are_seen(tracker: Tracker) -> None:
    found = torch.topk(torch.zeros(8), 2)
    sums = torch._foreach_add([torch.zeros(1), torch.zeros(2)], 1)
    assert [word for word in in_words(tracker) if word.startswith("+")] == [
        "+32 zeros",
        "+8 topk",
        "+16 topk",
        "+4 zeros",
        "+8 zeros",
        "+4 _foreach_add",
        "+8 _foreach_add",
    ]
    del found, sums


def test_what_holds_no_bytes_on_the_device_is_not_seen(tracker: Tracker) -> None:
    nothing = torch.empty(0)
    elsewhere = torch.empty(4, device="meta")
    assert in_words(tracker) == []
    del nothing, elsewhere


def test_a_storage_at_the_address_of_one_that_died_is_a_new_one(tracker: Tracker) -> None:
    for _ in range(20):
        torch.empty(64)
    assert in_words(tracker) == [word for number in range(20) for word in ("+256 empty", f"-0.{number}")]


def test_a_tensor_ends_in_another_window_than_it_was_made_in(tracker: Tracker) -> None:
    x = torch.empty(1)
    tracker.enter(Window(FORWARD, 0))
    y = torch.empty(2)
    del x, y
    assert in_words(tracker, 1) == ["+8 empty", "-0.0", "-1.0"]
    assert tracker.window == Window(FORWARD, 0)


def test_allocations_are_of_the_component_and_the_module_that_are_set(tracker: Tracker) -> None:
    tracker.enter(Window(FORWARD, 3), GRADIENTS)
    tracker.module = "mlp.up_proj"
    x = torch.empty(1)
    tracker.enter(Window(FORWARD, 4))
    y = torch.empty(1)
    assert [(made.component, made.module) for made in tracker.live()] == [
        (GRADIENTS, "mlp.up_proj"),
        (TEMPORARY, "mlp.up_proj"),
    ]
    assert tracker.allocation_of(x.view(1, 1)) is tracker.trace.allocation(Free(1, 0))
    del y


def test_a_tensor_from_before_is_unknown() -> None:
    x = torch.empty(4)
    tracker = Tracker(device="cpu")
    tracker.enter(Window(EMBED))
    with tracker:
        assert tracker.allocation_of(x) is None


def test_what_a_recomputation_leaves_is_saved(tracker: Tracker) -> None:
    """Named with the first allocation after it, when the variables of its frames are gone."""
    tracker.recompute(True)
    saved, passing = torch.empty(1), torch.empty(2)
    tracker.recompute(False)
    del passing
    after = torch.empty(3)
    made = tracker.trace.windows[0].allocations
    assert [(one.component, one.recomputed) for one in made] == [
        (SAVED, True),
        (TEMPORARY, True),
        (TEMPORARY, False),
    ]
    del saved, after


def test_the_answer_is_asked_first() -> None:
    given = torch.empty(5)

    def answer(func: object, args: object) -> object:
        return given if func is torch.ops.aten.nonzero.default else NotImplemented

    tracker = Tracker(answer, device="cpu")
    tracker.enter(Window(EMBED))
    with tracker:
        found = torch.nonzero(torch.zeros(2))
    assert found is given
    assert in_words(tracker)[:2] == ["+8 zeros", "+20 nonzero"]


def test_the_operator_that_fails_is_known(tracker: Tracker) -> None:
    tracker.enter(Window(FORWARD, 2))
    tracker.module = "mlp"
    with pytest.raises(RuntimeError):
        torch.mm(torch.zeros(2, 3), torch.zeros(2, 3))
    assert tracker.failed == ("aten.mm.default", "mlp", Window(FORWARD, 2))


def test_after_its_end_nothing_is_seen(tracker: Tracker) -> None:
    x = torch.empty(1)
    tracker.close()
    y = torch.empty(1)
    del x, y
    assert in_words(tracker) == ["+4 empty"]


def test_a_real_step_ends_where_it_began(tracker: Tracker) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1))
    parameters = len(list(tracker.live()))
    tracker.enter(Window(FORWARD, 0))
    model(torch.zeros(2, 4)).sum().backward()
    model.zero_grad()
    assert len(list(tracker.live())) == parameters == 4


def test_what_was_made_before_is_adopted() -> None:
    """Once, whatever views there are of it; it is of no operator, and its end is seen as any other's."""
    weight, other = torch.empty(4, 4), torch.empty(2)
    tracker = Tracker(device="cpu")
    tracker.enter(Window(EMBED))
    for tensor in (weight, weight.t(), torch.nn.Parameter(weight)):
        tracker.adopt(tensor, BASE_WEIGHTS)
    [made] = tracker.live()
    assert (made.size, made.operator, made.component) == (64, "", BASE_WEIGHTS)
    with tracker:
        assert tracker.allocation_of(weight[1:]) is made
        assert tracker.allocation_of(other) is None
        weight.mul_(2)
        assert list(tracker.live()) == [made]
    tracker.enter(Window(FORWARD, 0))
    del weight, tensor
    assert list(tracker.live()) == []
    assert tracker.trace.windows[1].steps == [Free(0, 0)]


def test_what_is_followed_already_is_renamed_as_it_is_adopted(tracker: Tracker) -> None:
    x = torch.empty(4)
    tracker.adopt(x, GRADIENTS)
    assert in_words(tracker) == ["+16 empty"]
    assert [made.component for made in tracker.live()] == [GRADIENTS]


def test_what_is_elsewhere_is_not_adopted(tracker: Tracker) -> None:
    for tensor in (torch.empty(4, device="meta"), torch.empty(0)):
        tracker.adopt(tensor, BASE_WEIGHTS)
    assert in_words(tracker) == []
