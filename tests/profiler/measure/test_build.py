"""Models that are built for measuring, against those that transformers, PEFT and bitsandbytes make themselves."""

from __future__ import annotations

import importlib
import pkgutil
import weakref
from collections.abc import Iterator
from typing import Any

import bitsandbytes
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from planner.errors import InputError
from planner.run import TrainingRun
from profiler.measure.build import ADAPTERS, LOADED, UPCAST, build, fill, meta_model
from profiler.simulate.build.quantize import quantize
from tests.planner.architecture import families
from tests.planner.architecture.families.test_mllama import config_of as mllama
from tests.planner.quantization.real import bytes_held, quantized_layers, quantized_model
from tests.profiler.measure.small import CPU, LAYERS, LLAMA, SCHEMES, built, of_config, quiet, run_of
from tests.support.families import model_of
from tests.support.peft_runs import GPT2, MIXTRAL, peft_model

Config = dict[str, Any]

NOT_IN_TRANSFORMERS = ("test_remote_code", "test_mllama")


def configs() -> dict[str, Config]:
    """The small models of the planner's own tests, by family."""
    found: dict[str, Config] = {"mllama": mllama()}
    for module in pkgutil.iter_modules(families.__path__):
        names = vars(importlib.import_module(f"{families.__name__}.{module.name}"))
        for name in ("TINY", "MULTIMODAL", "V2"):
            if name in names and module.name not in NOT_IN_TRANSFORMERS:
                found.setdefault(names[name]["model_type"], names[name])
    return found


CONFIGS = configs()


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def full(**fields: Any) -> TrainingRun:
    given = {"method": "full", "base_dtype": "float32", "mixed_precision": "no", "attention": "eager"}
    return TrainingRun(model="tiny", **(given | {"gradient_checkpointing": False} | fields))


