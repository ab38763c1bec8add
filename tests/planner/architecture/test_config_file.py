"""What `--model` may be: a path, a name of the catalogue, an id in the cache or on the hub."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.architecture import config_hub
from planner.architecture.config_file import load_config
from planner.errors import InputError

CONFIG = {"model_type": "llama", "hidden_size": 64}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No cache, no token, no network: only what a test sets."""
    for name in (
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "TRANSFORMERS_OFFLINE",
        "XDG_CACHE_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def write_config(folder: Path, config: object = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def refusal(model: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(model)
    assert caught.value.field == "model"
    assert str(caught.value).isprintable()
    return str(caught.value)


# -- paths ---------------------------------------------------------------------------------------


def test_a_file_and_its_folder(tmp_path: Path):
    file = write_config(tmp_path / "model")
    for model in (file, file.parent):
        loaded = load_config(str(model))
        assert loaded.config == CONFIG
        assert loaded.origin == f"'{file}'"
        assert loaded.model is None


def test_relative_paths(tmp_path: Path):
    write_config(tmp_path / "here" / "mine")
    for model in ("mine", "./mine", "mine/", "mine/config.json", "../here/mine"):
        assert load_config(model).config == CONFIG


def test_a_path_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_config(tmp_path / "mine")
    assert load_config("~/mine").config == CONFIG


def test_a_folder_of_that_name_without_a_config_does_not_hide_the_catalogue(tmp_path: Path):
    (tmp_path / "here" / "mixtral").mkdir()
    assert load_config("mixtral").model is not None
    write_config(tmp_path / "here" / "mixtral")
    assert load_config("mixtral").model is None


def test_a_folder_without_a_config(tmp_path: Path):
    (tmp_path / "here" / "empty").mkdir()
    for model in ("empty", "./empty"):
        assert refusal(model) == "folder 'empty' holds no config.json; give the folder of a model"


def test_a_folder_of_an_adapter(tmp_path: Path):
    (tmp_path / "here" / "adapter").mkdir()
    (tmp_path / "here" / "adapter" / "adapter_config.json").write_text("{}")
    assert refusal("adapter") == (
        "folder 'adapter' holds an adapter (adapter_config.json) and no config.json; give the model that the "
        "adapter was trained on"
    )


def test_a_folder_with_a_broken_link(tmp_path: Path):
    (tmp_path / "here" / "model").mkdir()
    (tmp_path / "here" / "model" / "config.json").symlink_to("gone.json")
    assert refusal("model") == "'model/config.json' links to a file that does not exist; mend it"


@pytest.mark.parametrize("model", ["./no.json", "no/such/folder", "/no/such", "config.json", "~nobody/x", "..."])
def test_what_looks_like_a_path_is_one(model: str):
    assert refusal(model).endswith("does not exist; check the path")


@pytest.mark.parametrize("model", ["", "  ", "x" * 501, "a\x00b", "./a\x00b", "x" * 400 + "/y", "./" + "x" * 400])
def test_what_is_no_name_at_all(model: str):
    refusal(model)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_config_or_refused(data: bytes, tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_bytes(data)
    try:
        assert isinstance(load_config(str(path)).config, dict)
    except InputError as error:
        assert str(error).isprintable()


@given(st.text(max_size=60))
def test_any_name_is_a_config_or_refused(name: str):
    try:
        load_config(name)
    except InputError as error:
        assert str(error).isprintable()


# -- the catalogue -------------------------------------------------------------------------------


def test_a_name_of_the_catalogue():
    loaded = load_config("llama-3.1-8b")
    assert loaded.model is not None
    assert loaded.model.id == "meta-llama/Llama-3.1-8B"
    assert loaded.config["num_hidden_layers"] == 32
    assert loaded.origin == "the catalogue's meta-llama/Llama-3.1-8B"
    assert loaded.note is None


def test_an_ambiguous_name_says_what_was_taken():
    assert "is taken as meta-llama/Llama-3.1-70B" in (load_config("llama-70b").note or "")


def test_an_unknown_name_names_the_ways_out():
    assert refusal("lama-3.1-8b") == (
        "model 'lama-3.1-8b' is not known; give a name that `lora-plan models` lists, a Hugging Face id "
        "(org/name) or the path of a config.json; did you mean 'llama-3.1-8b'?"
    )


# -- the cache -----------------------------------------------------------------------------------

REVISION = "0123456789abcdef0123456789abcdef01234567"


def write_cache(hub_folder: Path, name: str, revision: str = REVISION, config: object = CONFIG) -> Path:
    folder = hub_folder / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    return write_config(folder / "snapshots" / revision, config)


def test_an_id_in_the_cache(tmp_path: Path):
    file = write_cache(tmp_path / "hf" / "hub", "acme/rocket-7b")
    loaded = load_config("acme/rocket-7b")
    assert loaded.config == CONFIG
    assert loaded.origin == f"'{file}'"
    assert loaded.note == "'acme/rocket-7b' is read from the local Hugging Face cache"


def test_the_cache_is_where_huggingface_hub_has_it():
    """The same folder name as huggingface_hub's own function gives."""
    from huggingface_hub.file_download import repo_folder_name

    assert repo_folder_name(repo_id="acme/rocket-7b", repo_type="model") == "models--acme--rocket-7b"


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("HF_HUB_CACHE", "a"),
        ("HUGGINGFACE_HUB_CACHE", "b"),
        ("HF_HOME", "c/hub"),
        ("XDG_CACHE_HOME", "d/huggingface/hub"),
    ],
)
def test_the_variables_of_huggingface_hub(variable: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / folder.split("/")[0]))
    write_cache(tmp_path / folder, "acme/rocket-7b")
    assert load_config("acme/rocket-7b").config == CONFIG


