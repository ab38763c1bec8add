"""The size of `adapter_model.safetensors`, as `PeftModel.save_pretrained` writes it.

Source: `peft/utils/save_and_load.py` (0.21), `get_peft_model_state_dict`; the format is that of safetensors:
eight bytes, a JSON header padded with spaces to a multiple of eight, and the tensors one after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from planner.architecture.modules import Architecture, Shape
from planner.methods.base import AddedTensor, kept_dtype
from planner.methods.counting import Wrapped, copied, trained_in_place, wrapped
from planner.methods.ln_tuning import tuned
from planner.methods.lora import wrapped_parameter
from planner.methods.pattern import matching
from planner.methods.saved_modules import around
from planner.run import TrainingRun
from planner.run.rules import LORA_METHODS
from planner.units import DTYPE_BYTES

ROOT = "base_model.model."

SAVED_EMBEDDINGS = ("embed_tokens", "lm_head")
"""Embeddings that are saved in full when they are targets (`EMBEDDING_LAYER_NAMES` of PEFT)."""

_DTYPE_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


class Entry(NamedTuple):
    """One tensor of the file."""

    name: str
    shape: Shape
    dtype: str

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]


def adapter_file_bytes(architecture: Architecture, run: TrainingRun) -> int:
    """Bytes of the adapter file, header included; 0 for full fine-tuning, which writes none.

    Raises `InputError` where the run's targets do not suit the model.
    """
    if run.method == "full":
        return 0
    # the format puts wider dtypes first, then goes by name
    entries = sorted(set(adapter_entries(architecture, run)), key=lambda entry: (-DTYPE_BYTES[entry.dtype], entry.name))
    header = len('{"__metadata__":{"format":"pt"}}')
    position = 0
    for entry in entries:
        end = position + entry.bytes
        shape = ",".join(map(str, entry.shape))
        header += len(
            f',"{entry.name}":{{"dtype":"{_DTYPE_NAMES[entry.dtype]}","shape":[{shape}],"data_offsets":[{position},{end}]}}'
        )
        position = end
    return 8 + -(-header // 8) * 8 + position


def adapter_entries(architecture: Architecture, run: TrainingRun) -> Iterator[Entry]:
    """The tensors of the file, in no order."""
    found = wrapped(architecture, run)
    for tensor in found.method.file_once(architecture, run):
        yield Entry(tensor.name, tensor.shape, tensor.dtype)
    kept = kept_dtype(run)
    tuned_names = tuned(architecture, run) if run.method == "ln_tuning" else frozenset[str]()
    in_full = _saved_embeddings(architecture, run, found)
    for name, module in architecture.modules():
        if name in found.targets:
            for tensor in found.method.added(architecture, run, name, module):
                if tensor.saved:
                    yield Entry(f"{ROOT}{name}.{tensor.name}", tensor.shape, tensor.dtype)
        if name in found.copies:
            inner = "ln_tuning_layers." if name in tuned_names else ""
            for tensor in copied(module, kept):
                yield Entry(f"{ROOT}{name}.{inner}{tensor.name}", tensor.shape, tensor.dtype)
                if run.bias == "all" and tensor.name == "bias":
                    yield from _biases_of_copy(name, tensor, run)
        inner = "base_layer." if name in found.targets else ""
        for parameter, shape in trained_in_place(found, run, name, module):
            yield Entry(f"{ROOT}{name}.{inner}{parameter}", shape, kept)
        if name in in_full:
            for parameter, shape in module.parameters:
                yield Entry(f"{ROOT}{name}.base_layer.{parameter}", shape, kept)
        # wrappers of several parameters of one module are nested, the last one outermost
        own = [(p, s) for p, s in module.parameters if f"{name}.{p}" in found.parameters]
        for depth, (parameter, shape) in enumerate(reversed(own)):
            full = f"{name}.{parameter}"
            for tensor in wrapped_parameter(full, shape, found.parameters[full], run.adapter_dtype):
                yield Entry(f"{ROOT}{name}.{'base_layer.' * depth}{tensor.name}", tensor.shape, tensor.dtype)


def _biases_of_copy(name: str, bias: AddedTensor, run: TrainingRun) -> Iterator[Entry]:
    """What `bias="all"` adds for a copied module: its bias and the original's, as the model calls them."""
    outer = next(outer for outer in around(name) if outer.endswith(run.modules_to_save))
    inner = name.removeprefix(outer)
    # PEFT takes its adapter's name out of a key only where that is the last part but one
    for place in ("modules_to_save.default" if inner else "modules_to_save", "original_module"):
        yield Entry(f"{ROOT}{outer}.{place}{inner}.bias", bias.shape, bias.dtype)


def _saved_embeddings(architecture: Architecture, run: TrainingRun, found: Wrapped) -> set[str]:
    """Targeted embeddings and heads whose frozen matrix is written too (`save_embedding_layers="auto"`)."""
    if run.method not in (*LORA_METHODS, "ia3", "ln_tuning") or run.target_modules == "all-linear":
        return set()
    both = {architecture.embed, architecture.head}
    if isinstance(run.target_modules, str):
        candidates = (name for name in both if name.rsplit(".", 1)[-1] in SAVED_EMBEDDINGS)
        named = bool(matching(run.target_modules, candidates, field="target_modules"))
    else:
        named = any(name in SAVED_EMBEDDINGS for name in run.target_modules)
    if not named:
        return set()
    return both & (found.targets | found.copies if run.method == "ln_tuning" else found.targets)
