"""The files of a tokenizer: in a folder, or in the local Hugging Face cache. Nothing is downloaded or executed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from planner.architecture.config_file import cached_snapshot
from planner.catalogue.files import parse_mapping, read_bytes
from planner.catalogue.models import match_model
from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.units import MIB

LARGEST_TOKENIZER = 256 * MIB
"""Bytes of a tokenizer.json; the largest vocabularies of today (256,000 tokens) have some 35 MB."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What is needed of a tokenizer's folder."""

    name: str
    """As it was asked for, or the Hugging Face id that this stands for."""

    vocabulary: bytes
    """tokenizer.json."""

    chat_template: str | None
    """Jinja text; None where the tokenizer has none."""

    special_tokens: dict[str, str]
    """bos_token, eos_token, ...: what chat templates write."""


def find_tokenizer(name: str) -> TokenizerFiles:
    """The tokenizer in a folder, or of a model of the local cache by its id or its name in the catalogue.

    Raises `InputError` where there is none, or only one of a kind that has no tokenizer.json.
    """
    label, folder = _folder(name)
    file = folder / "tokenizer.json"
    if not os.path.lexists(file):
        raise InputError(
            f"tokenizer {shown_path(label)} has no tokenizer.json; write one with `save_pretrained` of transformers' "
            "AutoTokenizer, or give --characters-per-token",
            field="tokenizer",
        )
    vocabulary = read_bytes(file, field="tokenizer", largest=LARGEST_TOKENIZER)
    config = _mapping(folder / "tokenizer_config.json")
    special_tokens = _special_tokens(_mapping(folder / "special_tokens_map.json") | config)
    return TokenizerFiles(label, vocabulary, _template(folder, config), special_tokens)


def _folder(name: str) -> tuple[str, Path]:
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return name, path
        if path.name == "tokenizer.json" and path.exists():
            return name, path.parent
    except (OSError, ValueError, RuntimeError):
        raise InputError(
            f"tokenizer {shown_path(name)} is not a path or a model; check it", field="tokenizer"
        ) from None
    match = match_model(name)
    identifier = match.model.id if match is not None and "/" not in name else name
    folder = cached_snapshot(identifier) if _ID.fullmatch(identifier) else None
    if folder is None:
        raise InputError(
            f"tokenizer '{shown(identifier)}' is neither a folder nor a model of the local Hugging Face cache; fetch "
            "it first, or give --characters-per-token",
            field="tokenizer",
        )
    return identifier, folder


def _mapping(file: Path) -> dict[str, object]:
    if not os.path.lexists(file):
        return {}
    return parse_mapping(read_bytes(file, field="tokenizer"), shown_path(file), field="tokenizer")


def _template(folder: Path, config: dict[str, object]) -> str | None:
    """The chat template: of a file of its own, as since transformers 4.51, or of the config."""
    file = folder / "chat_template.jinja"
    if os.path.lexists(file):
        try:
            return read_bytes(file, field="tokenizer").decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{shown_path(file)} is not text in UTF-8; get it again", field="tokenizer") from None
    template = config.get("chat_template")
    if isinstance(template, list):
        named = [cast("dict[str, object]", item) for item in cast("list[object]", template) if isinstance(item, dict)]
        template = next((item.get("template") for item in named if item.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _special_tokens(config: dict[str, object]) -> dict[str, str]:
    tokens: dict[str, str] = {}
    for key, value in config.items():
        text = cast("dict[str, object]", value).get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            tokens[key] = text
    return tokens
