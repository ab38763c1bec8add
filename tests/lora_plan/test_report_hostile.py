"""Reports on what nobody should trust: names of models, cards, datasets and providers, settings of a config."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from planner.plan import loaded_config
from tests.lora_plan.cli import call
from tests.reports.documents.pages import CHART_ELEMENTS, Page
from tests.reports.documents.parsed import inlines, said, tokens

OF_A_PATH = "<img src=x onerror=alert(1)>|`a`[x](javascript:b)@someone '\"&lt;"
NAMES = (OF_A_PATH, "</script><script>alert(1)</script>", "![a](http://evil.example/x.png) $x$ #12 :tada:")


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, a card, a dataset, a config and prices, each of a name that means harm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path / "sheets"))
    monkeypatch.setattr("reports.cost_report.other_ways.other_ways", lambda *_: "Other ways were not searched.")
    model = tmp_path / OF_A_PATH
    model.mkdir()
    (model / "config.json").write_text(json.dumps(loaded_config("llama-3.2-1b").config))
    texts = [json.dumps({"text": "word " * words}) for words in (20, 200, 400)]
    (tmp_path / f"{OF_A_PATH}.jsonl").write_text("\n".join(texts))
    Path("card.json").write_text(json.dumps({"name": NAMES[1], "memory_gib": 24}))
    settings = {name: name for name in NAMES} | {"dataset_name": NAMES[2], "torch_compile_backend": NAMES[1]}
    config = {"model_name_or_path": str(model), "use_peft": True, "lora_r": 8, "max_length": 512, **settings}
    (tmp_path / f"{OF_A_PATH}.yaml").write_text(json.dumps(config))
    with Path("prices.csv").open("w", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(("provider", "instance_type", "gpu", "gpu_count", "market", "usd_per_hour", "region", "source"))
        sheet.writerows((name, name, "L4", 1, "on-demand", 0.5, name, name) for name in NAMES)
    assert call("prices", "import", "prices.csv").status == 0
    return model


def reports(*argv: str) -> tuple[str, Page]:
    """A report as Markdown and as a page, both of them read by another's parser."""
    for name in ("a.md", "a.html"):
        done = call("report", *argv, "--output", name)
        assert (done.status, done.err) == (0, "")
    return Path("a.md").read_text(), Page(Path("a.html").read_text())


def check(text: str, page: Page) -> None:
    """Nothing in either is an element, an attribute, a link or a picture that the writer did not mean."""
    for token in tokens(text):
        if token.type == "html_block":
            assert "<" not in re.sub(r"</?details>|</?summary>|<!-- (lora-plan report )?-->", "", token.content)
    for line in inlines(text):
        if [child.type for child in line.children or ()] != ["image"]:
            said(line)
    kinds = {tag for tag, _ in page.elements} - CHART_ELEMENTS
    assert kinds.isdisjoint({"img", "iframe", "object", "b", "form"}) and len(page.of("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [link for link in page.of("a") if "evil" in link["href"] or link["href"].startswith("javascript:")]


def test_a_model_a_dataset_and_prices(inputs: Path) -> None:
    text, page = reports("--model", str(inputs), "--gpu", "l4", "--dataset", f"{OF_A_PATH}.jsonl")
    check(text, page)
    assert OF_A_PATH in "".join(page.text)
    assert all("".join(page.text).count(name) >= 3 for name in NAMES)


def test_a_config_and_a_card() -> None:
    text, page = reports("--config", f"{OF_A_PATH}.yaml", "--gpu-file", "card.json")
    check(text, page)
    assert all(name in "".join(page.text) for name in NAMES)
