"""Fetching a document over HTTP from a service that may be slow, down, or something else by now."""

from __future__ import annotations

import email.utils
import http.client
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from typing import IO, Literal, cast
from urllib.parse import urlsplit

from planner.catalogue.spelling import shown
from planner.errors import InputError
from planner.units import MIB

Kind = Literal["json", "csv", "text", "zip"]

USER_AGENT = "lora-plan (prices refresh)"

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_PIECE = 64 * 1024
_AGAIN = (429, 500, 502, 503, 504)
_OTHER_TYPES = ("text/html", "application/xhtml", "text/xml", "application/xml", "image/", "audio/", "video/")
"""Content types that no price list has; the true ones vary (raw CSV comes as text/plain, a zip as octet-stream)."""


class RefreshError(InputError):
    """A source of prices gave nothing that can be used; one sentence."""


class _PassingError(Exception):
    """What another attempt may mend. `wait_s` is what the server asked to wait."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a client is, and how much it takes."""

    timeout_s: float = 20.0
    """To connect, and between two pieces of an answer."""

    deadline_s: float = 180.0
    """For one document with all its attempts, however steadily it trickles in."""

    attempts: int = 4
    backoff_s: float = 1.0
    """Before the second attempt; twice as long before each one after."""

    longest_wait_s: float = 60.0
    """That a server may ask for with Retry-After."""

    largest: int = 64 * MIB
    """Bytes of an answer, as sent and as decompressed."""


class Client:
    """Gets documents under `limits`; `sleep` is what it waits with between attempts."""

    def __init__(self, limits: Limits | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._limits = limits or Limits()
        self._sleep = sleep

    def get(self, url: str, kind: Kind, body: bytes | None = None) -> bytes:
        """The document at `url`; a JSON `body` is posted. Raises `RefreshError` where it cannot be had.

        Only over https, except from this machine; never from another host than the one asked; never more bytes than
        the limit, compressed or not.
        """
        _check_url(url)
        host = shown(urlsplit(url).hostname or "")
        end = time.monotonic() + self._limits.deadline_s
        what = ""
        for attempt in range(self._limits.attempts):
            try:
                data = self._attempt(url, kind, body, end)
            except _PassingError as error:
                what, wait = str(error), self._limits.backoff_s * 2**attempt
                if error.wait_s is not None:
                    wait = max(error.wait_s, 0.0)
                    if wait > self._limits.longest_wait_s:
                        raise RefreshError(f"{host} {what} and asks to wait {wait:.0f} s; try again then") from None
                if attempt + 1 == self._limits.attempts or time.monotonic() + wait >= end:
                    break
                self._sleep(wait)
            else:
                _check_kind(data, kind, host)
                return data
        times = "time" if self._limits.attempts == 1 else "times"
        raise RefreshError(f"{host} {what}, asked up to {self._limits.attempts} {times}; try again later")

    def _attempt(self, url: str, kind: Kind, body: bytes | None, end: float) -> bytes:
        # A thread, as nothing else bounds looking up the name, the handshake, and headers that trickle in.
        answer: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

        def work() -> None:
            try:
                answer.put(_read(url, kind, body, self._limits, end))
            except Exception as error:
                answer.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            result = answer.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise _too_slow(url, self._limits) from None
        if isinstance(result, Exception):
            raise result
        return result


class _SameHost(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.hostname, old.port) != (new.scheme, new.hostname, new.port):
            fp.close()
            there = shown(f"{new.scheme}://{new.hostname}")
            raise RefreshError(
                f"{shown(old.hostname or '')} sends on to another address ({there}), which is not followed; "
                "the service may have moved, so look for a newer release"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _THIS_MACHINE:
        return
    raise RefreshError(f"'{shown(url)}' is not an https address; prices are fetched over https only")


def _read(url: str, kind: Kind, body: bytes | None, limits: Limits, end: float) -> bytes:
    """One attempt. Raises `RefreshError` where another one would end the same, else `_PassingError`."""
    host = shown(urlsplit(url).hostname or "")
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.build_opener(_SameHost()).open(request, timeout=limits.timeout_s) as response:
            _check_type(response.headers, kind, host)
            return _content(cast("http.client.HTTPResponse", response), host, limits, end, url)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _AGAIN:
                raise _PassingError(f"answers with status {error.code}", _retry_after(error.headers)) from None
        raise RefreshError(
            f"{host} answers with status {error.code}; the service may have changed, so look for a newer release"
        ) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefreshError(
                f"the certificate of {host} is not valid here; check this machine's clock and certificates"
            ) from None
        if isinstance(error.reason, socket.gaierror):
            raise RefreshError(f"{host} is not found; check that this machine has a network") from None
        if isinstance(error.reason, TimeoutError):
            raise _PassingError(f"does not answer within {limits.timeout_s:g} s") from None
        raise _PassingError(f"cannot be reached ({_reason(error.reason)})") from None
    except TimeoutError:
        raise _PassingError(f"falls silent for {limits.timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"breaks off ({_reason(error)})") from None


def _content(response: http.client.HTTPResponse, host: str, limits: Limits, end: float, url: str) -> bytes:
    data, received = bytearray(), 0
    unpack = zlib.decompressobj(wbits=31) if response.headers.get("Content-Encoding", "").lower() == "gzip" else None
    # read1 returns after each piece; read would wait for as many bytes as it was asked for
    while piece := response.read1(_PIECE):
        received += len(piece)
        try:
            data += unpack.decompress(piece, limits.largest + 1 - len(data)) if unpack else piece
        except zlib.error:
            raise RefreshError(f"{host} sends what is not the gzip that it says; try again later") from None
        if max(len(data), received) > limits.largest:
            raise RefreshError(
                f"{host} sends more than {_size(limits.largest)}, which no price list has; it was not read on"
            )
        if time.monotonic() > end:
            raise _too_slow(url, limits)
    if response.length or (unpack is not None and not unpack.eof and received):
        raise _PassingError("breaks off before the end of its answer")
    return bytes(data)


def _check_type(headers: Message, kind: Kind, host: str) -> None:
    given = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if given.startswith(_OTHER_TYPES):
        raise RefreshError(
            f"{host} answers with {shown(given)} where {_a(kind)} was asked for; open it in a browser to see why"
        )


def _check_kind(data: bytes, kind: Kind, host: str) -> None:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise RefreshError(f"{host} answers with nothing where {_a(kind)} was asked for; try again later")
    if kind == "zip":
        if not data.startswith(b"PK"):
            raise RefreshError(f"{host} answers with something other than a zip; try again later")
    elif start.startswith(b"<"):
        raise RefreshError(
            f"{host} answers with a web page where {_a(kind)} was asked for; open it in a browser to see why"
        )


def _retry_after(headers: Message) -> float | None:
    """Seconds of a Retry-After header: a number of them, or a date."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return max(0.0, (then - datetime.now(timezone.utc)).total_seconds())


def _too_slow(url: str, limits: Limits) -> RefreshError:
    host = shown(urlsplit(url).hostname or "")
    return RefreshError(f"{host} does not finish within {limits.deadline_s:g} s; try again later")


def _reason(error: object) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return shown(text).lower()


def _a(kind: Kind) -> str:
    return {"json": "JSON", "csv": "CSV", "text": "text", "zip": "a zip"}[kind]


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"
