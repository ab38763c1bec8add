"""Tokens counted by a tokenizer of Hugging Face's tokenizers library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from planner.catalogue.spelling import shown, shown_path
from planner.dataset.counting import TOKENS_PER_MESSAGE
from planner.dataset.layouts import Document, Message
from planner.dataset.tokenizer_files import find_tokenizer
from planner.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter:
    """The tokens that a tokenizer makes of texts, with its special tokens, and of chats through its chat template."""

    def __init__(self, tokenizer: Tokenizer, name: str, render: Callable[[list[Message]], str | None] | None) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._render = render

    def lengths(self, documents: Sequence[Document]) -> list[int | None]:
        """Tokens of each document; None for a chat that the chat template refuses."""
        lengths: list[int | None] = [None] * len(documents)
        texts = {place: document for place, document in enumerate(documents) if isinstance(document, str)}
        for place, length in zip(texts, self._count(list(texts.values()), special=True), strict=True):
            lengths[place] = length
        chats = {place: document for place, document in enumerate(documents) if not isinstance(document, str)}
        if not chats:
            return lengths
        if self._render is None:
            joined = ["\n".join(_contents(chat)) for chat in chats.values()]
            counts = self._count(joined, special=True)
            for (place, chat), count in zip(chats.items(), counts, strict=True):
                lengths[place] = count + TOKENS_PER_MESSAGE * len(chat)
            return lengths
        rendered = {place: text for place, chat in chats.items() if (text := self._render(chat)) is not None}
        # a template writes the special tokens itself
        for place, length in zip(rendered, self._count(list(rendered.values()), special=False), strict=True):
            lengths[place] = length
        return lengths

    def counted(self) -> str:
        """How, in a few words."""
        return f"the tokenizer of {shown(self._name)}"

    def assumptions(self, chats: bool) -> list[str]:
        """What was assumed, a sentence each."""
        if not chats or self._render is not None:
            return []
        return [
            f"The tokenizer of {shown(self._name)} has no chat template; {TOKENS_PER_MESSAGE} tokens are added for "
            "each message."
        ]

    def _count(self, texts: list[str], special: bool) -> list[int]:
        if not texts:
            return []
        try:
            encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=special)
        except (TypeError, UnicodeEncodeError):
            # half a surrogate pair, which a JSON escape can write and UTF-8 cannot
            whole = [text.encode("utf-8", errors="replace").decode("utf-8") for text in texts]
            encoded = self._tokenizer.encode_batch_fast(whole, add_special_tokens=special)
        return [len(encoding) for encoding in encoded]


def load_counter(name: str) -> TokenCounter:
    """The counter of the tokenizer called `name`, a folder or a model of the local cache. Raises `InputError`."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(
            "--tokenizer needs the tokenizers library; install it with `pip install tokenizers jinja2`, or give "
            "--characters-per-token",
            field="tokenizer",
        ) from None
    files = find_tokenizer(name)
    try:
        tokenizer = Tokenizer.from_buffer(files.vocabulary)
    except Exception as error:  # all that the library raises for what is no tokenizer
        raise InputError(
            f"tokenizer {shown_path(files.name)} has a broken tokenizer.json ({shown(str(error), 80)}); get it again",
            field="tokenizer",
        ) from None
    # tokenizers of sentence encoders cut and pad, which would hide the lengths
    tokenizer.no_truncation()
    tokenizer.no_padding()
    render = None
    if files.chat_template is not None:
        try:
            from planner.dataset.chat_template import chat_renderer
        except ImportError:
            raise InputError(
                "a chat template needs jinja2; install it with `pip install jinja2`", field="tokenizer"
            ) from None
        render = chat_renderer(files.chat_template, files.special_tokens)
    return TokenCounter(tokenizer, files.name, render)


def _contents(chat: list[Message]) -> list[str]:
    return [content for message in chat if isinstance(content := message.get("content"), str)]
