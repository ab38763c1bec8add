"""What the text of an example is, in the formats that datasets of the hub have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planner.dataset import profile_dataset
from planner.dataset.layouts import LAYOUTS, Document, characters, chat_of
from tests.planner.dataset.files import file, lines, sentence


def taken(row: dict[str, Any]) -> tuple[str, Document] | None:
    for layout in LAYOUTS:
        document = layout.take(row)
        if document is not None:
            return layout.name, document
    return None


USER = {"role": "user", "content": "Why?"}
ASSISTANT = {"role": "assistant", "content": "Because."}

ROWS: dict[str, tuple[dict[str, Any], str, Document]] = {
    "plain text": ({"id": 1, "text": "Once"}, "text", "Once"),
    # tatsu-lab/alpaca has the whole prompt in `text` too
    "alpaca with text": ({"instruction": "Add", "output": "3", "text": "### Add: 3"}, "text", "### Add: 3"),
    "alpaca": (
        {"instruction": "Add", "input": "1, 2", "output": "3"},
        "instruction, input and output",
        "Add\n1, 2\n3",
    ),
    "alpaca without input": (
        {"instruction": "Hi", "input": "", "output": "Yo"},
        "instruction, input and output",
        "Hi\nYo",
    ),
    "openai": ({"messages": [USER, ASSISTANT]}, "messages", [USER, ASSISTANT]),
    # HuggingFaceH4/ultrachat_200k has the first prompt beside the messages
    "ultrachat": ({"prompt": "Why?", "messages": [USER, ASSISTANT]}, "messages", [USER, ASSISTANT]),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        "conversations",
        [USER, ASSISTANT],
    ),
    "prompt and completion": ({"prompt": "2 + 2 =", "completion": " 4"}, "prompt and completion", "2 + 2 = 4"),
    "trl's conversational": (
        {"prompt": [USER], "completion": [ASSISTANT]},
        "prompt and completion",
        [USER, ASSISTANT],
    ),
}


@pytest.mark.parametrize("kind", ROWS)
def test_formats(kind: str) -> None:
    row, name, document = ROWS[kind]
    assert taken(row) == (name, document)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"text": ""},
        {"text": None},
        {"text": 3},
        {"text": ["a"]},
        {"prompt": "only"},
        {"prompt": "", "completion": ""},
        {"prompt": "a", "completion": [ASSISTANT]},
        {"instruction": "a", "input": "b"},
        {"messages": []},
        {"messages": "text"},
        {"messages": [USER, "text"]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": 1, "content": "a"}]},
        {"conversations": [{"from": "human"}]},
    ],
)
def test_rows_without_text(row: dict[str, Any]) -> None:
    assert taken(row) is None


def test_calls_of_tools_and_parts_of_contents_count() -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}]
    chat = chat_of(
        [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "1234"}, {"type": "text", "text": "5"}],
            },
            {"role": "assistant", "content": None, "tool_calls": calls},
        ]
    )
    assert chat is not None
    assert characters(chat) == 5 + len(str(calls))


def test_a_file_of_several_schemas(tmp_path: Path) -> None:
    rows = [row for row, _, _ in ROWS.values()]
    profile = profile_dataset(file(tmp_path, "a.jsonl", lines(*rows, {"other": 1}, *rows)))
    assert dict(profile.layouts) == {
        "text": 4,
        "messages": 4,
        "conversations": 2,
        "prompt and completion": 4,
        "instruction, input and output": 4,
    }
    assert [(skipped.reason, skipped.first) for skipped in profile.skipped] == [("without text", (10,))]


def test_a_forced_field(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", lines({"text": "1234", "body": "12345678"}, {"text": "1"}, {"body": [USER]}))
    profile = profile_dataset(path, text_field="body")
    assert profile.layouts == (("body", 2),)
    assert profile.tokens == 2 + 1 + 5
    says = sentence(path, text_field="boody")
    assert "text is looked for in boody, and its rows have 'text', 'body'" in says
