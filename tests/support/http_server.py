"""A server on this machine that stands in for the services that prices come from."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pricing.http import Client, Kind, Limits

QUICK = Limits(timeout_s=0.3, deadline_s=2.0, attempts=3, backoff_s=0.0)


@dataclass(frozen=True)
class Reply:
    """What the server answers with."""

    body: bytes | str = b""
    status: int = 200
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    """Before each byte of the body; 0 sends it at once."""
    length: int | None = None
    """The Content-Length to claim."""
    raw: bytes | None = None
    """Sent byte by byte with the pause instead of an HTTP answer."""

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass(frozen=True)
class Asked:
    path: str
    body: bytes
    headers: Mapping[str, str]


class LocalServer:
    """Answers each path with its replies in turn, and with the last of them from then on; 404 elsewhere."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[Asked] = []

    def answer(self, path: str, *replies: Reply) -> None:
        """`path` may be an address of the real service: see `get`."""
        self.replies[path.removeprefix("https://").lstrip("/")] = list(replies)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path.removeprefix('https://').lstrip('/')}"

    def get(self, url: str, kind: Kind, body: bytes | None = None) -> bytes:
        """`Client.get`, with `https://host/path` asked of this server as `/host/path`."""
        return self.client().get(self.url(url), kind, body)

    def client(self, limits: Limits = QUICK, waits: list[float] | None = None) -> Client:
        return Client(limits, sleep=(waits if waits is not None else []).append)


@contextlib.contextmanager
def local_server() -> Iterator[LocalServer]:
    """A server for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            server.asked.append(Asked(self.path.lstrip("/"), self.rfile.read(length), dict(self.headers)))
            replies = server.replies.get(self.path.lstrip("/"), [Reply(status=404)])
            with contextlib.suppress(OSError):  # the client went away
                self._send(replies.pop(0) if len(replies) > 1 else replies[0])

        do_POST = do_GET

        def _send(self, reply: Reply) -> None:
            if reply.raw is not None:
                self._trickle(reply.raw, reply.pause_s)
                return
            self.send_response(reply.status)
            if reply.type:
                self.send_header("Content-Type", reply.type)
            self.send_header("Content-Length", str(len(reply.content) if reply.length is None else reply.length))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.pause_s:
                self._trickle(reply.content, reply.pause_s)
            else:
                self.wfile.write(reply.content)

        def _trickle(self, content: bytes, pause_s: float) -> None:
            for byte in content:
                if closing.is_set():
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(pause_s)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    closing = threading.Event()
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    server = LocalServer(http_server.server_address[1])
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        closing.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join()
