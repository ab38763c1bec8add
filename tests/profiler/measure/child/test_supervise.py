"""Whatever happens in the process that measures comes back as a result or as a sentence."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice
from profiler.measure.child import child_process, guard
from profiler.measure.child.supervise import run_in_child
from tests.profiler.measure.child.children import LOADING
from tests.profiler.measure.child.groups import is_gone

ROOT = Path(__file__).parents[4]
CHILDREN = "tests.profiler.measure.child.children"
SHOWN = "; LORA_PLAN_DEBUG=1 prints all that it says"


def run(name: str, request: dict[str, Any] | None = None, **options: Any) -> dict[str, object]:
    return run_in_child(f"{CHILDREN}:{name}", request or {}, **{"seconds": None, **options})


def sentence(name: str, request: dict[str, Any] | None = None, **options: Any) -> str:
    """Why there is no result."""
    with pytest.raises(NotMeasured) as caught:
        run(name, request, **options)
    return str(caught.value)


# --- results --------------------------------------------------------------------------------------


def test_a_document_goes_there_and_back() -> None:
    told: list[tuple[str, float]] = []
    request = {"model": "llama-70b", "loss": math.inf, "text": "ä\n\ud800", "nested": [None, True, {"1": 1.5}]}
    assert run("echoes", request, progress=lambda *phase: told.append(phase)) == request
    assert told == [(LOADING, 0.25), ("timing steps", 0.5)]


def test_long_documents_do_too() -> None:
    request = {"text": "x" * 1_000_000}
    assert run("echoes", request) == request


def test_what_libraries_print_is_not_taken_for_a_report() -> None:
    assert run("prints") == {"printed": True}


def test_what_the_process_prints_is_let_through_for_debugging(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run("prints")
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("LORA_PLAN_DEBUG", "1")
    assert "ZeroDivisionError" in sentence("raises", {"what": "silent"})
    out, err = capfd.readouterr()
    assert (out, err.splitlines()[0], err.splitlines()[-1]) == (
        "",
        "Traceback (most recent call last):",
        "ZeroDivisionError",
    )


def test_at_its_bound_it_returns_what_it_has() -> None:
    steps = run("steps_until_asked_to_end", seconds=0.5)["steps"]
    assert isinstance(steps, int)
    assert steps > 0


def test_it_is_given_descriptors() -> None:
    reading, writing = os.pipe()
    try:
        assert run("writes_to", {"descriptor": writing}, keep=[writing]) == {}
        assert os.read(reading, 10) == b"here"
    finally:
        os.close(reading)
        os.close(writing)


def test_two_threads_measure_apart() -> None:
    found: dict[int, object] = {}
    threads = [threading.Thread(target=lambda i=i: found.setdefault(i, run("echoes", {"thread": i}))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: {"thread": 0}, 1: {"thread": 1}}


# --- refusals and errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("input", InputError, "--batch-size must be at least 1"),
        ("abstained", Abstention, "nobody knows RWKV; simulate it"),
        ("no_device", NoUsableDevice, "no driver is loaded; install one"),
        ("not_measured", NotMeasured, "a bound is reached; raise it"),
    ],
)
def test_refusals_come_back_as_they_were(what: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        run("raises", {"what": what})
    assert str(caught.value) == message
    assert getattr(caught.value, "field", None) == ("micro_batch_size" if what == "input" else None)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("out_of_memory", "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("silent", "ZeroDivisionError"),
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
    ],
)
def test_any_other_exception_is_a_sentence_with_its_phase(what: str, error: str) -> None:
    assert sentence("raises", {"what": what}) == (
        f"the training stack failed while loading the model ({error}); LORA_PLAN_DEBUG=1 prints where"
    )


@pytest.mark.parametrize("name", ["allocates", "raises"])
def test_host_memory_that_runs_out_is_said(name: str) -> None:
    assert sentence(name, {"what": "memory"}) == (
        "host memory ran out while loading the model; free some, or measure on a machine that has more of it"
    )


def test_a_function_that_is_not_there_is_said() -> None:
    assert "(AttributeError: module" in sentence("nowhere")
    with pytest.raises(NotMeasured, match=r"at its start \(ModuleNotFoundError: No module named 'nowhere'\)"):
        run_in_child("nowhere:nothing", {}, seconds=None)


def test_a_result_that_json_cannot_say_is_said() -> None:
    assert "(TypeError: Object of type PosixPath is not JSON serializable)" in sentence("returns_what_json_cannot_say")


# --- crashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "how"), [(0, "without a result"), (7, "with status 7")])
def test_an_end_without_a_word_is_told_with_what_was_printed_last(status: int, how: str) -> None:
    told = sentence("ends", {"status": status})
    assert told.startswith(f"the process that measured ended {how} while loading the model, after ")
    assert told.endswith(f" s (what():  std::bad_alloc){SHOWN}")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGTERM", "SIGINT"])
def test_a_crash_is_told_with_its_signal(name: str) -> None:
    words = signal.strsignal(signal.Signals[name])
    assert words is not None
    told = sentence("is_killed_by", {"signal": name})
    assert told.startswith(f"the process that measured was ended by {name} ({words.lower()}) while loading the model")


def test_a_kill_that_is_not_ours_is_most_likely_host_memory() -> None:
    told = sentence("is_killed_by", {"signal": "SIGKILL"})
    assert told.startswith("the process that measured was killed while loading the model, after ")
    assert "most likely because host memory ran out" in told


def test_a_line_that_is_cut_off_is_an_end_without_a_result() -> None:
    assert "ended without a result while loading the model" in sentence("is_cut_off")


def test_a_line_that_is_no_message_ends_it() -> None:
    assert sentence("says_nonsense", {"line": "Loading: 100%\n"}) == (
        "the process that measured sent a line of 13 bytes that cannot be read while loading the model, and was "
        f"ended{SHOWN}"
    )


def test_a_line_without_end_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MOST_LINE_BYTES", 3 * 1024**2)
    assert "sent a line of more than 3 MiB that cannot be read at its start" in sentence("never_ends_its_line")


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_that_it_left_behind_with_its_pipes_is_ended(ends: bool) -> None:
    if ends:
        assert "ended with status 5" in sentence("leaves_a_process_that_holds_its_pipes", {"ends": True})
    else:
        pid = run("leaves_a_process_that_holds_its_pipes", {"ends": False})["pid"]
        assert isinstance(pid, int)
        assert is_gone(pid)


# --- hangs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hangs_in_python", "hangs_in_c", "hangs_with_a_process_of_its_own"])
def test_a_hang_ends_at_the_bound_and_the_grace(name: str) -> None:
    told = sentence(name, seconds=0.2, grace_s=0.3)
    assert told.startswith("the process that measured was ended ")
    assert "did not end by itself at its bound of 0.2 s; raise --max-seconds or --max-usd" in told


def test_a_hang_is_told_with_its_phase() -> None:
    told = sentence("hangs_in_c", seconds=0.1, grace_s=2.9)
    assert told.startswith("the process that measured was ended while loading the model: after ")


def test_a_stopped_process_is_ended_too() -> None:
    assert "its bound of 0.2 s" in sentence("is_killed_by", {"signal": "SIGSTOP"}, seconds=0.2, grace_s=0.1)


def test_a_process_that_does_not_read_its_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_CODE", "import time; time.sleep(600)")
    told = sentence("echoes", {"text": "x" * 1_000_000}, seconds=0.1, grace_s=0.1)
    assert told.startswith("the process that measured was ended at its start")


def test_a_process_that_cannot_be_killed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # a process inside a driver's uninterruptible wait: the wait for it is over before it is gone
    def still_there(*_: object, **__: object) -> int:
        raise subprocess.TimeoutExpired("python", 0)

    with monkeypatch.context() as patched:
        started: list[subprocess.Popen[bytes]] = []
        real = subprocess.Popen

        def started_stuck(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
            process = real(*args, **options)
            started.append(process)
            if len(started) == 1:
                patched.setattr(process, "wait", still_there)
            return process

        patched.setattr(subprocess, "Popen", started_stuck)
        told = sentence("hangs_in_python", seconds=0.1, grace_s=0.1)
    assert f"; process {started[0].pid} does not die of it, most likely inside the driver" in told
    started[0].wait()


# --- the system -----------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [child_process, guard])
def test_a_process_that_cannot_be_started_is_a_sentence(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def refuses(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if module._CODE in arguments:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(real(arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", refuses)
    assert sentence("echoes") == (
        "no process to measure in can be started (Resource temporarily unavailable); end others, and try again"
    )
    assert [process.returncode for process in started] == [-9] * len(started)


ON_A_FULL_DISK = """
import json, resource, sys
from profiler.measure.child.supervise import run_in_child
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(json.dumps(run_in_child("tests.profiler.measure.child.children:echoes", {"rank": 16}, seconds=None)))
"""


def test_no_file_is_written_so_that_a_full_disk_and_a_read_only_home_do_not_matter(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    environment = os.environ | {"TMPDIR": nowhere, "HOME": nowhere, "XDG_CACHE_HOME": nowhere}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"rank": 16}\n', "")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    run("echoes")
    sentence("is_killed_by", {"signal": "SIGKILL"})
    assert not list(tmp_path.iterdir())


def test_no_descriptor_and_no_thread_is_left() -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/dev/fd").iterdir())), threading.active_count()

    run("echoes")
    before = held()
    calls: list[Callable[[], object]] = [
        lambda: run("echoes"),
        lambda: sentence("raises", {"what": "silent"}),
        lambda: sentence("hangs_in_python", seconds=0.1, grace_s=0.1),
    ]
    for call in calls:
        call()
    assert held() == before


def test_ctrl_c_goes_through_and_takes_the_process_along(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def noted(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **options))
        return started[-1]

    def interrupted(_phase: str, _share: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(KeyboardInterrupt):
        run("hangs_in_c", progress=interrupted)
    assert [process.returncode for process in started] == [-9, -9]  # it and its guard