def test_the_default_cache_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cache(tmp_path / ".cache" / "huggingface" / "hub", "acme/rocket-7b")
    assert load_config("acme/rocket-7b").config == CONFIG


def test_a_revision_cannot_lead_out_of_the_cache(tmp_path: Path):
    write_config(tmp_path / "elsewhere")
    folder = tmp_path / "hf" / "hub" / "models--acme--rocket-7b"
    (folder / "refs").mkdir(parents=True)
    (folder / "snapshots").mkdir()
    (folder / "refs" / "main").write_text("../../../../elsewhere")
    assert "HF_HUB_OFFLINE is set" in refusal("acme/rocket-7b")


def test_a_broken_file_in_the_cache_is_named(tmp_path: Path):
    file = write_cache(tmp_path / "hf" / "hub", "acme/rocket-7b")
    file.write_text("{")
    assert refusal("acme/rocket-7b").startswith(f"'{file}' is not JSON")


def test_a_read_only_home_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("HF_HOME")
    load_config("llama-3.1-8b")
    refusal("acme/rocket-7b")
    assert list(home.iterdir()) == []


# -- the hub -------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.redirects: dict[str, tuple[int, str]] = {}
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers by the name of the repository."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        name = self.path.split("/")[2]
        if name in self.server.redirects:
            status, target = self.server.redirects[name]
            self.send_response(status)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "slow":
            self.server.release.wait(10)
        elif name.isdigit():
            self.answer(int(name), b"{}")
        else:
            bodies = {"good": json.dumps(CONFIG).encode(), "text": b"<html>", "large": b" " * (2**20 + 1)}
            self.answer(200, bodies[name])

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield running
        running.release.set()
        running.shutdown()


def test_an_id_on_the_hub(server: Server):
    loaded = load_config("acme/good")
    assert loaded.config == CONFIG
    host = server.url.removeprefix("http://")
    assert loaded.origin == f"the config.json of acme/good on {host}"
    assert loaded.note == f"'acme/good' is read from {host}"
    assert server.asked == [("/acme/good/resolve/main/config.json", None)]


def test_the_token_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    load_config("acme/good")
    assert server.asked[0][1] == "Bearer hf_secret"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("404", "answered 404: it has no such model, or one without a config.json)"),
        (
            "401",
            "answered 401: the model is gated, private or does not exist; where it is gated, accept its "
            "licence there and set HF_TOKEN)",
        ),
        (
            "403",
            "answered 403: the model is gated, private or does not exist; where it is gated, accept its "
            "licence there and set HF_TOKEN)",
        ),
        ("503", "answered 503)"),
        ("large", "(its config.json has more than 1 MiB, which no config has)"),
    ],
)
def test_what_the_hub_refuses_names_the_ways_out(name: str, message: str, server: Server):
    told = refusal(f"acme/{name}")
    assert told.startswith(f"model 'acme/{name}' is not known; give a name that `lora-plan models` lists, ")
    assert told.endswith(message)


def test_a_page_is_not_a_config(server: Server):
    host = server.url.removeprefix("http://")
    assert refusal("acme/text") == (
        f"the config.json of acme/text on {host} is not JSON (line 1, column 1: Expecting value); check that "
        "it is complete"
    )


def test_a_slow_hub(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_hub, "TIMEOUT_S", 0.05)
    assert "did not answer within 0.05 s" in refusal("acme/slow")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_renamed_repository_is_followed_with_the_token(status: int, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.redirects["old"] = (status, "/acme/good/resolve/main/config.json")
    assert load_config("acme/old").config == CONFIG
    assert [token for _, token in server.asked] == ["Bearer hf_secret", "Bearer hf_secret"]


def test_the_token_does_not_go_to_another_host(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    target = f"http://localhost:{server.server_port}/acme/good/resolve/main/config.json"
    server.redirects["old"] = (302, target)
    assert load_config("acme/old").config == CONFIG
    assert [token for _, token in server.asked] == ["Bearer hf_secret", None]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file:///etc/hostname", "answered 302)"),
        ("ftp://127.0.0.1/config.json", "redirects to an address that is not safe to follow)"),
    ],
)
def test_a_redirect_off_the_web_is_not_followed(target: str, message: str, server: Server):
    server.redirects["old"] = (302, target)
    assert refusal("acme/old").endswith(message)


def test_a_ring_of_redirects_ends(server: Server):
    server.redirects["old"] = (302, "/acme/old/resolve/main/config.json")
    assert "answered 302" in refusal("acme/old")


def test_no_network(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert refusal("acme/good").endswith("could not be reached)")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_asks_nobody(variable: str, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "1")
    assert refusal("acme/good").endswith("(HF_HUB_OFFLINE is set, so the hub was not asked)")
    assert server.asked == []


def test_the_catalogue_and_the_cache_come_before_the_hub(server: Server, tmp_path: Path):
    write_cache(tmp_path / "hf" / "hub", "acme/good")
    load_config("acme/good")
    load_config("meta-llama/Llama-3.1-8B")
    assert server.asked == []


@pytest.mark.parametrize("name", ["acme", "acme/../x", "acme/a b", "acme/a?b", "acme/-a", "https://x.y/acme/good"])
def test_only_ids_are_asked_for(name: str, server: Server):
    refusal(name)
    assert server.asked == []


@pytest.mark.parametrize("endpoint", ["ftp://x", "huggingface.co", "http://", "http://[x", "http://a b", "http://x\ny"])
def test_a_bad_endpoint(endpoint: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert refusal("acme/good") == "HF_ENDPOINT is not a web address; unset it, or write https://..."
