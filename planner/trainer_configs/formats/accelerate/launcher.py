"""What the settings of `accelerate config` are for a run.

Names, defaults and meanings: accelerate 1.15.0, commands/config/config_args.py (`ClusterConfig`, `SageMakerConfig`),
commands/launch.py and utils/dataclasses.py (`DeepSpeedPlugin`).
"""

from __future__ import annotations

from dataclasses import replace

from planner.trainer_configs.formats.accelerate.fsdp import read_fsdp_config
from planner.trainer_configs.formats.deepspeed import DTYPES, read_deepspeed
from planner.trainer_configs.reader import Reader, is_off


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HARMLESS = _words(
    """
    base_job_name command_file commands debug downcast_bf16 enable_cpu_affinity gpu_ids iam_role_name image_uri
    machine_rank main_process_ip main_process_port main_training_function mpirun_config profile py_version
    pytorch_version rdzv_backend region sagemaker_inputs_file sagemaker_metrics_file same_network tpu_env tpu_name
    tpu_use_cluster tpu_use_sudo tpu_vm tpu_zone transformers_version additional_args
    """
)
"""Where the processes run and how they meet. Those of TPUs and SageMaker are of its launcher alone."""

MOVES = {
    "fp8_config": "matrices are multiplied in 8 bits",
    "megatron_lm_config": "Megatron-LM spreads the model over GPUs",
    "use_cpu": "trains on the CPU, and is planned on a GPU",
}

COMPILED = "compiled graphs keep other tensors"

HARMLESS_OF_DEEPSPEED = _words(
    """
    deepspeed_config_file deepspeed_exclusion_filter deepspeed_hostfile deepspeed_inclusion_filter
    deepspeed_multinode_launcher offload_optimizer_nvme_path offload_param_nvme_path zero3_init_flag
    zero3_save_16bit_model
    """
)
"""Loading, saving and launching: `zero3_init_flag` loads the model in shares."""

MOVES_OF_DEEPSPEED = {
    "offload_optimizer_device": "the optimizer's states are kept in host memory, and planned on the GPU",
    "offload_param_device": "the parameters are kept in host memory, and planned on the GPU",
    "deepspeed_moe_layer_cls_names": "whole mixtures of experts are gathered at once",
}

ZERO = (
    "DeepSpeed casts everything to 16 bits and keeps float32 copies of what is trained, with the optimizer's states in "
    "float32, and buffers, on one GPU too"
)


def read_launcher(reader: Reader) -> None:
    """Say what becomes of every setting of a document that `accelerate config` wrote."""
    kind = (reader.text("distributed_type") or "NO").upper()
    _machines(reader, kind)
    _precision(reader, kind)
    if kind == "FSDP":
        reader.becomes("distributed_type", strategy="fsdp")
        read_fsdp_config(reader, "fsdp_config")
    elif kind == "DEEPSPEED":
        _deepspeed(reader)
    elif kind == "MULTI_GPU":
        reader.becomes("distributed_type", strategy="ddp")
    elif kind == "NO":
        reader.ignores("distributed_type", why="one process")
    else:
        reader.uncounted("distributed_type", "how it shares the work out is not planned")
    others = {"FSDP": "fsdp_config", "DEEPSPEED": "deepspeed_config"}
    reader.ignores(*(key for of, key in others.items() if of != kind), why=f"not read by distributed_type {kind}")
    _compilation(reader)
    _parallelism(reader)
    reader.moves(MOVES)
    reader.ignores(*HARMLESS)
    reader.note("an accelerate config says nothing of the model, the method, the batch and the optimizer")


def _machines(reader: Reader, kind: str) -> None:
    processes = reader.whole("num_processes")
    if processes is not None and processes < 0:
        reader.ignores("num_processes", why="left to the launcher; give --gpus")
    elif processes is not None:
        reader.becomes("num_processes", num_gpus=processes)
    elif kind == "NO":
        reader.default("accelerate/commands/config/config_args.py: process_config", num_gpus=1)
    machines = reader.whole("num_machines")
    if machines is not None and machines > 1:
        reader.uncounted("num_machines", "the GPUs are planned as those of one machine")
    reader.ignores("num_machines")
    if (reader.text("compute_environment") or "LOCAL_MACHINE").upper() == "AMAZON_SAGEMAKER":
        reader.ignores("compute_environment", "ec2_instance_type", why="give the card with --gpu")
    reader.ignores("compute_environment", "ec2_instance_type")


