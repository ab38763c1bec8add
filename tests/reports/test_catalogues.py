"""The tables of models and cards."""

from __future__ import annotations

from planner.catalogue import find_gpu, list_gpus, search_models
from reports.catalogues import gpus_text, models_text
from reports.page import Page


def test_models_fit_the_page_whatever_their_names() -> None:
    for width in (80, 100):
        assert max(map(len, models_text(search_models(), Page(width)).splitlines())) <= width


def test_a_model_is_shown_with_its_parameters_and_names_to_type() -> None:
    line = models_text(search_models("llama-3.1-8b"), Page()).splitlines()[1]
    assert line.split()[:3] == ["meta-llama/Llama-3.1-8B", "8.03", "B"]
    assert "llama-3.1-8b" in line


def test_cards_fit_the_page() -> None:
    assert max(map(len, gpus_text(list_gpus(), Page()).splitlines())) <= 80


def test_a_card_is_shown_with_what_can_be_used_of_it() -> None:
    gpu = find_gpu("a100-80gb-sxm").gpu
    line = gpus_text([gpu], Page()).splitlines()[1]
    assert line.split() == ["A100-80GB-SXM", "80.0", f"{gpu.usable_bytes / 2**30:.1f}", "yes", "8.0"]
