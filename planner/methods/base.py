"""What a training method is: targets, added tensors, and a forward pass at the modules it touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from planner.architecture.modules import Architecture, Module, Shape
from planner.methods.saved_modules import saved_modules
from planner.tape import Tensor
from planner.trainers import CAST_BACK, casts_back_to_bf16

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class AddedTensor:
    """A tensor that a method adds to the model."""

    name: str
    """Its name in the adapter file, after the name of the module it belongs to: `lora_A.weight`."""
    shape: Shape
    dtype: str
    saved: bool = True
    """Whether `save_pretrained` writes it."""
    trained: bool = True
    """Whether it is a parameter with a gradient; else it is a buffer on the device."""
    embedding: bool = False
    """Whether it is the weight of an `nn.Embedding`."""
    shared: bool = False
    """Whether it is another tensor under a second name: no memory of its own, but written once more."""

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)


class Method:
    """The interface, with the answers of a method that changes nothing."""

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        """Full names of the modules the method wraps. Raises `InputError` where the targets match none."""
        return frozenset()

    def parameters(self, architecture: Architecture, run: TrainingRun) -> Mapping[str, int]:
        """Full names of the parameters the method wraps by themselves (`target_parameters`) -> their rank."""
        return {}

    def copies(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        """Full names of the modules of which a copy is trained in their place (`modules_to_save`)."""
        return saved_modules(architecture, run)

    def added(self, architecture: Architecture, run: TrainingRun, name: str, module: Module) -> tuple[AddedTensor, ...]:
        """Tensors added at a wrapped module; `name` is its full name in one of the layers it is in."""
        return ()

    def added_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        """Tensors added to the model as a whole (prompt embeddings and their encoder)."""
        return ()

    def file_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        """What `save_pretrained` writes of them, under the names in the file."""
        return self.added_once(architecture, run)

    def trains(self, module: Module, run: TrainingRun, *, wrapped: bool) -> tuple[str, ...]:
        """Names of the base parameters of `module` that are trained themselves (`bias="all"`, full).

        wrapped: whether the module is one of the targets.
        """
        return ()

    def virtual_tokens(self, run: TrainingRun) -> int:
        """Tokens put before every sequence of the batch (prompt tuning)."""
        return 0

    def prefix_tokens(self, run: TrainingRun) -> int:
        """Learned keys and values put before every sequence's own, in each layer (prefix tuning)."""
        return 0

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        """The input of the first block; `base()` is the model's own.

        wrapped: whether the embedding is a target.
        """
        return base()

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The forward pass of a wrapped linear module; `base(x)` is that of the module itself."""
        return base(x)

    def parameter(self, forward: BlockForward, name: str, shape: Shape, rank: int, base: Tensor) -> Tensor:
        """What a wrapped parameter (`parameters`) is read as."""
        return base


class Wrapped(NamedTuple):
    """What a run touches in a model: full names of modules and parameters."""

    method: Method
    targets: frozenset[str]
    parameters: Mapping[str, int]
    copies: frozenset[str]


def kept_dtype(run: TrainingRun, module: str = "") -> str:
    """Dtype of the base parameters that are not quantized; of those of `module`, where it is named.

    `peft.utils.other.prepare_model_for_kbit_training` (0.21) casts them to float32, except in a GPTQ model; TRL then
    casts head and embeddings back, by these names.
    """
    if module and casts_back_to_bf16(run) and any(part in module for part in CAST_BACK) and "norm" not in module:
        return "bfloat16"
    # of a base that FSDP shards it is left out: a unit's parameters have one dtype (`is_sharded_qlora` in TRL)
    upcast = run.prepare_kbit and run.quantization not in ("none", "gptq") and run.strategy != "fsdp"
    return "float32" if upcast else run.base_dtype
