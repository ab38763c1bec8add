"""Ctrl-C ends the process even where a library catches KeyboardInterrupt, as transformers does at its imports."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading

import pytest

from lora_plan.interrupt import leaving_at_once
from tests.lora_plan.cli import ROOT

SWALLOWS = """
import os, signal
from lora_plan.interrupt import leaving_at_once
with leaving_at_once(lambda: print("cleaned up", flush=True)):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
    print("went on", flush=True)
"""


@pytest.mark.parametrize("clean_up", ['print("cleaned up", flush=True)', "1 / 0"])
def test_what_swallows_an_interrupt_does_not_go_on(clean_up: str) -> None:
    code = SWALLOWS.replace('print("cleaned up", flush=True)', clean_up)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout == ("cleaned up\n" if "print" in clean_up else "")


def test_afterwards_the_signal_is_pythons_again() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with contextlib.suppress(ZeroDivisionError), leaving_at_once(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_someone_elses_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with leaving_at_once(lambda: None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    inside: list[object] = []

    def work() -> None:
        with leaving_at_once(lambda: None):
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [signal.default_int_handler]
