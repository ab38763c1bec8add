"""CUDA_VISIBLE_DEVICES as CUDA reads it."""

from __future__ import annotations

import pytest

from profiler.measure.device.visible import hides_all, left

UUIDS = ("GPU-aaaa1111", "GPU-aaaa2222", "GPU-bbbb3333")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("0", 1),
        ("2,0", 2),
        ("0,1,2", 3),
        ("0,7,1", 1),  # the list ends at the first that is not there
        ("7", 0),
        ("-1", 0),
        ("", 0),
        ("none", 0),
        ("1,1", 0),
        ("GPU-bbbb", 1),
        ("GPU-aaaa", 0),  # two begin so
        ("GPU-aaaa1111, 1", 2),
        ("MIG-cccc", 1),
    ],
)
def test_how_many_cards_are_left(value: str, count: int) -> None:
    assert left(value, UUIDS) == count


def test_torch_agrees_on_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for value in ("0", "2,0", "0,1,2", "-1", "1,1", "none"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert left(value, UUIDS) == len(torch.cuda._parse_visible_devices())


def test_the_sentences() -> None:
    assert hides_all("", UUIDS) == (
        "CUDA_VISIBLE_DEVICES is set to nothing, which hides every card; unset it, "
        "or give the number of a card that is here: 0 to 2"
    )
    assert hides_all("7", UUIDS[:1]) == (
        "CUDA_VISIBLE_DEVICES=7 names no card of this machine; unset it, or give the number of a card that is here: 0"
    )
    assert hides_all("-1", ()).endswith("unset it, or name a card by its number")
