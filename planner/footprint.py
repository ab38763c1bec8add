"""What a run needs beside the GPU's memory: files, host memory, disk."""

from __future__ import annotations

from planner.architecture.modules import Architecture
from planner.memory.profile import RunProfile
from planner.plan_types import Footprint
from planner.run import TrainingRun
from planner.strategies import strategy_of
from planner.units import DTYPE_BYTES, GB, GIB

SHARD = 5 * GB
"""Largest file of a published checkpoint (`max_shard_size` of `save_pretrained` up to transformers 4)."""

PROCESS = 3 * GIB
"""Host memory of a Python process with torch, CUDA libraries and transformers loaded; a rule of thumb."""


def footprint(architecture: Architecture, run: TrainingRun, profile: RunProfile) -> Footprint:
    """Files, host memory and disk of a run, all of its processes together and on one host.

    Loading maps one shard at a time and moves its tensors to the device; the optimizer's state is
    pickled whole beside the trained weights in every checkpoint. Where GPUs keep shares, one process loads the whole
    model into host memory and the others none of it (`fsdp_cpu_ram_efficient_loading`).
    """
    shards = strategy_of(run).shards
    download = profile.weights.host_bytes
    adapter = run.method != "full"
    trained_file = profile.adapter_file_bytes if adapter else architecture.parameters * DTYPE_BYTES[run.base_dtype]
    states = (profile.optimizer.device + profile.optimizer.host) * (run.num_gpus if shards else 1)
    loading = download if shards else run.num_gpus * min(download, SHARD)
    checkpoint = trained_file + states
    offloaded = _offloaded(architecture, run)
    return Footprint(
        adapter_file_bytes=trained_file,
        checkpoint_bytes=checkpoint,
        host_ram_bytes=run.num_gpus * (PROCESS + profile.optimizer.host + offloaded) + loading,
        merge_ram_bytes=download + trained_file if adapter else 0,
        disk_bytes=download + checkpoint + trained_file,
    )


def _offloaded(architecture: Architecture, run: TrainingRun) -> int:
    if not (run.gradient_checkpointing and run.checkpoint_offload):
        return 0
    blocks = -(-architecture.num_layers // run.checkpoint_every)
    tokens = run.micro_batch_size * run.sequence_length
    return blocks * tokens * architecture.hidden_size * DTYPE_BYTES[run.base_dtype]
