"""The house: imports point one way, `lora_plan -> reports -> profiler, pricing -> planner`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "planner": set[str](),
    "pricing": {"planner"},
    "profiler": {"planner"},
    "reports": {"planner", "profiler", "pricing"},
    "lora_plan": {"planner", "profiler", "pricing", "reports"},
}
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "pandas", "numpy", "rich", "typer"}


def imported(file: Path) -> set[str]:
    """Top-level names of everything a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        wrong = imported(file) & (ALLOWED.keys() - ALLOWED[package] - {package})
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_the_planner_needs_no_torch() -> None:
    for file in (ROOT / "planner").rglob("*.py"):
        # many plans at once are arrays; what reads a dataset imports its readers where it needs them
        allowed = {"numpy"} if "search" in file.parts else {"transformers"} if "dataset" in file.parts else set[str]()
        wrong = imported(file) & (HEAVY - allowed)
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
