"""Windows of three traced layers, played for five."""

from __future__ import annotations

from profiler.simulate.depth.assemble import Assembly
from profiler.simulate.depth.select import Selection
from profiler.simulate.trace.trace import AFTER, BACKWARD, EMBED, FORWARD, HEAD, LOSS_BACKWARD, Window
from tests.support.traces import Sheet, played

FIVE_OF_THREE = Selection(kept=(0, 1, 4), stands_for=(0, 1, 1, 1, 2))


def windows(sheet: Sheet, selection: Selection = FIVE_OF_THREE) -> dict[Window, list[str]]:
    return dict(played(Assembly(sheet.trace, selection)))


def test_layers_go_up_in_the_forward_pass_and_down_in_the_backward_pass() -> None:
    sheet = Sheet()
    sheet.window(EMBED)
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
    sheet.window(HEAD)
    for layer in (2, 1, 0):
        sheet.window(BACKWARD, layer)
    order = [window for window, _ in played(Assembly(sheet.trace, FIVE_OF_THREE))]
    assert [window.layer for window in order] == [None, 0, 1, 2, 3, 4, None, 4, 3, 2, 1, 0]
    assert [window.phase for window in order] == [EMBED] + [FORWARD] * 5 + [HEAD] + [BACKWARD] * 5


def test_micro_batches_are_passes_of_their_own() -> None:
    sheet = Sheet()
    for part in (0, 1):
        for layer in (0, 1, 2):
            sheet.window(FORWARD, layer, part)
    order = [window for window, _ in played(Assembly(sheet.trace, FIVE_OF_THREE))]
    assert [(window.part, window.layer) for window in order] == [(part, layer) for part in (0, 1) for layer in range(5)]


def test_a_layer_frees_its_own_and_its_neighbours_tensors() -> None:
    """Each layer keeps 10 bytes and hands 4 on; the layer after it ends those 4, its own backward the 10."""
    sheet = Sheet()
    kept, handed = [], []
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
        kept.append(sheet.make(10))
        handed.append(sheet.make(4))
        if layer:
            sheet.end(handed[layer - 1])
    for layer in (2, 1, 0):
        sheet.window(BACKWARD, layer)
        sheet.end(kept[layer])
    found = windows(sheet)
    assert found[Window(FORWARD, 0)] == ["+10@forward.0.0", "+4@forward.0.1"]
    for layer in (1, 2, 3, 4):
        assert found[Window(FORWARD, layer)] == [
            f"+10@forward.{layer}.0",
            f"+4@forward.{layer}.1",
            f"-forward.{layer - 1}.1",
        ]
    for layer in range(5):
        assert found[Window(BACKWARD, layer)] == [f"-forward.{layer}.0"]


def test_what_all_layers_share_ends_with_the_last_of_them() -> None:
    """The mask dies in the traced layer 1, which is played for layers 1 to 3, and last for layer 1 going down."""
    sheet = Sheet()
    sheet.window(EMBED)
    mask = sheet.make(8)
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
    for layer in (2, 1, 0):
        sheet.window(BACKWARD, layer)
        if layer == 1:
            sheet.end(mask)
    found = windows(sheet)
    assert [window for window, entries in found.items() if entries == ["-embed.0"]] == [Window(BACKWARD, 1)]


def test_a_window_outside_of_the_layers_ends_what_each_layer_kept() -> None:
    """In the order in which it did so in the trace."""
    sheet = Sheet()
    kept = []
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
        kept.append(sheet.make(10))
    sheet.window(HEAD)
    own = sheet.make(1)
    sheet.window(LOSS_BACKWARD)
    sheet.end(*reversed(kept))
    sheet.end(own)
    expected = [f"-forward.{layer}.0" for layer in (4, 3, 2, 1, 0)]
    assert windows(sheet)[Window(LOSS_BACKWARD)] == [*expected, "-head.0"]
    sheet.trace.windows[-1].steps.sort(key=lambda free: free)  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert windows(sheet)[Window(LOSS_BACKWARD)] == [*reversed(expected), "-head.0"]


def test_a_layer_that_ends_something_of_every_layer_does_so_in_the_whole_model() -> None:
    """Prefix tuning: the last layer's forward lets the prefixes of all layers go."""
    sheet = Sheet()
    kept = []
    for layer in (0, 1, 2):
        sheet.window(FORWARD, layer)
        kept.append(sheet.make(10))
    sheet.end(*kept)
    assert windows(sheet)[Window(FORWARD, 4)] == ["+10@forward.4.0", *[f"-forward.{layer}.0" for layer in range(5)]]


def test_layers_without_a_window_are_not_played() -> None:
    """A layer that no batch of text reaches runs neither forward nor backward."""
    sheet = Sheet()
    for layer in (0, 2):
        sheet.window(FORWARD, layer)
    assert list(windows(sheet)) == [Window(FORWARD, 0), Window(FORWARD, 4)]


def test_what_ends_in_the_trace_is_known() -> None:
    sheet = Sheet()
    sheet.window(EMBED)
    ended, kept = sheet.make(1), sheet.make(2)
    sheet.window(AFTER)
    sheet.end(ended)
    assembly = Assembly(sheet.trace, FIVE_OF_THREE)
    assert assembly.lost(sheet.trace.allocation(ended))
    assert not assembly.lost(sheet.trace.allocation(kept))
