"""Real steps under FSDP1 on CPU tensors, as one rank of a group whose other ranks are not there (a fake process group).

Collectives return at once and move nothing; what a rank allocates for them is what it would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from peft.utils.other import fsdp_auto_wrap_policy
from torch.distributed.fsdp import BackwardPrefetch, FullyShardedDataParallel, MixedPrecision
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from planner.run import TrainingRun
from tests.support.real_steps import RealBytes, as_on_cuda, collector_off, real_model

AUTOCAST = {"no": None, "bf16": torch.bfloat16}


def fsdp_peaks(config: dict[str, Any], run: TrainingRun, *, in_checkpoints: bool | None = None) -> tuple[int, int]:
    """Most bytes of one rank's tensors in the passes and in the optimizer's step of a second step, all counted.

    in_checkpoints: the `use_reentrant` of checkpoints around units, as those releases of transformers make them in
    which the decoder checkpoints its layers; `run` is then without any.
    """
    with _group(run.num_gpus), _resized() as watching, as_on_cuda(), collector_off():
        model = _sharded(real_model(config, run), run)
        if in_checkpoints is not None:
            _checkpoint_units(model, use_reentrant=in_checkpoints)
        live = _RankBytes(list(model.parameters()))
        watching.append(live)
        with live:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimizer = torch.optim.AdamW(trained, foreach=True, weight_decay=0.0)
            passes = update = 0
            for _ in range(2):
                live.peak = live.now
                ids = torch.zeros(run.micro_batch_size, run.sequence_length, dtype=torch.long)
                with torch.autocast("cpu", torch.bfloat16, enabled=run.mixed_precision == "bf16"):
                    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
                loss.backward()
                del loss
                passes, live.peak = live.peak, live.now
                optimizer.step()
                update = live.peak
                optimizer.zero_grad()
    return passes, update


class _RankBytes(RealBytes):
    """Live bytes, with storages that are freed and filled again in place."""

    def resized(self, storage: torch.UntypedStorage) -> None:
        """Note the new size of a storage."""
        key = storage._cdata
        if key not in self._sizes:
            self._see(storage)
            return
        self.now += storage.nbytes() - self._sizes[key]
        self._sizes[key] = storage.nbytes()
        self.peak = max(self.peak, self.now)


def _sharded(model: Any, run: TrainingRun) -> Any:
    """As `Accelerator.prepare_model` wraps it: trained parameters in float32 under mixed precision."""
    dtype = AUTOCAST[run.mixed_precision]
    layers: Any = {type(module) for module in model.modules() if isinstance(module, GradientCheckpointingLayer)}
    policy: Any = partial(transformer_auto_wrap_policy, transformer_layer_cls=layers)
    if run.method != "full":
        policy = fsdp_auto_wrap_policy(model)
    if dtype is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    mixed = None if dtype is None else MixedPrecision(param_dtype=dtype, reduce_dtype=dtype, buffer_dtype=dtype)
    wrapped = FullyShardedDataParallel(
        model,
        auto_wrap_policy=policy,
        mixed_precision=mixed,
        backward_prefetch=BackwardPrefetch.BACKWARD_PRE,
        device_id=torch.device("cpu"),
        use_orig_params=True,
    )
    wrapped.train()
    return wrapped


def _checkpoint_units(model: Any, *, use_reentrant: bool) -> None:
    stack = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    for position, unit in enumerate(stack):
        stack[position] = _Checkpoint(unit, use_reentrant)
    embedding = next(module for module in model.modules() if isinstance(module, torch.nn.Embedding))
    embedding.register_forward_hook(lambda _module, _inputs, output: output.requires_grad_())


class _Checkpoint(torch.nn.Module):
    def __init__(self, unit: torch.nn.Module, use_reentrant: bool) -> None:
        super().__init__()
        self.unit = unit
        self.use_reentrant = use_reentrant

    def forward(self, hidden_states: torch.Tensor, **rest: Any) -> Any:
        run = partial(self.unit, **rest)
        return checkpoint(run, hidden_states, use_reentrant=self.use_reentrant, preserve_rng_state=False)


@contextlib.contextmanager
def _group(ranks: int) -> Generator[None]:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _resized() -> Generator[list[_RankBytes]]:
    """FSDP frees flat parameters and fills them again in place, which no dispatch mode sees."""
    watching: list[_RankBytes] = []
    resize = torch.UntypedStorage.resize_

    def resize_(storage: torch.UntypedStorage, size: int) -> Any:
        result = resize(storage, size)
        for live in watching:
            live.resized(storage)
        return result

    with mock.patch.object(torch.UntypedStorage, "resize_", resize_):
        yield watching
