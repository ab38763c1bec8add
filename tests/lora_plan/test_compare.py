"""`lora-plan report --compare`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lora_plan.cli import call

CARD = ("--gpu", "rtx4090", "--examples", "1800", "--tokens", "1M")


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small run and a large one."""
    (tmp_path / "a.yaml").write_text("model: llama-3.2-1b\nmethod: qlora\n")
    (tmp_path / "b.yaml").write_text("model: llama-3.2-1b\nmethod: lora\nmicro_batch_size: 64\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_file_is_the_base_of_the_others() -> None:
    outcome = call("report", "--compare", "a.yaml", "b.yaml", *CARD)
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("<!-- lora-plan compare -->\n")
    assert "no longer fits RTX4090" in outcome.out
    assert "<details>" in outcome.out
    back = call("report", "--compare", "b.yaml", "a.yaml", *CARD)
    assert "now fits RTX4090" in back.out


def test_equal_runs_have_no_change() -> None:
    assert "No change in memory, time or cost" in call("report", "--compare", "a.yaml", "a.yaml", *CARD).out


def test_flags_go_over_both_files() -> None:
    outcome = call("report", "--compare", "a.yaml", "b.yaml", *CARD, "--method", "lora", "--batch-size", "2")
    assert "No change in memory, time or cost" in outcome.out


def test_a_file_without_a_plan_is_a_sentence_and_status_2() -> None:
    outcome = call("report", "--compare", "a.yaml", "gone.yaml", "b.yaml", *CARD)
    assert outcome.status == 2
    assert "no longer fits RTX4090" in outcome.out and "not planned" in outcome.out
    assert "'gone.yaml' does not exist" in outcome.err


def test_it_is_written_to_a_file_as_markdown_or_html(runs: Path) -> None:
    for name, start in (("out.md", "<!-- lora-plan compare -->"), ("out.html", "<!doctype html>")):
        for _ in range(2):  # one's own file is renewed
            outcome = call("report", "--compare", "a.yaml", "b.yaml", *CARD, "--output", name)
            assert (outcome.status, outcome.out) == (0, ""), outcome.err
        assert (runs / name).read_text().lower().startswith(start)
    (runs / "out.md").write_text("mine")
    refused = call("report", "--compare", "a.yaml", "b.yaml", *CARD, "--output", "out.md")
    assert refused.status == 2 and (runs / "out.md").read_text() == "mine"
    assert call("report", "--compare", "a.yaml", "b.yaml", *CARD, "--output", "out.md", "--force").status == 0
    for options, sentence in (
        (("--html", "--output", "out.md"), "--html writes a page, not .md"),
        (("--force",), "--force is about a file"),
        (("--png", "--html"), "leave out --png"),
    ):
        refused = call("report", "--compare", "a.yaml", "b.yaml", *CARD, *options)
        assert refused.status == 2 and sentence in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.yaml",), "--compare needs two files or more"),
        (("a.yaml", "b.yaml", "--run", "a.yaml"), "leave out --run"),
        (("a.yaml", "b.yaml", "--config", "a.yaml"), "leave out --config"),
        (("a.yaml", "b.yaml", "--simulate"), "leave out --simulate"),
        (("a.yaml", "b.yaml", "--png"), "leave out --png"),
        (("a.yaml", "b.yaml", "--gpu", "t4", "--gpu-memory", "24"), "name two cards"),
    ],
)
def test_bad_options_are_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    outcome = call("report", "--compare", *arguments)
    assert outcome.status == 2
    assert said in outcome.err and outcome.err.count("\n") == 1
