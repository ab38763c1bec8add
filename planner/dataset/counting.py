"""From characters to tokens, without a tokenizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from planner.dataset.layouts import Document, characters

CHARACTERS_PER_TOKEN = 4.0
"""Of English prose with the vocabularies of today, a rule of thumb (OpenAI's help pages give it: "1 token ~= 4 chars
in English"). Code, other languages and small vocabularies have fewer characters to a token, and so more tokens."""

TOKENS_PER_MESSAGE = 5
"""That a chat template writes around each message. ChatML: <|im_start|>, the role, a newline, <|im_end|>, a newline;
Llama 3: <|start_header_id|>, the role, <|end_header_id|>, two newlines as one token, <|eot_id|>."""


class Counter(Protocol):
    """A way to count tokens."""

    def lengths(self, documents: Sequence[Document]) -> list[int | None]:
        """Tokens of each document; None for a chat that the chat template refuses."""
        ...

    def counted(self) -> str:
        """How, in a few words."""
        ...

    def assumptions(self, chats: bool) -> list[str]:
        """What was assumed, a sentence each; `chats`: whether there were any."""
        ...


class CharacterCounter:
    """So many characters to a token, rounded up for each example."""

    def __init__(self, characters_per_token: float | None) -> None:
        self._given = characters_per_token is not None
        self._per_token = CHARACTERS_PER_TOKEN if characters_per_token is None else characters_per_token

    def lengths(self, documents: Sequence[Document]) -> list[int | None]:
        """Tokens of each document."""
        per_token = self._per_token
        return [
            math.ceil(len(document) / per_token)
            if isinstance(document, str)
            else math.ceil(characters(document) / per_token) + TOKENS_PER_MESSAGE * len(document)
            for document in documents
        ]

    def counted(self) -> str:
        """How, in a few words."""
        return f"{self._per_token:g} characters to a token"

    def assumptions(self, chats: bool) -> list[str]:
        """What was assumed, a sentence each."""
        sentences: list[str] = []
        if not self._given:
            sentences.append(
                f"A token has {self._per_token:g} characters, as in English prose; code and other languages have "
                "fewer, and so more tokens. --tokenizer counts them, --characters-per-token says otherwise."
            )
        if chats:
            sentences.append(f"A chat template writes {TOKENS_PER_MESSAGE} tokens around each message.")
        return sentences
