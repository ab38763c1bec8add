"""The first lines of a plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from planner.plan import loaded_config
from planner.run import TrainingRun
from reports.page import Page
from reports.verdict import method_title, model_title, verdict_section
from tests.reports.samples import full_that_does_not_fit, qlora_that_fits


def test_a_plan_that_fits() -> None:
    assert verdict_section(qlora_that_fits(), Page()) == [
        "FITS   Llama-3.1-70B QLoRA on A100-80GB-SXM",
        "  45.6 GiB (42.8–48.3) reserved of 78.6 GiB usable: 33.0 GiB to spare",
        "  207.1 M of 70.76 B parameters are trained (0.29%)",
    ]


def test_a_plan_that_trains_everything() -> None:
    assert verdict_section(full_that_does_not_fit()[0], Page())[-1] == "  all 7.25 B parameters are trained"


def test_tight() -> None:
    first = verdict_section(replace(qlora_that_fits(), verdict="tight"), Page())[0]
    assert first.startswith("TIGHT   Llama-3.1-70B")


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"method": "qlora"}, "QLoRA"),
        ({"method": "qlora", "quantization": "fp4"}, "QLoRA (fp4)"),
        ({"method": "int8-lora"}, "LoRA (int8)"),
        ({"method": "qdora"}, "DoRA (nf4)"),
        ({"method": "full"}, "full fine-tuning"),
        ({"method": "ia3"}, "IA³"),
    ],
)
def test_methods_as_the_field_writes_them(fields: dict[str, str], title: str) -> None:
    assert method_title(TrainingRun(model="llama-3.1-8b", **fields)) == title


def test_models_by_the_name_of_their_repository() -> None:
    assert model_title(TrainingRun(model="llama-70b")) == "Llama-3.1-70B"


def test_a_model_of_this_folder_is_called_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(loaded_config("llama-3.2-1b").config))
    monkeypatch.chdir(folder)
    for model in ("./config.json", "config.json", ".", str(folder), str(folder / "config.json"), "../my-model/"):
        assert model_title(TrainingRun(model=model)) == "my-model"
