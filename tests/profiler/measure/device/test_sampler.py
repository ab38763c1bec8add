"""The thread that looks between the instants."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.measure.device import host, nvml
from profiler.measure.device.sampler import Reading, Sampler, reader
from profiler.measure.types import Sampled
from tests.profiler.conftest import Answers
from tests.profiler.measure.device.test_nvml import FIRST


class Script:
    """Gives readings one by one, each when it is told to, and lets the test wait until each was folded."""

    def __init__(self, readings: Sequence[Reading | Exception]) -> None:
        self.readings = iter(readings)
        self.wanted = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)

    def __call__(self) -> Reading:
        self.asked.release()
        self.wanted.acquire()
        reading = next(self.readings, Reading())
        if isinstance(reading, Exception):
            raise reading
        return reading

    def step(self, count: int = 1) -> None:
        """As many readings, each folded before this returns: the thread then asks for the next."""
        for _ in range(count):
            self.wanted.release()
            assert self.asked.acquire(timeout=30)


def run(readings: Sequence[Reading | Exception]) -> Sampled:
    script = Script(readings)
    with Sampler(script, interval_s=0) as sampler:
        assert script.asked.acquire(timeout=30)
        script.step(len(readings))
        result = sampler.sampled()
        script.wanted.release()
    return result


@settings(max_examples=20)
@given(st.lists(st.builds(Reading, *[st.none() | st.integers(0, 2**40)] * 3), max_size=8))
def test_peaks_are_those_of_all_readings(readings: list[Reading]) -> None:
    seen = run(readings)
    assert seen.samples == len(readings)
    for name in ("host", "process", "device"):
        known = [value for reading in readings if (value := getattr(reading, f"{name}_bytes")) is not None]
        assert getattr(seen, f"{name}_peak_bytes") == max(known, default=None)


def test_power_and_clocks_count_while_steps_are_timed() -> None:
    idle = Reading(10, power_w=50.0, sm_clock_mhz=210, temperature_c=70)
    # the first of these is under way as the timed stretch begins, and left out of the means
    busy = [Reading(20, power_w=w, sm_clock_mhz=c, temperature_c=60) for w, c in ((0, 1), (300, 1400), (310, 1200))]
    script = Script([idle, *busy, idle])
    with Sampler(script, interval_s=0) as sampler:
        assert script.asked.acquire(timeout=30)
        script.step()
        with sampler.timed():
            script.step(len(busy))
        script.step()  # under way when the timed stretch ended
        seen = sampler.sampled()
        script.wanted.release()
    assert seen.power_w == (300 + 310) / 2
    assert seen.sm_clock_mhz == (1400 + 1200) / 2
    assert seen.lowest_sm_clock_mhz == 1200
    assert seen.temperature_c == 70
    assert seen.host_peak_bytes == 20


def test_what_is_read_outside_the_timed_steps_is_in_no_mean() -> None:
    seen = run([Reading(1, power_w=9.0, sm_clock_mhz=9)] * 3)
    assert (seen.power_w, seen.sm_clock_mhz, seen.lowest_sm_clock_mhz) == (None, None, None)


def test_a_reading_that_fails_is_left_out() -> None:
    seen = run([Reading(7), OSError("gone"), RuntimeError("NVML"), Reading(8)])
    assert seen == Sampled(2, 8, None, None, None, None, None, None)


def test_the_thread_ends_with_the_run_and_the_run_s_error_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError), Sampler(Reading, interval_s=3600):
        raise ZeroDivisionError
    gc.collect()
    assert "lora-plan sampler" not in {thread.name for thread in threading.enumerate()}


def test_slow_readings_are_taken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=1.0)  # each look at it is a second of the thread's CPU time later
    monkeypatch.setattr("profiler.measure.device.sampler.time.thread_time", lambda: next(clock))
    pauses: list[float] = []
    sampler = Sampler(Reading, interval_s=0.05)
    monkeypatch.setattr(sampler, "_stop", Stop(pauses, rounds=3))
    with sampler:
        pass
    assert pauses == [0.0, 200.0, 200.0, 200.0]  # one of 200 seconds: half a percent


class Stop:
    """An event that writes down how long it is waited for, and is set after some rounds."""

    def __init__(self, pauses: list[float], rounds: int) -> None:
        self.pauses, self.rounds = pauses, rounds

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return len(self.pauses) > self.rounds

    def set(self) -> None:
        """It is set by itself."""


def test_a_reader_without_a_card_reads_the_host() -> None:
    reading = reader(None)()
    resident = host.resident_bytes()
    assert reading.process_bytes is None and reading.power_w is None
    assert (reading.host_bytes is None) == (resident is None)
    if resident is not None and reading.host_bytes is not None:
        assert abs(reading.host_bytes - resident) < 16 * 2**20


def test_a_reader_of_a_card(driver: Answers) -> None:
    driver(processes=f"{os.getpid()}:{2**31}")
    read: Callable[[], Reading] = reader(nvml.open_card(FIRST))
    reading = read()
    assert reading.process_bytes == 2**31
    assert reading.device_bytes == 3 * 2**30
    assert (reading.power_w, reading.sm_clock_mhz, reading.temperature_c) == (271.828, 1410, 61)
