"""PEFT's tables, as our data file has them, against PEFT's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peft.utils import constants
from peft.utils import transformers_weight_conversion as conversion

from planner.errors import InputError
from planner.methods import defaults
from planner.methods.defaults import default_targets, feedforward_modules
from planner.methods.expert_targets import REWRITTEN

TABLES = json.loads((Path(defaults.__file__).parent / "data" / "peft_defaults.json").read_text())


def test_the_data_names_its_source() -> None:
    assert "peft/utils/constants.py" in TABLES["source"]
    assert TABLES["version"]


def test_the_tables_are_pefts() -> None:
    assert TABLES["ia3_targets"] == constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
    assert TABLES["ia3_feedforward"] == constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
    assert TABLES["ln_tuning_targets"] == constants.TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING


def test_a_model_type_without_defaults_has_to_name_its_targets() -> None:
    assert default_targets("ia3_targets", "llama") == ("k_proj", "v_proj", "down_proj")
    assert feedforward_modules("llama") == ("down_proj",)
    assert feedforward_modules("phi3") == ()
    with pytest.raises(InputError, match="give target_modules"):
        default_targets("ln_tuning_targets", "phi3")


def test_the_rewritten_families_are_pefts() -> None:
    tables = vars(conversion)
    for model_type, table in REWRITTEN.items():
        pattern = tables["_MODEL_TO_CONVERSION_PATTERN"][model_type]
        assert tables["_MOE_TARGET_MODULE_MAPPING"][pattern] == table
