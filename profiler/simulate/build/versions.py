"""What older versions of the libraries do otherwise, where it moves memory: a simulation runs those installed.

Every entry was read in the released wheels of the versions that it names. None is used unless it is asked for.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.errors import Abstention

Version = tuple[int, int]
"""Major and minor."""

OLDEST: Version = (4, 43)
"""Of transformers, that was read."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Something that transformers did from `OLDEST` on, until a version."""

    what: str
    until: Mapping[str, Version]
    """Model type -> the first version that does not do it; "" stands for every model type."""
    evidence: str
    """Where it is in the sources: file, version and line."""
    run: Mapping[str, object] = field(default_factory=dict[str, object])
    """Fields of a `TrainingRun` whose default it was."""
    prepare: Callable[[Any], None] | None = None
    """Has a model do it."""


def behaviours(transformers: str, model_type: str) -> tuple[Behaviour, ...]:
    """What a version of transformers, "4.45.2", does otherwise than the installed one with a model type.

    Raises `Abstention` where it has not been read.
    """
    major, minor = (int(part) for part in transformers.split(".")[:2])
    version = (major, minor)
    if version < OLDEST:
        raise Abstention(f"what transformers {transformers} does otherwise than the installed one has not been read")
    found: list[Behaviour] = []
    for behaviour in TRANSFORMERS:
        until = behaviour.until.get("") or behaviour.until.get(model_type)
        if until is None and version < max(behaviour.until.values()):
            raise Abstention(f"how transformers {transformers} computes the loss of a {model_type} has not been read")
        if until is not None and version < until:
            found.append(behaviour)
    return tuple(found)


def upcast_logits(model: Any) -> None:
    """Have the head's output in float32 before the loss sees it, and not in 16 bits beside it."""

    def upcast(_module: Any, _inputs: Any, logits: Any) -> Any:
        return logits.float()

    _causal_lm(model).get_output_embeddings().register_forward_hook(upcast)


def copy_shifted_logits(model: Any) -> None:
    """Have the loss drop the last position of the logits, which copies them, and not the first label."""
    _causal_lm(model).loss_function = _loss_of_copies


def peft_module_casting_to_bf16(model: Any) -> None:
    """Undo the cast to float32 of head and embeddings, as TRL's `SFTTrainer` does it.

    It follows `prepare_model_for_kbit_training` there, for models in 4 bits with `bf16`: `trl/trainer/sft_trainer.py`,
    0.7.10 (line 212) to 0.17.0 (445), and `trl/models/utils.py` in 0.24.0 (561); not yet in 0.7.4.
    """
    import torch

    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        named = any(part in name for part in ("lm_head", "embed_tokens", "wte", "wpe"))
        if named and "norm" not in name and weight is not None and weight.dtype == torch.float32:
            weight.data = weight.data.to(torch.bfloat16)


TRANSFORMERS = (
    Behaviour(
        "checkpointing is reentrant unless it is told otherwise",
        until={"": (5, 0)},
        evidence="modeling_utils.py, gradient_checkpointing_enable: use_reentrant is True in 4.43.3 (line 2318), "
        "4.48.1 (2539) and 4.57.1 (3692), False in 5.0.0 (3099)",
        run={"use_reentrant": True},
    ),
    Behaviour(
        "the logits are cast to float32 in the model's forward, which keeps no others",
        until={"llama": (4, 46), "mixtral": (4, 46), "mistral": (4, 48)},
        evidence="modeling_llama.py 4.43.3 (line 1161), 4.45.2 (1214), and loss_function in 4.46.0; "
        "modeling_mixtral.py 4.43.3 (1241), 4.45.2 (1304), and loss_function in 4.46.0; "
        "modeling_mistral.py 4.43.3 (1044), 4.45.2 (1059), 4.47.1 (1090), and loss_function in 4.48.0 (852)",
        prepare=upcast_logits,
    ),
    Behaviour(
        "the loss copies the logits without their last position",
        until={"": (4, 49)},
        evidence="shift_logits in modeling_mistral.py 4.43.3 (line 1049), 4.47.1 (1092), and in loss_utils.py 4.46.0 "
        "(38), 4.48.1 (39); in 4.49.0 (39) the labels are padded instead",
        prepare=copy_shifted_logits,
    ),
)


def _causal_lm(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _loss_of_copies(logits: Any, labels: Any, vocab_size: int, **_: Any) -> Any:
    from torch.nn.functional import cross_entropy

    wide = logits.float()  # alive until the loss is there, beside its copy
    copied = wide[..., :-1, :].contiguous()
    return cross_entropy(copied.view(-1, vocab_size), labels[..., 1:].contiguous().view(-1))
