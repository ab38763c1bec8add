"""Tokens by a tokenizer, against transformers' AutoTokenizer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from planner.dataset import profile_dataset
from planner.errors import InputError
from tests.planner.dataset.files import file, lines, sentence
from tests.planner.dataset.tokenizers_made import CHATML, make_tokenizer

TEXTS = ["the cat", "the dog sat on the log and the mat, déjà vu 🐈", "x" * 50, "\ud83d half a pair"]
CHAT = [{"role": "user", "content": "the cat?"}, {"role": "assistant", "content": "on the mat"}]


def test_texts_have_the_tokens_that_transformers_gives_them(tmp_path: Path) -> None:
    """Whatever truncation and padding the file asks for; text of a JSON list may hold half a surrogate pair."""
    folder = make_tokenizer(tmp_path / "tok")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    whole = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    expected = sorted(len(tokenizer(text, truncation=False, padding=False)["input_ids"]) for text in whole)
    path = file(tmp_path, "a.json", json.dumps([{"text": text} for text in TEXTS]))
    profile = profile_dataset(path, tokenizer=str(folder))
    assert [length for length, count in profile.histogram for _ in range(count)] == expected
    assert profile.assumptions == ()
    assert profile.counted == f"the tokenizer of {folder}"


def test_chats_go_through_the_chat_template(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok", CHATML)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected = len(tokenizer.apply_chat_template(CHAT, tokenize=True, return_dict=True)["input_ids"])
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"messages": CHAT})), tokenizer=str(folder))
    assert profile.tokens == expected


def test_without_a_chat_template_tokens_are_added_and_said(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines({"messages": CHAT})), tokenizer=str(folder))
    assert profile.tokens == len(tokenizer("the cat?\non the mat", truncation=False)["input_ids"]) + 2 * 5
    assert "has no chat template; 5 tokens are added for each message" in profile.assumptions[0]


def test_chats_that_the_template_refuses_are_skipped(tmp_path: Path) -> None:
    template = "{% if messages | length > 1 %}{{ raise_exception('too long') }}{% endif %}{{ messages[0].content }}"
    folder = make_tokenizer(tmp_path / "tok", template)
    rows = lines({"messages": CHAT}, {"messages": CHAT[:1]}, {"text": "the cat"})
    profile = profile_dataset(file(tmp_path, "a.jsonl", rows), tokenizer=str(folder))
    assert profile.examples == 2
    assert [(skipped.reason, skipped.first) for skipped in profile.skipped] == [("refused by the chat template", (1,))]
    says = sentence(file(tmp_path, "b.jsonl", lines({"messages": CHAT})), tokenizer=str(folder))
    assert "1 refused by the chat template (line 1)" in says


def test_a_tokenizer_and_a_number_of_characters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give one of them"):
        profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "a"})), tokenizer="gpt2", characters_per_token=4)


@pytest.mark.parametrize("content", ["", "{}", "[", '{"version": "1.0", "model": {"type": "Unheard"}}'])
def test_a_broken_tokenizer(tmp_path: Path, content: str) -> None:
    folder = make_tokenizer(tmp_path / "tok")
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"has a broken tokenizer\.json"):
        profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "a"})), tokenizer=str(folder))


@pytest.mark.parametrize("library", ["tokenizers", "jinja2"])
def test_without_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    folder = make_tokenizer(tmp_path / "tok", CHATML)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "planner.dataset.chat_template", raising=False)
    with pytest.raises(InputError, match=rf"install it with `pip install .*{library}"):
        profile_dataset(file(tmp_path, "a.jsonl", lines({"text": "a"})), tokenizer=str(folder))
