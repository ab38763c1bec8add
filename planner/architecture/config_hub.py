"""Fetching a `config.json` from the Hugging Face hub: one small file, nothing else, and nothing kept."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO
from urllib.parse import quote, urlsplit

from planner.errors import InputError
from planner.units import MIB

LARGEST_CONFIG = 1 * MIB
TIMEOUT_S = 10.0
"""Seconds for the whole fetch, and for each wait within it."""

_ON = ("1", "on", "yes", "true")


class HubFailure(Exception):
    """Why the hub gave no config, as a clause for a sentence."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub, by the variables that huggingface_hub reads: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE."""

    endpoint: str
    token: str | None
    offline: bool

    @classmethod
    def from_environment(cls) -> Hub:
        endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        try:
            parts = urlsplit(endpoint)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
            raise InputError("HF_ENDPOINT is not a web address; unset it, or write https://...", field="model")
        offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
        token = (os.environ.get("HF_TOKEN") or "").strip() or None
        return cls(endpoint, token, offline.lower() in _ON)

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def config(self, name: str) -> bytes:
        """The bytes of `config.json` of the repository `name` (org/name); raises `HubFailure`."""
        if self.offline:
            raise HubFailure("HF_HUB_OFFLINE is set, so the hub was not asked")
        request = urllib.request.Request(f"{self.endpoint}/{quote(name)}/resolve/main/config.json")
        request.add_header("User-Agent", "lora-plan")
        if self.token and self.token.isascii() and self.token.isprintable():
            # unredirected: a redirect to another host must not be handed the token
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(_Redirects())
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                return _read(response)
        except urllib.error.HTTPError as error:
            error.close()
            raise HubFailure(self._refused(error.code)) from None
        except TimeoutError:
            raise HubFailure(f"{self.host} did not answer within {TIMEOUT_S:g} s") from None
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise HubFailure(f"{self.host} did not answer within {TIMEOUT_S:g} s") from None
            raise HubFailure(f"{self.host} could not be reached") from None

    def _refused(self, status: int) -> str:
        if status in (401, 403):
            return (
                f"{self.host} answered {status}: the model is gated, private or does not exist; where it is "
                "gated, accept its licence there and set HF_TOKEN"
            )
        if status == 404:
            return f"{self.host} answered 404: it has no such model, or one without a config.json"
        return f"{self.host} answered {status}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (renamed repositories) to web addresses, with the token only on the same host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            fp.close()
            raise HubFailure(f"{old.hostname} redirects to an address that is not safe to follow")
        request = urllib.request.Request(newurl, headers={"User-Agent": "lora-plan"})
        token = req.unredirected_hdrs.get("Authorization")
        if token and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            request.add_unredirected_header("Authorization", token)
        return request

    # Python 3.10 does not follow 308 (permanent) by itself
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _read(response: IO[bytes]) -> bytes:
    """All of the response, of at most `LARGEST_CONFIG` bytes and within `TIMEOUT_S`."""
    deadline = time.monotonic() + TIMEOUT_S
    data = b""
    while chunk := response.read(64 * 1024):
        data += chunk
        if len(data) > LARGEST_CONFIG:
            raise HubFailure(f"its config.json has more than {LARGEST_CONFIG // MIB} MiB, which no config has")
        if time.monotonic() > deadline:
            raise TimeoutError
    return data
