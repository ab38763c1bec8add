"""Options and fixtures of the whole test suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# no test is about time: a slow machine must not fail one; CI tries the same examples of a commit each time, so that
# what it says of one stays true, and we search at random at our desks
settings.register_profile("lora-plan", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("lora-plan")


def pytest_configure() -> None:
    # prices and records of whoever runs the tests are no part of them
    os.environ["LORA_PLAN_PRICES"] = os.devnull
    os.environ["LORA_PLAN_RECORDS"] = os.devnull
    # a suite that is started in the background has Ctrl-C ignored, and what it starts inherits that
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file of the folder `golden` beside the test, or write it with --update-golden."""
    folder = Path(request.path).parent / "golden"

    def compare(text: str, name: str) -> None:
        path = folder / name
        if request.config.getoption("--update-golden"):
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"{path.name} is not there; write it with --update-golden and read it"
        assert text == path.read_text(encoding="utf-8")

    return compare
