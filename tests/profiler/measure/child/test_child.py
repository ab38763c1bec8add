"""The process that measures, from inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.measure.child.protocol import Progress, Request, Result, Started, decode, encode
from profiler.measure.child.supervise import run_in_child
from tests.profiler.measure.child.children import LOADING

CHILDREN = "tests.profiler.measure.child.children"
ALONE = [sys.executable, "-c", "from profiler.measure.child.child import main; main()"]
ROOT = Path(__file__).parents[4]
HEAVY = {"torch", "numpy", "transformers", "pandas", "rich", "typer", "yaml"}


@pytest.fixture(scope="module")
def inside() -> dict[str, Any]:
    """What the process says of itself."""
    return run_in_child(f"{CHILDREN}:says_where_it_is", {}, seconds=None)


def test_it_is_the_leader_of_a_session_of_its_own(inside: dict[str, Any]) -> None:
    assert inside["pid"] == inside["group"] == inside["session"] != os.getpid()


def test_it_imports_what_its_parent_would_and_nothing_else(inside: dict[str, Any]) -> None:
    assert inside["path"] == sys.path
    assert inside["arguments"] == ["-c"]


def test_it_imports_nothing_heavy_before_its_function_does(inside: dict[str, Any]) -> None:
    assert not HEAVY & set(inside["modules"])


def test_who_asks_there_gets_no_answer(inside: dict[str, Any]) -> None:
    assert inside["asked"] == ""


def test_a_module_in_the_folder_that_it_is_started_in_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "profiler", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert run_in_child(f"{CHILDREN}:echoes", {"a": 1}, seconds=None) == {"a": 1}


def alone(request: bytes) -> subprocess.CompletedProcess[bytes]:
    """The process without a supervisor, its request ended at once. Its group is its own, which it ends."""
    return subprocess.run(
        ALONE, input=request, capture_output=True, cwd=ROOT, start_new_session=True, timeout=60, check=False
    )


@pytest.mark.parametrize("request_line", [b"", b'{"request": {"target', b"[]\n", encode(Started())])
def test_without_a_whole_request_it_ends(request_line: bytes) -> None:
    done = alone(request_line)
    assert done.returncode == -9
    assert done.stdout == b"\n" + encode(Started())


def test_it_ends_with_the_pipe_of_its_request_whatever_it_does() -> None:
    request = Request(f"{CHILDREN}:hangs_in_python", None, {})
    assert alone(encode(request)).returncode == -9


def test_it_says_where_it_is_and_then_its_result() -> None:
    with subprocess.Popen(
        ALONE, cwd=ROOT, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Request(f"{CHILDREN}:echoes", None, {"rank": 16})))
        process.stdin.flush()
        said = process.stdout.read().splitlines()
        assert process.wait(60) == 0
    assert [decode(line) for line in said if line] == [
        Started(),
        Progress(LOADING, 0.25),
        Progress("timing steps", 0.5),
        Result({"rank": 16}),
    ]


def test_it_knows_how_long_it_has() -> None:
    left = run_in_child(f"{CHILDREN}:seconds_left", {}, seconds=1000)["seconds_left"]
    assert isinstance(left, float)
    assert 0 < left <= 1000
    assert json.dumps(run_in_child(f"{CHILDREN}:seconds_left", {}, seconds=None)) == '{"seconds_left": Infinity}'
