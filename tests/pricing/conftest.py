"""The server that stands in for the services prices come from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http_server import LocalServer, local_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    # a proxy of this machine is not to be asked for addresses of this machine
    monkeypatch.setenv("no_proxy", "*")
    with local_server() as made:
        yield made
