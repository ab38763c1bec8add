"""FSDP1, full shard: every GPU keeps a share of each unit's parameters, and gathers the unit while it is at work."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING

from planner.errors import Abstention
from planner.memory.sums import WEIGHTS, Ledger, plus
from planner.methods.counting import wrapped
from planner.optimizers.tensors import Trained
from planner.quantization import is_quantized
from planner.run import TrainingRun
from planner.run.precision import autocast_dtype
from planner.strategies.base import Strategy
from planner.tape import Size
from planner.tape.tape import GRADIENT, TEMPORARY
from planner.units import DTYPE_BYTES
from planner.versions import major_minor

if TYPE_CHECKING:
    from planner.architecture.modules import Architecture, Block, Module
    from planner.memory.blocks import BlockProfile
    from planner.memory.ends import HeadProfile, StartProfile
    from planner.memory.weights import BaseWeights
    from planner.methods.counting import TrainableSummary

SELF_CHECKPOINTED_IN_4_52 = (
    *("cohere", "cohere2", "deepseek_v3", "gemma", "glm", "glm4", "granite", "granitemoe", "llama", "mistral"),
    *("olmo", "olmo2", "phi3", "qwen2", "qwen3", "starcoder2"),
)
"""Model types whose layers are `GradientCheckpointingLayer`s from 4.52.4 on; the others' are from 4.53.3 (their
modeling files), none in 4.51.3 (modeling_llama.py has `_gradient_checkpointing_func` around each layer)."""

METHODS = ("full", "lora", "qlora", "rslora")


class FullyShardedDataParallel(Strategy):
    """`torch.distributed.fsdp.FullyShardedDataParallel` as accelerate wraps a transformers model in it.

    A unit is one block (`TRANSFORMER_BASED_WRAP` by the model's `_no_split_modules`); what is outside the blocks is
    the root's. Each layer of an adapter is a unit of its own (`fsdp_auto_wrap_policy` in `peft/utils/other.py`, 0.21),
    which is why a block has one dtype. The backward pass prefetches (`BACKWARD_PRE`), and the forward pass does not.

    Source: `torch/distributed/fsdp/_runtime_utils.py` and `_flat_param.py` (2.13), `Accelerator.prepare_model`
    (accelerate 1.15). A unit's parameters are one flat tensor, padded to a multiple of the GPUs, of which each keeps a
    share. Under mixed precision the shares that are trained are float32, and units are gathered in the autocast's
    dtype. A block is gathered before its forward pass and freed after it, and so again in the backward pass; the root
    stays from its forward pass to the end of the backward pass (`_post_forward_reshard`). Trained parameters are views
    of the flat one, so that their gradients are put together into one flat tensor when all of the unit's are there
    (`split_with_sizes_backward`), of which a share is left.
    """

    shards = True

    def check(self, architecture: Architecture, run: TrainingRun) -> None:
        """Abstains from methods whose parameters are in no unit that is known, and from what units cannot hold."""
        if run.quantization not in ("none", "nf4", "fp4"):
            raise Abstention(
                f"how FSDP shards a base in {run.quantization} is not known",
                way_out="plan it with --quantization nf4 or none, or --strategy ddp",
            )
        if run.method not in METHODS or run.use_dora or run.modules_to_save or run.bias != "none":
            raise Abstention(
                "which units FSDP makes of what this run trains is not known",
                way_out="plan it with method full or plain LoRA, or --strategy ddp",
            )
        if run.target_parameters or architecture.embed in wrapped(architecture, run).targets or architecture.idle:
            raise Abstention(
                f"which units FSDP makes of '{architecture.model_type}' in this run is not known",
                way_out="plan it with --strategy ddp",
            )
        if run.gradient_accumulation_steps > 1:
            raise Abstention(
                "what FSDP keeps of gradients that are not yet reduced, between micro-batches, is not known",
                way_out="plan it with --grad-accum 1, or --strategy ddp",
            )

    def stored(self, run: TrainingRun) -> TrainingRun:
        """What is trained is upcast to float32 under mixed precision (`Accelerator.prepare_model`)."""
        if run.mixed_precision == "no":
            return run
        trained = "base_dtype" if run.method == "full" else "adapter_dtype"
        return run.replace(**{trained: "float32", "mixed_precision": run.mixed_precision})

    def computed(self, run: TrainingRun) -> TrainingRun:
        """Parameters are gathered in the dtype of autocast, those beside a 4-bit base in that of the base
        (`update_fsdp_plugin_peft` in `transformers/distributed/fsdp.py`).

        Adapters are not said to be: between its passes an adapter's layer has its float32 share for a weight, which is
        what PEFT casts the layer's input to, so that each layer makes and saves a 16-bit copy of its own.
        """
        return _computed(run)

    def weights(self, architecture: Architecture, run: TrainingRun, whole: BaseWeights) -> BaseWeights:
        """A share of all parameters, and all of what is none of them. Each unit comes onto the card whole, and is there
        twice when it is flattened, before all but a share of it goes."""
        groups = tuple(
            replace(group, bytes=group.apart + ceil((group.bytes - group.apart) / run.num_gpus))
            for group in whole.groups
        )
        largest = max(self.gathered(architecture, run, block) for block in (None, *architecture.blocks))
        return replace(whole, groups=groups, load_temporaries=2 * largest - largest // run.num_gpus)

    def trained(self, architecture: Architecture, run: TrainingRun, whole: TrainableSummary) -> TrainableSummary:
        """Shares of flat parameters: one a unit."""
        if run.method == "full":
            counts = [(sum(module.count for module in architecture.outer), 1)]
            counts += [(sum(m.count for m in block.modules), len(block.layers)) for block in architecture.blocks]
            tensors = tuple(Trained((ceil(e / run.num_gpus),), run.base_dtype, times) for e, times in counts)
        else:
            tensors = tuple(
                Trained((ceil(tensor.elements / run.num_gpus),), tensor.dtype, tensor.count) for tensor in whole.tensors
            )
        size = sum(tensor.elements * DTYPE_BYTES[tensor.dtype] * tensor.count for tensor in tensors)
        added = 0 if run.method == "full" else size
        return replace(whole, tensors=tensors, added_bytes=added, gradient_bytes=size, parameter_bytes=size)

    def pools(self, architecture: Architecture, run: TrainingRun, trained: TrainableSummary) -> int:
        """Units are gathered in one stream (`_unshard_stream`), gradients made in another (`_post_backward_stream`).

        The host runs ahead of the card: what it has freed of a block is still in use when it gathers the next, and only
        then does it wait (`_FreeEventQueue`).
        """
        blocks = 3 if _prefetches(architecture, run) else 2
        largest = max(self.gathered(architecture, run, block) for block in architecture.blocks)
        return self.gathered(architecture, run, None) + blocks * largest + trained.gradient_bytes

    def gathered(self, architecture: Architecture, run: TrainingRun, block: Block | None) -> int:
        """The flat parameter of a block, or of what is outside all blocks, in the dtype it is gathered in."""
        if block is None:
            named = [(module.name, module) for module in architecture.outer]
        else:
            prefix = f"{architecture.block_prefix}.{block.layers[0]}"
            named = [(f"{prefix}.{module.name}", module) for module in block.modules]
        size = DTYPE_BYTES[self.computed(run).base_dtype]
        whole = sum(_flat_bytes(architecture, run, name, module, size) for name, module in named)
        return ceil(whole / run.num_gpus) * run.num_gpus

    def ends(
        self, architecture: Architecture, run: TrainingRun, start: StartProfile, head: HeadProfile
    ) -> tuple[StartProfile, HeadProfile]:
        """The root is there all along. At the very end its gradients become one.

        Those of the step before are gone by then: the root's first hook drops what `zero_grad` has let go of
        (`_reset_flat_param_grad_info_if_needed` in `_root_pre_forward`).
        """
        root = self.gathered(architecture, run, None)
        held = _constant(WEIGHTS, root)
        backward = start.backward
        if backward and run.method == "full":
            flat = Size(2 * root).plus(head.gradients.times(-1))
            backward = (*backward, {GRADIENT: flat})
        start = replace(
            start,
            shared=plus(start.shared, held),
            forward=tuple(plus(ledger, held) for ledger in start.forward),
            backward=backward,
        )
        if not _prefetches(architecture, run):
            return start, head
        # the root's backward pass begins with gathering the last block
        last = max(architecture.blocks, key=lambda block: block.layers[-1])
        ahead = _constant(WEIGHTS, self.gathered(architecture, run, last))
        return start, replace(head, backward=tuple(plus(ledger, ahead) for ledger in head.backward))

    def block(self, architecture: Architecture, run: TrainingRun, block: Block, profile: BlockProfile) -> BlockProfile:
        """The block is gathered while it runs; in its backward pass the one before it is, too, where it is prefetched.

        That is when its own gradients begin, or those of its first adapter, which come last. Of a frozen unit the hook
        that frees it (`_register_post_backward_reshard_only_hook`) hangs on the node of the block's input, and lives to
        the end of the backward pass. A reentrant checkpoint's input is a leaf, which that node has, gradient and all.
        """
        if not profile.backward:
            return profile  # the model skips it
        own = self.gathered(architecture, run, block)
        gathered = _constant(WEIGHTS, own)
        ahead = _constant(WEIGHTS, max(self.gathered(architecture, run, other) for other in architecture.blocks))
        waiting: Ledger = profile.kept if profile.recomputed else {}
        at_the_end = plus(waiting, {TEMPORARY: profile.input})
        stored, computed = self.stored(run), self.computed(run)
        if run.method == "full":
            at_the_end = plus(at_the_end, _constant(GRADIENT, 2 * own))
            gradients = Size(ceil(own / run.num_gpus)).times(_ratio(stored.base_dtype, computed.base_dtype))
        else:
            ratio = _ratio(stored.adapter_dtype, computed.adapter_dtype)
            gradients = profile.gradients.times(ratio / run.num_gpus)
        # an adapter's first layer, whose gradients come last, is the unit after the block before
        prefetching = (*profile.backward, at_the_end) if run.method == "full" else (at_the_end,)
        if not _prefetches(architecture, run):
            prefetching = ()
        held = run.method != "full" and _in_reentrant_checkpoint(architecture, run)
        return replace(
            profile,
            on_context=profile.on_context.plus(profile.input) if held else profile.on_context,
            holds_gradient=held,
            forward=tuple(plus(ledger, gathered) for ledger in profile.forward),
            backward=tuple(plus(ledger, gathered) for ledger in (*profile.backward, at_the_end)),
            prefetching=tuple(plus(plus(ledger, gathered), ahead) for ledger in prefetching),
            gradients=gradients,
        )


def _in_reentrant_checkpoint(architecture: Architecture, run: TrainingRun) -> bool:
    """Whether units are run by reentrant checkpoints, as those releases do in which the decoder checkpoints its layers.

    Later a layer checkpoints what is in it (`GradientCheckpointingLayer`), and its unit is around that.
    """
    if not (run.gradient_checkpointing and run.use_reentrant) or run.transformers_version is None:
        return False
    since = (4, 52) if architecture.model_type in SELF_CHECKPOINTED_IN_4_52 else (4, 53)
    return major_minor(run.transformers_version) < since


@lru_cache(maxsize=128)
def _computed(run: TrainingRun) -> TrainingRun:
    dtype = autocast_dtype(run)
    if dtype is None or run.quantization != "none":
        return run
    return run.replace(base_dtype=dtype, mixed_precision=run.mixed_precision)


def _prefetches(architecture: Architecture, run: TrainingRun) -> bool:
    """Whether a block's backward pass gathers the block before it (`BackwardPrefetch.BACKWARD_PRE`).

    Not where reentrant checkpoints run it, in whose first pass no output needs a gradient:
    `_register_pre_backward_hooks` leaves `_needs_pre_backward_unshard` unset until the block itself is run again.
    """
    return not _in_reentrant_checkpoint(architecture, run)


def _flat_bytes(architecture: Architecture, run: TrainingRun, name: str, module: Module, size: int) -> int:
    """A module's part of its unit's flat parameter, of `size` bytes an element where it is not quantized."""
    if run.quantization == "none" or not is_quantized(architecture, name, module, run):
        return module.count * size
    weight = prod(module.weight)
    return ceil(weight / 2) + (module.count - weight) * size


def _ratio(stored: str, computed: str) -> float:
    return DTYPE_BYTES[stored] / DTYPE_BYTES[computed]


def _constant(component: str, size: float) -> Ledger:
    return {component: Size(size)}
