"""What the text of an example is: which fields of a row hold it, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

Message = dict[str, object]
"""`role`, `content`, and what else a message of a chat has."""

Document = str | list[Message]
"""The text of one example, or its chat."""

Row = Mapping[str, object]

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}
"""ShareGPT's names of roles, by those that chat templates know."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a row holds the text of an example."""

    name: str
    """For people."""

    fields: tuple[str, ...]

    take: Callable[[Row], Document | None]
    """The text; None where the row does not hold it in this way."""


def field_layout(field: str) -> Layout:
    """One field, of text or of a chat."""

    def take(row: Row) -> Document | None:
        value = row.get(field)
        if isinstance(value, str):
            return value or None
        return chat_of(value)

    return Layout(field, (field,), take)


def chat_of(value: object) -> list[Message] | None:
    """A chat as chat templates take it, from messages of `role` and `content` or of `from` and `value`."""
    if not isinstance(value, list) or not value:
        return None
    chat: list[Message] = []
    for item in cast("list[object]", value):
        if not isinstance(item, dict):
            return None
        # a Parquet column gives every message all fields, those that it does not have as None
        message = {key: held for key, held in cast("Message", item).items() if held is not None}
        role = message.pop("from", None) if "role" not in message else message["role"]
        content = message.pop("value", None) if "content" not in message else message["content"]
        if not isinstance(role, str) or not (isinstance(content, str | list) or message.get("tool_calls")):
            return None
        chat.append({**message, "role": ROLES.get(role, role), "content": content})
    return chat


def characters(document: Document) -> int:
    """Characters of the text; of a chat, those of the contents and calls of its messages."""
    if isinstance(document, str):
        return len(document)
    return sum(_content(message.get("content")) + _calls(message) for message in document)


def _content(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    if not isinstance(content, list):
        return 0
    parts = [cast("Message", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    texts = [part.get("text") for part in parts]
    return sum(len(text) for text in texts if isinstance(text, str))


def _calls(message: Message) -> int:
    return len(str(message["tool_calls"])) if "tool_calls" in message else 0


def _text(field: str) -> Layout:
    def take(row: Row) -> Document | None:
        value = row.get(field)
        return value if isinstance(value, str) and value else None

    return Layout(field, (field,), take)


def _chat(field: str) -> Layout:
    return Layout(field, (field,), lambda row: chat_of(row.get(field)))


def _prompt_and_completion(row: Row) -> Document | None:
    prompt, completion = row.get("prompt"), row.get("completion")
    if isinstance(prompt, str) and isinstance(completion, str):
        return prompt + completion or None
    first, second = chat_of(prompt), chat_of(completion)
    return first + second if first and second else None


def _instruction(row: Row) -> Document | None:
    instruction, given, output = row.get("instruction"), row.get("input"), row.get("output")
    if not isinstance(instruction, str) or not isinstance(output, str):
        return None
    return "\n".join(part for part in (instruction, given, output) if isinstance(part, str) and part) or None


LAYOUTS = (
    _text("text"),
    _chat("messages"),
    _chat("conversations"),
    Layout("prompt and completion", ("prompt", "completion"), _prompt_and_completion),
    Layout("instruction, input and output", ("instruction", "input", "output"), _instruction),
)
"""In the order in which they are looked for: what comes first is the whole example where a row has several."""
