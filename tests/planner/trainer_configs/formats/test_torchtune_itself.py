"""torchtune's builders, optimizers and settings, held to torchtune itself, torch, bitsandbytes and OmegaConf."""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from planner.catalogue.models import find_model
from planner.errors import InputError
from planner.methods.counting import trainable
from planner.plan import resolve
from planner.run import TrainingRun
from planner.trainer_configs import read_config
from planner.trainer_configs.formats.torchtune import model, optimizer
from planner.trainer_configs.formats.torchtune.builders import find_builder
from planner.trainer_configs.formats.torchtune.interpolation import filled_in
from tests.planner.trainer_configs.formats.test_torchtune import DATA, MINIMAL, read_with, run_of, uncounted

BUILT = {row["builder"]: row for row in csv.DictReader((DATA / "built.csv").read_text(encoding="utf-8").splitlines())}
"""Builders of torchtune 0.6.1 for whole models, each built by torchtune on the meta device: its parameters, and those
of adapters of rank 8 on q, v, output and the MLP."""


@pytest.mark.parametrize("builder", BUILT)
def test_builders_make_the_models_of_the_catalogue(builder: str) -> None:
    found = find_builder(f"torchtune.models.{builder}")
    assert found is not None
    built = int(BUILT[builder]["parameters"])
    model = find_model(found.model)
    if found.differs:  # another head, or a vision model without the buffers that transformers counts
        assert built == pytest.approx(model.parameters, rel=0.03)
    else:
        assert built == model.parameters


@pytest.mark.parametrize("builder", [name for name, row in BUILT.items() if row["adapters"] and "phi" not in name])
def test_adapters_have_the_parameters_that_torchtune_gives_them(tmp_path: Path, builder: str) -> None:
    package, _, name = builder.rpartition(".")
    settings = {
        "_component_": f"torchtune.models.{package}.lora_{name}",
        "lora_attn_modules": ["q_proj", "v_proj", "output_proj"],
        "apply_lora_to_mlp": True,
    }
    run = run_of(read_with(tmp_path, model=settings))
    assert trainable(resolve(run.model)[1], run).trainable == int(BUILT[builder]["adapters"])


def test_builders_with_adapters_make_the_same_models() -> None:
    for builder in BUILT:
        package, _, name = builder.rpartition(".")
        full, lora, qlora = (
            find_builder(f"torchtune.models.{package}.{kind}{name}") for kind in ("", "lora_", "qlora_")
        )
        assert full == lora == qlora is not None
    for other in ("torchtune.models.llama3.llama3", "torchtune.models.llama3_8b", "llama3.llama3_8b", "", "torchtune"):
        assert find_builder(other) is None


def test_the_optimizers_are_there() -> None:
    import torch

    bnb = pytest.importorskip("bitsandbytes.optim")
    assert all(hasattr(torch.optim, name.removeprefix("torch.optim.")) for name in optimizer.TORCH)
    assert all(hasattr(bnb, name) for name in optimizer.BITSANDBYTES)
    for planned in (*optimizer.TORCH.values(), *optimizer.BITSANDBYTES.values()):
        assert TrainingRun(model="gpt2", optimizer=planned).optimizer == planned


def test_interpolations_and_overrides_are_as_omegaconf_has_them() -> None:
    OmegaConf = pytest.importorskip("omegaconf").OmegaConf
    text = (DATA / "qdora.yaml").read_text(encoding="utf-8").replace("${oc.env:HOME}", "/home/me")
    conf = OmegaConf.create(yaml.safe_load(text))
    ours = filled_in(yaml.safe_load(text))
    theirs = OmegaConf.to_container(conf, resolve=True)
    assert ours["model"] == theirs["model"]
    assert filled_in({"a": "${b}", "b": "${a}"}) == {"a": "${b}", "b": "${a}"}
    assert filled_in({"a": "${c.d.0}", "e": "${f}", "f": None}) == {"a": "${c.d.0}", "e": None, "f": None}


@pytest.fixture(scope="module")
def source() -> Path:
    """Where torchtune 0.6.1 lies; it is read, and not imported, which needs much more than it."""
    found = importlib.util.find_spec("torchtune")
    if found is None or found.origin is None:
        pytest.skip("torchtune is not installed")
    return Path(found.origin).parent.parent


TRAINING = ("full", "lora", "qat", "ppo", "knowledge", "early", "grpo")
"""How recipes that train begin."""


def settings_read(recipe: Path) -> Iterator[str]:
    """The settings that a recipe reads at the top of its config: `cfg.batch_size`, `cfg.get("dtype")`."""
    for node in ast.walk(ast.parse(recipe.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("cfg", "self._cfg"):
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("cfg.get", "self._cfg.get"):
            yield from (str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant))


def test_every_setting_that_a_recipe_reads_is_known(source: Path, tmp_path: Path) -> None:
    recipes = [path for path in (source / "recipes").rglob("*.py") if path.name.startswith(TRAINING)]
    assert len(recipes) >= 15
    client = source / "torchtune/training/checkpointing/_checkpoint_client.py"
    names = {name for recipe in (*recipes, client) for name in settings_read(recipe)} - {"get"}
    assert {"batch_size", "fsdp_cpu_offload", "ac_mode", "kd_ratio", "enable_async_checkpointing"} <= names
    given_names = names - MINIMAL.keys() - NUMBERS_AND_SWITCHES
    config = read_with(tmp_path, **{name: {"_component_": "any"} for name in given_names})
    assert not {key for key, text in uncounted(config).items() if "not a setting" in text}


NUMBERS_AND_SWITCHES = {
    *("epochs", "max_steps_per_epoch", "enable_activation_checkpointing", "enable_activation_offloading"),
    *("fsdp_reshard_after_forward", "device", "ac_mode", "ac_option", "save_adapter_weights_only"),
}
"""Settings that other tests give, and that a mapping is wrong for."""


def test_every_config_of_a_recipe_that_trains_is_read(source: Path) -> None:
    read_ones = refused = 0
    for path in (source / "recipes" / "configs").rglob("*.yaml"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "optimizer" not in settings:
            with pytest.raises(InputError, match="trains nothing"):
                read_config(path, "torchtune")
            refused += 1
            continue
        config = read_config(path, "torchtune")
        assert run_of(config).micro_batch_size == settings["batch_size"]
        assert not [text for text in uncounted(config).values() if "not a setting" in text or "placeholder" in text]
        read_ones += 1
    assert (read_ones, refused) == (139, 17)


def test_the_defaults_of_adapters_are_the_builders(source: Path) -> None:
    stated = {"lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.0, "use_dora": False, "apply_lora_to_mlp": False}
    stated |= {"apply_lora_to_output": False, "quantize_base": False}
    found = 0
    for path in (source / "torchtune" / "models").rglob("_model_builders.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("lora_"):
                defaults = dict(zip([one.arg for one in node.args.args][::-1], node.args.defaults[::-1], strict=False))
                for name in stated.keys() & defaults.keys():
                    assert ast.literal_eval(defaults[name]) == stated[name], (node.name, name)
                found += 1
    assert found == 40


def test_the_modules_with_adapters_are_torchtunes(source: Path) -> None:
    text = (source / "torchtune/modules/peft/_utils.py").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("LORA_ATTN_MODULES"))
    assert set(ast.literal_eval(line.partition("Literal")[2])) == model.ATTENTION.keys()
