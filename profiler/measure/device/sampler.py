"""What happens between the instants of a step: a thread that looks every few milliseconds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from profiler.measure.device.host import resident_bytes
from profiler.measure.device.nvml import Card
from profiler.measure.types import Sampled

INTERVAL_S = 0.05
"""A reading without a card takes 5 µs when it follows another, and 0.3 ms with the waking up before it (measured on
two cores of a virtual machine): 0.6 % of one core at this interval."""
MOST_OF_A_CORE = 1 / 200
"""A reading that takes long is taken less often, so that the thread never takes more of a core than this."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look, as the fields of `Sampled`; None: not known."""

    host_bytes: int | None = None
    process_bytes: int | None = None
    device_bytes: int | None = None
    power_w: float | None = None
    sm_clock_mhz: int | None = None
    temperature_c: int | None = None


def reader(card: Card | None) -> Callable[[], Reading]:
    """What looks at this process, and at the card where there is one that NVML knows."""
    pid = os.getpid()

    def read() -> Reading:
        if card is None:
            return Reading(resident_bytes())
        return Reading(
            resident_bytes(),
            card.process_bytes(pid),
            card.used_bytes(),
            card.power_w(),
            card.sm_clock_mhz(),
            card.temperature_c(),
        )

    return read


class Sampler:
    """Reads while it is entered, and folds what it reads; leaving it waits for the thread to end.

    A reading that fails is left out: nothing of it reaches the run.
    """

    def __init__(self, read: Callable[[], Reading], interval_s: float = INTERVAL_S) -> None:
        self._read = read
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._timed = False
        self._samples = 0
        self._highest: dict[str, int] = {}
        self._sums: dict[str, tuple[float, int]] = {}
        self._slowest: int | None = None
        self._thread = threading.Thread(target=self._run, name="lora-plan sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @contextmanager
    def timed(self) -> Generator[None]:
        """While steps are timed: power and clocks count here only."""
        self._timed = True
        try:
            yield
        finally:
            self._timed = False

    def sampled(self) -> Sampled:
        """All that was seen so far."""
        with self._lock:
            return Sampled(
                samples=self._samples,
                host_peak_bytes=self._highest.get("host_bytes"),
                process_peak_bytes=self._highest.get("process_bytes"),
                device_peak_bytes=self._highest.get("device_bytes"),
                power_w=self._mean("power_w"),
                sm_clock_mhz=self._mean("sm_clock_mhz"),
                lowest_sm_clock_mhz=self._slowest,
                temperature_c=self._highest.get("temperature_c"),
            )

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            begun = time.thread_time()
            was_timed = self._timed
            try:
                reading = self._read()
            except Exception:
                reading = None
            if reading is not None:
                # what was read while a timed step began or ended is of neither side
                self._fold(reading, timed=was_timed and self._timed)
            pause = max(self._interval_s, (time.thread_time() - begun) / MOST_OF_A_CORE)

    def _fold(self, reading: Reading, *, timed: bool) -> None:
        with self._lock:
            self._samples += 1
            for name in ("host_bytes", "process_bytes", "device_bytes", "temperature_c"):
                value: int | None = getattr(reading, name)
                if value is not None:
                    self._highest[name] = max(value, self._highest.get(name, value))
            if not timed:
                return
            for name in ("power_w", "sm_clock_mhz"):
                figure: float | None = getattr(reading, name)
                if figure is not None:
                    total, count = self._sums.get(name, (0.0, 0))
                    self._sums[name] = (total + figure, count + 1)
            clock = reading.sm_clock_mhz
            if clock is not None:
                self._slowest = clock if self._slowest is None else min(clock, self._slowest)

    def _mean(self, name: str) -> float | None:
        total, count = self._sums.get(name, (0.0, 0))
        return total / count if count else None
