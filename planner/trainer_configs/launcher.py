"""What a command line's launcher says of a run: `accelerate launch`, `torchrun` and `deepspeed` before the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from planner.trainer_configs.reader import Reader, is_off, plain
from planner.trainer_configs.types import Json

_PROCESSES = ("num_processes", "nproc_per_node", "num_gpus", "num_accelerators")
"""One process drives one GPU: of `accelerate launch`, `torchrun`, and `deepspeed`."""
_MACHINES = ("num_machines", "nnodes", "num_nodes", "NNODES")
_FILES = ("config_file", "accelerate_config", "deepspeed_config_file")

SHIPPED: Mapping[str, Mapping[str, object]] = {
    "single_gpu": {"num_gpus": 1},
    "multi_gpu": {"num_gpus": 8, "strategy": "ddp"},
    "fsdp1": {"num_gpus": 8, "strategy": "fsdp"},
    "fsdp2": {"num_gpus": 8, "strategy": "fsdp2"},
    "zero1": {"num_gpus": 8, "strategy": "zero1"},
    "zero2": {"num_gpus": 8, "strategy": "zero2"},
    "zero3": {"num_gpus": 8, "strategy": "zero3"},
}
"""Configs of accelerate that come with TRL, by the names that `--accelerate_config` has for them
(trl/accelerate_configs, 1.16.0)."""

_HARMLESS = frozenset(
    (
        # accelerate/commands/launch.py (1.15.0)
        *("quiet", "q", "num_cpu_threads_per_process", "enable_cpu_affinity", "same_network", "machine_rank", "debug"),
        *("main_process_ip", "main_process_port", "tee", "log_dir", "role", "rdzv_backend", "rdzv_conf"),
        *("max_restarts", "monitor_interval", "no_python", "tpu_cluster", "no_tpu_cluster", "tpu_use_sudo", "vm"),
        *("env", "main_training_function", "downcast_bf16", "deepspeed_hostfile", "deepspeed_exclusion_filter"),
        *("deepspeed_inclusion_filter", "deepspeed_multinode_launcher", "offload_optimizer_nvme_path"),
        *(
            "aws_access_key_id",
            "aws_secret_access_key",
            "offload_param_nvme_path",
            "zero3_init_flag",
            "zero3_save_16bit_model",
            "mpirun_hostfile",
        ),
        # torch/distributed/run.py (2.13)
        *("rdzv_endpoint", "rdzv_id", "standalone", "start_method", "event_log_handler", "run_path", "redirects", "r"),
        *("local_ranks_filter", "duplicate_stdout_filters", "duplicate_stderr_filters", "node_rank", "master_addr"),
        *("master_port", "local_addr", "logs_specs", "numa_binding", "signals_to_handle", "shutdown_timeout", "t"),
        *("virtual_local_rank", "use_env"),
        # deepspeed/launcher/runner.py (0.19.8)
        *("hostfile", "launcher", "launcher_args", "no_local_rank", "no_ssh", "no_ssh_check", "force_multi"),
        *("save_pid", "enable_each_rank_log", "bind_cores_to_rank", "bind_core_list", "ssh_port", "venv_script"),
        *("log_level", "FORCE_TORCHRUN"),
    )
)
"""Where processes run, how they find each other, and what becomes of their output."""

_OTHER_MESH = "tensor, context and sequence parallelism spread each step over GPUs"
_ALLOCATOR = "the allocator caches in another way, which moves the reserved level alone"
_MOVES: Mapping[str, str] = {
    "cpu": "trains on the CPU, and is planned on a GPU",
    "tpu": "trains on TPUs, and is planned on a GPU",
    "use_megatron_lm": "Megatron-LM spreads the model over GPUs",
    "use_parallelism_config": _OTHER_MESH,
    "autotuning": "DeepSpeed tries settings of its own",
    "PYTORCH_CUDA_ALLOC_CONF": _ALLOCATOR,
    "PYTORCH_ALLOC_CONF": _ALLOCATOR,
}
_BELONG_TO = ("dynamo_", "megatron_lm_", "parallelism_config_", "fp8_", "fsdp_")
"""Beginnings of options that count with what turns them on."""

LAUNCHER_OPTIONS = frozenset(
    (
        *(*_PROCESSES[:1], *_MACHINES[:1], *_FILES, "gpu_ids", "multi_gpu", "mixed_precision", "zero_stage"),
        *("use_deepspeed", "use_fsdp", "offload_optimizer_device", "offload_param_device", "dynamo_backend"),
        *("main_process_port", "main_process_ip", "machine_rank", "num_cpu_threads_per_process", "same_network"),
        *("zero3_init_flag", "zero3_save_16bit_model", "deepspeed_hostfile", "use_megatron_lm"),
    )
)
"""Options of `accelerate launch` that `trl sft` passes on to it, from the command line and from its config."""


def read_launcher(reader: Reader, *, mixed_precision: bool = True) -> None:
    """Take every option of what launches the program; nothing where the document is no command line.

    They stand in the document as they are written, `--num_processes`, so as not to be taken for the program's.
    mixed_precision: whether the program leaves autocast's dtype to the launcher, as `TrainingArguments` does where
    neither bf16 nor fp16 is on. Raises `InputError` for a count that is no number.
    """
    document = reader.document
    written = {name if name.isupper() else f"--{name}": value for name, value in document.launcher.items()}
    reader.document = replace(document, settings={**document.settings, **written})
    read_launcher_options(reader, {key.removeprefix("--"): key for key in written}, mixed_precision=mixed_precision)


def read_launcher_options(reader: Reader, keys: Mapping[str, str], *, mixed_precision: bool = True) -> None:
    """Take the options of a launcher that stand in a document. keys: the name of each, and the key where it stands."""
    _read_gpus(reader, keys)
    _read_strategy(reader, keys)
    _read_precision(reader, keys, asked=mixed_precision)
    for name, key in keys.items():
        if name in _MOVES:
            reader.moves({key: _MOVES[name]})
        elif name in _HARMLESS or name.startswith(_BELONG_TO):
            reader.ignores(key)


def _given(reader: Reader, keys: Mapping[str, str], *names: str) -> str | None:
    """The key of the first of these options that has a value."""
    return next((keys[name] for name in names if name in keys and reader.has(keys[name])), None)


def _read_gpus(reader: Reader, keys: Mapping[str, str]) -> None:
    key = _given(reader, keys, *_PROCESSES, "NPROC_PER_NODE")
    if key is not None and reader.text(key) in ("gpu", "auto", "-1"):
        reader.ignores(key, why="it takes all GPUs that it finds; --gpus says how many")
    elif key is not None:
        reader.becomes(key, num_gpus=reader.whole(key))
    for name in ("gpu_ids", "include", "CUDA_VISIBLE_DEVICES"):
        key = _given(reader, keys, name)
        if key is not None:
            _read_named_gpus(reader, key)
        elif name in keys and reader.gives("num_gpus") is not None:
            reader.ignores(keys[name], why="as many as there are processes")
    for name in ("exclude", "multi_gpu"):
        key = _given(reader, keys, name)
        if key is not None:
            reader.ignores(key, why="" if reader.gives("num_gpus") is not None else "--gpus says how many there are")
    key = _given(reader, keys, *_MACHINES)
    if key is not None and plain(reader.raw(key)) not in (0, 1) and reader.text(key) != "1:1":
        reader.uncounted(key, "the GPUs are planned as those of one machine")
    elif key is not None:
        reader.ignores(key)


def _read_named_gpus(reader: Reader, key: str) -> None:
    """GPUs by number, `0,1,3` or `localhost:0,1`, each with a process where a launcher starts them."""
    ids = [part.strip() for part in (reader.text(key) or "").rpartition(":")[2].split(",")]
    words = reader.document.words
    if not all(part.isdecimal() for part in ids):
        reader.ignores(key)
    elif reader.gives("num_gpus") is not None:
        reader.ignores(key, why="as many as there are processes")
    elif len(ids) > 1 and words and words[0].rpartition("/")[2].startswith("python"):
        reader.uncounted(key, "one process with several GPUs copies the model to each in every step", "num_gpus")
    else:
        reader.becomes(key, num_gpus=len(set(ids)))


def _read_strategy(reader: Reader, keys: Mapping[str, str]) -> None:
    """ZeRO and FSDP as `accelerate launch` has them: stage 2 and FSDP version 1 where it does not say."""
    from planner.trainer_configs.formats.accelerate.launcher import MOVES_OF_DEEPSPEED, ZERO

    for key in [keys[name] for name in _FILES if name in keys and reader.has(keys[name])]:
        shipped = SHIPPED.get(reader.text(key) or "")
        if shipped is None:
            why = "what it asks of the launcher stands in that file; give it with a second --config"
            reader.uncounted(key, why, "num_gpus", "strategy")
        else:
            reader.becomes(key, **{field: value for field, value in shipped.items() if reader.gives(field) is None})
            if "zero" in str(shipped.get("strategy")):
                reader.uncounted(key, ZERO)
    if (key := _given(reader, keys, "use_deepspeed")) is not None and not is_off(reader.raw(key)):
        _read_zero(reader, keys, key)
    if (key := _given(reader, keys, "use_fsdp")) is not None and not is_off(reader.raw(key)):
        _read_fsdp(reader, keys, key)
    for name in ("use_deepspeed", "use_fsdp", "zero_stage", *MOVES_OF_DEEPSPEED):
        if name in keys:
            reader.ignores(keys[name])
    for name in ("gradient_accumulation_steps", "gradient_clipping"):
        if name in keys:
            reader.ignores(keys[name], why="the program's own setting is what counts")


def _read_zero(reader: Reader, keys: Mapping[str, str], key: str) -> None:
    from planner.trainer_configs.formats.accelerate.launcher import MOVES_OF_DEEPSPEED, ZERO

    if (stage := _given(reader, keys, "zero_stage")) is not None:
        number = reader.whole(stage)
        reader.becomes(stage, strategy=f"zero{number}" if number else "ddp")
    elif "deepspeed_config_file" not in keys:
        reader.becomes(key, strategy="zero2")
    if "deepspeed_config_file" not in keys:
        reader.uncounted(key, ZERO)
    reader.moves({keys[name]: why for name, why in MOVES_OF_DEEPSPEED.items() if name in keys})


def _read_fsdp(reader: Reader, keys: Mapping[str, str], key: str) -> None:
    """The options that begin with `fsdp_`, as the settings of one mapping."""
    from planner.trainer_configs.formats.accelerate import read_fsdp_config

    settings = reader.document.settings
    given: dict[str, Json] = {"fsdp_version": "1"}
    given |= {name: settings[written] for name, written in keys.items() if name.startswith("fsdp_")}
    taken = {written for name, written in keys.items() if name.startswith("fsdp_")}
    rest = {name: value for name, value in settings.items() if name not in taken}
    reader.document = replace(reader.document, settings={**rest, key: given})
    read_fsdp_config(reader, key)


def _read_precision(reader: Reader, keys: Mapping[str, str], *, asked: bool) -> None:
    from planner.trainer_configs.formats.accelerate.launcher import COMPILED

    key = _given(reader, keys, "dynamo_backend")
    if key is not None:
        reader.moves({key: COMPILED})
    key = _given(reader, keys, "mixed_precision", "ACCELERATE_MIXED_PRECISION")
    if key is None:
        return
    if reader.text(key) == "fp8":
        reader.uncounted(key, "matrices are multiplied in 8 bits")
    elif not asked:
        reader.ignores(key, why="the program's own setting goes over it")
    else:
        reader.becomes(key, mixed_precision="no" if reader.raw(key) is False else reader.text(key))