def described(model: Any) -> dict[str, tuple[tuple[int, ...], torch.dtype, bool]]:
    """Parameters by name, tied ones under each of theirs."""
    return {
        name: (tuple(parameter.shape), parameter.dtype, parameter.requires_grad)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def ties(model: Any) -> set[frozenset[str]]:
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {frozenset(same) for same in names.values()}


def test_every_family_is_among_them() -> None:
    assert len(CONFIGS) >= 38
    assert {"llama", "gptj", "gemma3", "mpt", "deepseek_v3", "gpt_oss"} <= CONFIGS.keys()


@pytest.mark.parametrize("family", CONFIGS)
def test_tensors_are_those_that_transformers_initialises(family: str) -> None:
    """Buffers to the bit: rotary frequencies, masks, positions. Weights by their spread, constants exactly."""
    config = CONFIGS[family]
    torch.manual_seed(0)
    theirs, ours = model_of(config, attention="eager"), built(full(), config).model
    assert described(ours) == described(theirs)
    assert ties(ours) == ties(theirs)
    buffers = dict(theirs.named_buffers())
    assert dict(ours.named_buffers()).keys() == buffers.keys()
    for name, buffer in ours.named_buffers():
        assert buffer.dtype == buffers[name].dtype and torch.equal(buffer, buffers[name]), name
    weights = dict(theirs.named_parameters())
    for name, weight in ours.named_parameters():
        assert weight.isfinite().all(), name
        if weights[name].numel() > 1 and weights[name].std() == 0:
            assert torch.equal(weight, weights[name]), name
        elif weight.numel() > 2000:
            assert weight.std().item() == pytest.approx(weights[name].std().item(), rel=0.15), name


@pytest.mark.parametrize("family", CONFIGS)
def test_dtypes_of_16_bits(family: str) -> None:
    config = CONFIGS[family]
    run = full(base_dtype="bfloat16")
    model, _ = meta_model(run, of_config(config))
    fill(model, CPU)
    theirs = model_of(config, attention="eager", dtype="bfloat16")
    assert described(model) == described(theirs)
    assert {name: x.dtype for name, x in model.named_buffers()} == {name: x.dtype for name, x in theirs.named_buffers()}


ADAPTED: dict[str, Config] = {
    "lora": {"rank": 4, "dropout": 0.1},
    "lora on the embeddings": {"rank": 4, "target_modules": ("q_proj", "embed_tokens")},
    "saved head": {"rank": 4, "modules_to_save": ("lm_head",)},
    "biases": {"rank": 4, "bias": "all"},
    "dora": {"method": "dora", "rank": 4},
    "rslora": {"method": "rslora", "rank": 4},
    "ia3": {"method": "ia3"},
    "ln_tuning": {"method": "ln_tuning"},
    "prompt_tuning": {"method": "prompt_tuning"},
    "p_tuning": {"method": "p_tuning", "encoder_hidden_size": 8},
    "prefix_tuning": {"method": "prefix_tuning"},
    "trainable_tokens": {"method": "trainable_tokens", "trainable_token_count": 3},
}


@pytest.mark.parametrize(
    ("method", "checkpointing"),
    [
        (method, checkpointing)
        for method in ADAPTED
        for checkpointing in (False, True)
        if not (method == "prefix_tuning" and checkpointing)  # PEFT refuses it, and so does a run
    ],
)
def test_adapters_are_those_of_peft(method: str, checkpointing: bool) -> None:
    run = run_of(**ADAPTED[method], gradient_checkpointing=checkpointing)
    theirs, ours = peft_model(LLAMA, run, meta=False), built(run)
    assert described(ours.model) == described(theirs)
    trained, total = theirs.get_nb_trainable_parameters()
    assert (ours.trainable, ours.total) == (trained, total)
    assert ours.adapted
    assert all(not tensor.is_meta for tensor in (*ours.model.parameters(), *ours.model.buffers()))
    assert [module.gradient_checkpointing for module in ours.layers] == [checkpointing] * LAYERS
    assert ours.model.training


@pytest.mark.parametrize("kept", [None, (0, 1)])
def test_the_layers_that_are_built(kept: tuple[int, ...] | None) -> None:
    run = run_of(rank=4)
    found = build(run, of_config(LLAMA), CPU, kept=kept)
    assert found.layer_names == "base_model.model.model.layers"
    assert len(found.layers) == (LAYERS if kept is None else 2)
    assert all(layer is found.model.get_submodule(f"{found.layer_names}.{i}") for i, layer in enumerate(found.layers))
    assert found.model.config.num_hidden_layers == len(found.layers)


def test_stages_are_told_in_order() -> None:
    told: list[str] = []
    built(run_of(method="qlora", rank=4), done=told.append)
    assert told == [LOADED, UPCAST, ADAPTERS]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_adapters_are_in_the_runs_dtype(dtype: str) -> None:
    model = built(run_of(rank=4, adapter_dtype=dtype)).model
    dtypes = {parameter.requires_grad: parameter.dtype for parameter in model.parameters()}
    assert dtypes == {False: torch.bfloat16, True: getattr(torch, dtype)}


def test_what_peft_refuses_is_one_sentence() -> None:
    with pytest.raises(InputError) as raised:
        built(run_of(rank=4, target_modules=("no_such_layer",)))
    assert str(raised.value).startswith("PEFT cannot put the run's adapter on this model (")
    assert "no_such_layer" in str(raised.value) and "\n" not in str(raised.value)


QUANTIZED = {"llama": LLAMA, "gpt2": GPT2, "mixtral": MIXTRAL}
TARGETS = {
    "llama": "all-linear",
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "mixtral": ("q_proj", "v_proj"),  # PEFT has no dropout for experts in one tensor
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", QUANTIZED)
def test_quantized_layers_are_those_of_transformers(family: str, scheme: str) -> None:
    config = QUANTIZED[family]
    fields = {"rank": 4, "target_modules": TARGETS[family], "mixed_precision": "bf16", **SCHEMES[scheme]}
    run = run_of(config, **fields)
    ours = built(run, config)
    theirs = dict(quantized_layers(quantized_model(config, run)))
    base = ours.model.get_base_model()
    layers = {name.replace(".base_layer", ""): layer for name, layer in quantized_layers(base)}
    assert {name: bytes_held(layer) for name, layer in layers.items()} == {
        name: bytes_held(layer) for name, layer in theirs.items()
    }
    for name, layer in layers.items():
        assert type(layer.weight) is type(theirs[name].weight)
        assert not layer.weight.requires_grad
        if scheme != "int8":
            state, known = layer.weight.quant_state, theirs[name].weight.quant_state
            assert (state.shape, state.dtype, state.nested, state.quant_type, state.blocksize) == (
                known.shape,
                known.dtype,
                known.nested,
                known.quant_type,
                known.blocksize,
            )
            assert layer.compute_dtype == theirs[name].compute_dtype
    trained, total = ours.model.get_nb_trainable_parameters()
    assert (ours.trainable, ours.total) == (trained, total)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ours.model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in ours.model.parameters() if parameter.requires_grad)


VOCABULARY = (96, 32)
"""Shape of the embedding and of the head, which stay in 16 bits."""


class Drawn(TorchDispatchMode):
    """Keeps copies of the 16-bit weights of layers that chance draws, and counts those that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[torch.Tensor] = []
        self.alive: set[int] = set()
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.normal_.default and out.dtype == torch.bfloat16 and out.shape != VOCABULARY:
            storage = out.untyped_storage()
            key = storage._cdata
            self.alive.add(key)
            self.most = max(self.most, len(self.alive))
            weakref.finalize(storage, self.alive.discard, key)
            self.copies.append(out.clone())
        return out


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_quantized_one_by_one_by_bitsandbytes(scheme: str) -> None:
    """No second weight in 16 bits is there before the first is quantized: a model passes through no memory whole."""
    run = run_of(rank=4, **SCHEMES[scheme])
    model, _ = meta_model(run, of_config(LLAMA))
    quantize(model, run)
    drawn = Drawn()
    with drawn:
        fill(model, CPU)
    made = [layer.weight for _, layer in quantized_layers(model)]
    assert len(made) == LAYERS * 7
    assert drawn.most == 1 and not drawn.alive
    for weight, source in zip(made, drawn.copies, strict=True):
        assert 0.01 < source.std() < 0.04
        if scheme == "int8":
            CB, SCB, _ = bitsandbytes.functional.int8_vectorwise_quant(source.half())
            assert torch.equal(weight.data, CB) and torch.equal(weight.SCB, SCB)
            continue
        packed, state = bitsandbytes.functional.quantize_4bit(
            source, compress_statistics=run.double_quant, quant_type=run.quantization
        )
        assert torch.equal(weight.data, packed)
        assert torch.equal(weight.quant_state.absmax, state.absmax)
        assert torch.equal(weight.quant_state.code, state.code)


def test_biases_of_quantized_layers_are_initialised() -> None:
    config = LLAMA | {"model_type": "qwen2"}
    model = built(run_of(config, method="qlora", rank=4), config).model
    biases = {name: x for name, x in model.named_parameters() if name.endswith("bias")}
    assert len(biases) == 3 * LAYERS
    assert not any(bias.any() for bias in biases.values())


def test_preparation_for_kbit_training() -> None:
    model = built(run_of(method="qlora", rank=4)).model
    dtypes = {name: parameter.dtype for name, parameter in model.named_parameters()}
    norms = [dtype for name, dtype in dtypes.items() if "norm" in name or "lm_head" in name or "embed" in name]
    assert len(norms) == 2 * LAYERS + 3
    assert set(norms) == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if "base_layer" in name} == {torch.uint8}


def test_linear_layers_of_another_shape_keep_it() -> None:
    """GPT-2's store their weights the other way round; quantized they are as any linear layer."""
    model = built(run_of(GPT2, method="full"), GPT2).model
    assert isinstance(model.transformer.h[0].attn.c_attn, Conv1D)
    assert tuple(model.transformer.h[0].attn.c_attn.weight.shape) == (64, 192)
