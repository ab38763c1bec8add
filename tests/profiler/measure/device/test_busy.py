"""Whether others are on the card."""

from __future__ import annotations

import os

import pytest

from profiler.measure.device.busy import busy
from profiler.measure.device.cpu import Cpu
from profiler.measure.device.cuda import Cuda
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.stand_in import Card, stand_in

GIB = 2**30
OWN = f"{os.getpid()}:{500 * 2**20}"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return stand_in(monkeypatch)


@pytest.mark.usefixtures("card")
def test_nobody_else(driver: Answers) -> None:
    driver(processes=OWN)
    assert busy(Cuda()) is None


@pytest.mark.usefixtures("card")
def test_another_process(driver: Answers) -> None:
    driver(processes=f"{OWN} 4242:{5 * GIB}")
    assert busy(Cuda()) == (
        "another process is on the card (pid 4242 python3, 5.0 GiB), so that memory runs out earlier and steps take "
        "longer; end it, or choose another card by CUDA_VISIBLE_DEVICES"
    )


@pytest.mark.usefixtures("card")
def test_several(driver: Answers) -> None:
    driver(processes=" ".join([OWN, *(f"{pid}:{GIB}" for pid in (11, 12, 13, 14))]))
    sentence = busy(Cuda()) or ""
    assert sentence.startswith("4 other processes are on the card (pid 11 jupyter, 1.0 GiB, pid 12")
    assert "..." in sentence and "pid 14" not in sentence


@pytest.mark.usefixtures("card")
def test_a_service_that_holds_next_to_nothing(driver: Answers) -> None:
    driver(processes=f"{OWN} 55:{30 * 2**20}")
    assert busy(Cuda()) is None


def test_a_container_that_knows_itself_by_another_number(card: Card, driver: Answers) -> None:
    driver(processes=f"1000001:{500 * 2**20}")
    assert busy(Cuda()) is None
    card.allocate(GIB)
    assert busy(Cuda()) is None
    card.others = 6 * GIB
    sentence = busy(Cuda()) or ""
    # the catalogue's context is 22 MiB larger than this card's
    assert sentence.startswith("6.0 GiB of the card are in use by others that the driver does not name here")


def test_what_is_in_use_where_this_process_is_the_only_one_listed(card: Card, driver: Answers) -> None:
    driver(processes=OWN)
    card.others = 2 * GIB
    assert (busy(Cuda()) or "").startswith("2.0 GiB of the card are in use by others")


@pytest.mark.usefixtures("no_driver")
def test_without_nvml(card: Card) -> None:
    assert busy(Cuda()) is None
    card.others = 6 * GIB
    assert (busy(Cuda()) or "").startswith("6.0 GiB of the card are in use by others")


def test_a_cpu_is_shared_with_everybody() -> None:
    assert busy(Cpu()) is None
