"""Where a tokenizer is looked for, and what is read of its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.dataset.tokenizer_files import find_tokenizer
from planner.errors import InputError
from tests.planner.dataset.tokenizers_made import CHATML, make_tokenizer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache with one model, laid out as huggingface_hub lays it out."""
    model = tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B"
    make_tokenizer(model / "snapshots" / "0123abc", CHATML)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0123abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "llama-3.1-8b"])
@pytest.mark.usefixtures("cache")
def test_a_cached_model_by_its_id_and_by_its_name_in_the_catalogue(name: str) -> None:
    files = find_tokenizer(name)
    assert files.name == "meta-llama/Llama-3.1-8B"
    assert files.chat_template == CHATML
    assert files.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("name", ["llama-2-7b", "no/such", "../etc", "", "a\0b", "x" * 5000, "~nobody/x", "\x1b[31m"])
@pytest.mark.usefixtures("cache")
def test_names_of_no_tokenizer(name: str) -> None:
    with pytest.raises(InputError) as caught:
        find_tokenizer(name)
    assert caught.value.field == "tokenizer"
    assert str(caught.value).isprintable()


def test_the_path_of_the_file_is_its_folder(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    assert find_tokenizer(str(folder / "tokenizer.json")).vocabulary == find_tokenizer(str(folder)).vocabulary


def test_a_template_in_a_file_of_its_own_goes_first(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok", CHATML)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert find_tokenizer(str(folder)).chat_template == "{{ messages }}"


def test_the_default_of_named_templates(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    named = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named, "bos_token": {"content": "<b>"}}))
    files = find_tokenizer(str(folder))
    assert (files.chat_template, files.special_tokens) == ("b", {"bos_token": "<b>"})


def test_special_tokens_of_older_files(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    (folder / "tokenizer_config.json").unlink()
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": "</s>", "additional_special_tokens": ["x"]})
    )
    assert find_tokenizer(str(folder)).special_tokens == {"eos_token": "</s>"}


def test_a_tokenizer_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(InputError, match=r"has no tokenizer\.json; write one"):
        find_tokenizer(str(tmp_path))


def test_a_broken_config(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        find_tokenizer(str(folder))