def _precision(reader: Reader, kind: str) -> None:
    """`no` stands unquoted in older files, which YAML reads as false; `fp16: true` is older still.

    DeepSpeed's engine casts the model, and no autocast is entered (`DeepSpeedPlugin.set_mixed_precision`, and
    `native_amp` in accelerator.py).
    """
    raw = reader.raw("mixed_precision")
    word = "no" if raw is False else (reader.text("mixed_precision") or "").lower()
    if word == "fp8":
        reader.uncounted("mixed_precision", "matrices are multiplied in 8 bits, and planned in bf16")
    elif word in DTYPES and kind == "DEEPSPEED":
        reader.becomes("mixed_precision", base_dtype=DTYPES[word], mixed_precision="no")
    elif word:
        reader.becomes("mixed_precision", mixed_precision=word)
    elif reader.flag("fp16"):
        reader.becomes("fp16", mixed_precision="fp16")
    reader.ignores("fp16")
    if word != "fp8":
        reader.default("accelerate/commands/config/config_args.py: process_config", mixed_precision="no")


def _deepspeed(reader: Reader) -> None:
    """The settings of the plugin, or a file of DeepSpeed's own in place of them."""
    at = "deepspeed_config"
    file = reader.text(f"{at}.deepspeed_config_file")
    if file is not None and file.lower() != "none":
        # a file is put in the place of its name at the document's top only
        settings = {**reader.document.settings, "deepspeed_config_file": file}
        reader.document = replace(reader.document, settings=settings)
        if reader.include("deepspeed_config_file"):
            read_deepspeed(reader, "deepspeed_config_file")
        reader.ignores("distributed_type", why="deepspeed_config_file says what DeepSpeed shares out")
    else:
        _plugin(reader, at)
    reader.moves({f"{at}.{name}": why for name, why in MOVES_OF_DEEPSPEED.items()})
    reader.ignores(*(f"{at}.{name}" for name in HARMLESS_OF_DEEPSPEED))


def _plugin(reader: Reader, at: str) -> None:
    stage = reader.whole(f"{at}.zero_stage")
    if stage is None:
        # accelerate/utils/dataclasses.py: DeepSpeedPlugin.zero_stage
        reader.becomes("distributed_type", strategy="zero2")
    else:
        reader.becomes(f"{at}.zero_stage", strategy=f"zero{stage}" if stage else "ddp")
    reader.ignores("distributed_type", why=f"{at} says what DeepSpeed shares out")
    if stage != 3:
        reader.ignores(f"{at}.offload_param_device", why="of stage 3 alone")
    for name, field in (
        ("gradient_accumulation_steps", "gradient_accumulation_steps"),
        ("gradient_clipping", "max_grad_norm"),
    ):
        key = f"{at}.{name}"
        if reader.raw(key) == "auto" or is_off(reader.raw(key)):
            reader.ignores(key, why="filled in by the trainer")
        else:
            reader.same({key: field})
    reader.uncounted(at, ZERO)


def _compilation(reader: Reader) -> None:
    """`dynamo_config`, and `dynamo_backend` of older files."""
    for key, backend in (("dynamo_config", "dynamo_config.dynamo_backend"), ("dynamo_backend", "dynamo_backend")):
        if reader.raw(key) is None:
            continue
        if is_off(reader.raw(backend)):
            reader.ignores(key)
        else:
            reader.uncounted(key, COMPILED)


def _parallelism(reader: Reader) -> None:
    """Axes of the mesh of GPUs; one of size 1 is none, and one of data over all of them is FSDP as it is."""
    sizes = reader.mapping("parallelism_config") or {}
    plain = ("1", str(reader.gives("num_gpus")))
    axes = [
        name.removeprefix("parallelism_config_")
        for name, size in sizes.items()
        if name.endswith("_size") and not is_off(size) and str(size) not in plain[: 2 if "dp_" in name else 1]
    ]
    if axes:
        reader.uncounted("parallelism_config", f"{', '.join(axes)}: a mesh of GPUs that is not planned")
    reader.ignores("parallelism_config")
