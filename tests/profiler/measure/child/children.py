"""Functions that stand in for the measuring: each goes right or wrong in one way, without torch."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice
from planner.units import MIB
from profiler.measure.child.child import Report

LOADING = "loading the model"
FOREVER_S = 600.0

Document = dict[str, Any]


def echoes(request: Document, report: Report) -> Document:
    """Gives back what it is asked."""
    report.progress(LOADING, 0.25)
    report.progress("timing steps", 0.5)
    return request


def measures_nothing(_request: Document, _report: Report) -> Document:
    return {}


def says_where_it_is(request: Document, _report: Report) -> Document:
    """What the process looks like from inside."""
    return {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "session": os.getsid(0),
        "path": sys.path,
        "arguments": sys.argv,
        "modules": sorted(sys.modules),
        "asked": sys.stdin.read(),
    }


def prints(_request: Document, _report: Report) -> Document:
    """As libraries do, in Python and below it."""
    sys.stdout.write("loading shards: 100%")
    os.write(1, b"{}\n" * 100_000)
    os.write(2, b"a warning\n")
    return {"printed": True}


def steps_until_asked_to_end(_request: Document, report: Report) -> Document:
    steps = 0
    while report.seconds_left() > 0:
        time.sleep(0.005)
        steps += 1
    return {"steps": steps}


def writes_to(request: Document, _report: Report) -> Document:
    os.write(request["descriptor"], b"here")
    return {}


def seconds_left(_request: Document, report: Report) -> Document:
    return {"seconds_left": report.seconds_left()}


# --- what goes wrong ------------------------------------------------------------------------------


def raises(request: Document, report: Report) -> Document:
    report.progress(LOADING, 0.0)
    raise {
        "input": InputError("--batch-size must be at least 1", field="micro_batch_size"),
        "abstained": Abstention("nobody knows RWKV", way_out="simulate it"),
        "no_device": NoUsableDevice("no driver is loaded; install one"),
        "not_measured": NotMeasured("a bound is reached; raise it"),
        "memory": MemoryError(),
        "out_of_memory": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."),
        "silent": ZeroDivisionError(),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
    }[request["what"]]


def returns_what_json_cannot_say(_request: Document, _report: Report) -> Document:
    return {"path": Path("x")}


def allocates(_request: Document, report: Report) -> Document:
    """Runs out of host memory for real, having been given little of it."""
    report.progress(LOADING, 0.0)
    resource.setrlimit(resource.RLIMIT_AS, (384 * MIB, 384 * MIB))
    held: list[bytearray] = []
    while True:
        held.append(bytearray(64 * MIB))


def ends(request: Document, report: Report) -> Document:
    """With an exit status, and no word."""
    report.progress(LOADING, 0.0)
    os.write(
        2, b"terminate called after throwing an instance of 'std::bad_alloc'\n\x1b[31m  what():  std::bad_alloc\n\n"
    )
    os._exit(request["status"])


def is_killed_by(request: Document, report: Report) -> Document:
    """A signal that Python does not handle."""
    report.progress(LOADING, 0.0)
    number = signal.Signals[request["signal"]]
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(FOREVER_S)
    return {}


def says_nonsense(request: Document, report: Report) -> Document:
    report.progress(LOADING, 0.0)
    report.send(request["line"].encode())
    time.sleep(FOREVER_S)
    return {}


def never_ends_its_line(_request: Document, report: Report) -> Document:
    while True:
        report.send(b"x" * MIB)


def is_cut_off(_request: Document, report: Report) -> Document:
    report.progress(LOADING, 0.0)
    report.send(b'{"result":{"document":{"peak"')
    os._exit(0)


# --- what does not end ----------------------------------------------------------------------------


def hangs_in_python(_request: Document, report: Report) -> Document:
    report.progress(LOADING, 0.0)
    while True:
        try:
            time.sleep(FOREVER_S)
        except BaseException:
            continue


def hangs_in_c(_request: Document, report: Report) -> Document:
    """In a call that holds Python's lock, so that no other thread of it runs, with every signal blocked."""
    report.progress(LOADING, 0.0)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(int(FOREVER_S))
    return {}


def hangs_with_a_process_of_its_own(_request: Document, report: Report) -> Document:
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER_S})"])
    report.progress(LOADING, 0.0)
    time.sleep(FOREVER_S)
    return {}


def leaves_a_process_that_holds_its_pipes(request: Document, report: Report) -> Document:
    """A fork of it lives on; it itself ends, with or without a result."""
    report.progress(LOADING, 0.0)
    if os.fork() == 0:
        time.sleep(FOREVER_S)
    if request["ends"]:
        os._exit(5)
    return {"pid": os.getpid()}


def works_a_little(_request: Document, report: Report) -> Document:
    """A life of about 50 ms, with a large result at its end."""
    for step in range(10):
        report.progress(f"running step {step + 1}", step / 10)
        time.sleep(0.003)
    return {"peaks": list(range(40_000))}
