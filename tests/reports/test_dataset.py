"""A profile as people and programs read it."""

from __future__ import annotations

import json
from pathlib import Path

from planner.dataset import profile_dataset
from reports.dataset import dataset_json, dataset_section
from reports.page import Page
from tests.planner.dataset.files import file, lines

ROWS = [{"text": "x" * 4 * length} for length in [10] * 98 + [3000, 5000]]


def test_a_section(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", lines(*ROWS, {"prompt": "x", "completion": "y"}) + "nonsense\n" * 5)
    section = dataset_section(profile_dataset(path), 2048, Page())
    text = " ".join(line.strip() for line in section)
    assert all(len(line) <= 80 for line in section)
    assert "text (100), prompt and completion (1); 4 characters to a token" in text
    assert "8,981 in all, 89 on average, 10 at 50 %, 10 at 90 %, 3,000 at 99 %, 5,000 at most" in text
    assert "2 are longer than 2,048 tokens and are cut: 43 % of all tokens are lost" in text
    assert "skipped: 5 not JSON (line 102, 103, 104, ...)" in text


def test_names_from_outside_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = file(tmp_path, "\x1b[31m.jsonl", lines({"\x1b[2J": "text"}))
    section = dataset_section(profile_dataset(path, text_field="\x1b[2J"), 2048, Page())
    assert all(line.isprintable() for line in section)


def test_json(tmp_path: Path) -> None:
    data = dataset_json(profile_dataset(file(tmp_path, "a.jsonl", lines(*ROWS))), 4096)
    assert json.loads(json.dumps(data)) == data
    assert data["truncated"] == {"sequence_length": 4096, "examples": 1, "tokens": 904}
    assert data["percentiles"] == {"50": 10, "90": 10, "99": 3000}
