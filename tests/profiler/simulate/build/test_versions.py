"""What older versions do: the table as it was read, and that nothing but memory changes with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.loss.loss_utils import ForCausalLMLoss

from planner.errors import Abstention
from profiler.simulate.build.versions import (
    TRANSFORMERS,
    behaviours,
    copy_shifted_logits,
    peft_module_casting_to_bf16,
    upcast_logits,
)

REENTRANT, UPCAST, COPIED = TRANSFORMERS


def small_llama(dtype: torch.dtype) -> Any:
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **sizes))
    return model.to(dtype)


@pytest.mark.parametrize(
    ("version", "model_type", "expected"),
    [
        ("4.43.3", "llama", (REENTRANT, UPCAST, COPIED)),
        ("4.45.2", "mistral", (REENTRANT, UPCAST, COPIED)),
        ("4.46.0", "llama", (REENTRANT, COPIED)),
        ("4.47.1", "mistral", (REENTRANT, UPCAST, COPIED)),
        ("4.48.1", "mistral", (REENTRANT, COPIED)),
        ("4.48.1", "gemma2", (REENTRANT, COPIED)),
        ("4.49.0", "mixtral", (REENTRANT,)),
        ("4.57.1", "llama", (REENTRANT,)),
        ("5.0.0", "llama", ()),
    ],
)
def test_each_behaviour_ends_with_a_version(version: str, model_type: str, expected: tuple[object, ...]) -> None:
    assert behaviours(version, model_type) == expected


@pytest.mark.parametrize(("version", "model_type"), [("4.42.0", "llama"), ("4.45.2", "gemma2")])
def test_what_has_not_been_read_is_abstained_from(version: str, model_type: str) -> None:
    with pytest.raises(Abstention, match="has not been read"):
        behaviours(version, model_type)


def test_the_loss_is_the_same_whether_logits_or_labels_are_shifted() -> None:
    model, tokens = small_llama(torch.float32), torch.randint(40, (2, 12))
    as_installed = model(input_ids=tokens, labels=tokens).loss
    copy_shifted_logits(model)
    assert torch.allclose(model(input_ids=tokens, labels=tokens).loss, as_installed)
    assert model.loss_function is not ForCausalLMLoss


def test_upcast_logits_leave_the_model_in_float32() -> None:
    model, tokens = small_llama(torch.bfloat16), torch.randint(40, (2, 12))
    as_installed = model(input_ids=tokens, labels=tokens)
    upcast_logits(model)
    upcast = model(input_ids=tokens, labels=tokens)
    assert (as_installed.logits.dtype, upcast.logits.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(upcast.loss, as_installed.loss)


def test_sft_trainer_leaves_only_norms_in_float32() -> None:
    model = small_llama(torch.float32)
    peft_module_casting_to_bf16(model)
    assert model.lm_head.weight.dtype == model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert model.model.norm.weight.dtype == torch.float32
