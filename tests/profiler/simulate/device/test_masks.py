"""Models of many families run on the simulated device, and build the masks of a real run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from profiler.simulate.device import attention, backend, kernels, masks
from tests.support.families import model_of

S = 128
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "model_type": "llama", "num_key_value_heads": 2},
    "mistral": {**SMALL, "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": S},
    "mistral-wide": {**SMALL, "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": S + 1},
    "gemma2": {**SMALL, "model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 64},
    "gemma3": {
        **SMALL,
        "model_type": "gemma3_text",
        "num_key_value_heads": 2,
        "head_dim": 16,
        "sliding_window": 64,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4},
    "opt": {"model_type": "opt", "hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "word_embed_proj_dim": 64},
    "falcon": {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "falcon-alibi": {
        "model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True,
        "new_decoder_architecture": False, "multi_query": False,
    },
    "bloom": {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "mpt": {"model_type": "mpt", "d_model": 64, "n_layers": 2, "n_heads": 4},
    "gpt_neo": {
        "model_type": "gpt_neo", "hidden_size": 64, "num_layers": 2, "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
    },
}  # fmt: skip

FLASH, EFFICIENT, PACKAGE = {"flash"}, {"efficient"}, {"package"}
EAGER: set[str] = set()
NAMES = {
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_efficient_attention": "efficient",
    "_flash_attention_forward": "package",
    "_safe_softmax": "math",
}


class Kernels(TorchDispatchMode):
    """Gives `kernels.answer`, and notes which attention kernels run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen |= {NAMES[name] for name in [func.overloadpacket.__name__] if name in NAMES}
        out = kernels.answer(func, args)
        return func(*args, **(kwargs or {})) if out is NotImplemented else out


@pytest.fixture(autouse=True)
def on_sim() -> Iterator[None]:
    backend.register()
    with kernels.as_on_cuda(), attention.as_on_cuda():
        yield


def kernels_of_a_step(family: str, implementation: str, *, padded: bool) -> set[str]:
    with torch.device("meta"):
        model = model_of({"vocab_size": 100, **CONFIGS[family]}, attention=implementation, dtype="bfloat16")
    model.config.use_cache = False
    model.train()
    with masks.as_on_cuda(padded), FakeTensorMode(allow_non_fake_inputs=True), Kernels() as run:
        model.to_empty(device="sim")
        ids = torch.empty(2, S, dtype=torch.long, device="sim")
        model(input_ids=ids, labels=ids, attention_mask=torch.ones_like(ids)).loss.backward()
    return run.seen


@pytest.mark.parametrize(
    ("family", "implementation", "even", "padded"),
    [
        ("llama", "sdpa", FLASH, EFFICIENT),
        ("mistral", "sdpa", EFFICIENT, EFFICIENT),
        ("mistral-wide", "sdpa", FLASH, EFFICIENT),
        ("gemma3", "sdpa", FLASH | EFFICIENT, EFFICIENT),
        ("gpt2", "sdpa", FLASH, EFFICIENT),
        ("opt", "sdpa", FLASH, EFFICIENT),
        # all heads share one key and value head, which SDPA is not told: only its math can do that
        ("falcon", "sdpa", {"math"}, {"math"}),
        ("falcon-alibi", "sdpa", EFFICIENT, EFFICIENT),
        ("llama", "flash_attention_2", PACKAGE, PACKAGE),
        ("gemma2", "flash_attention_2", PACKAGE, PACKAGE),
        *((family, "eager", EAGER, EAGER) for family in CONFIGS),
    ],
)
def test_kernels_of_a_training_step(family: str, implementation: str, even: set[str], padded: set[str]) -> None:
    assert kernels_of_a_step(family, implementation, padded=False) == even
    assert kernels_of_a_step(family, implementation, padded=True) == padded


@pytest.mark.parametrize("family", ["gemma2", "bloom", "mpt", "gpt_neo"])
def test_transformers_refuses_what_it_refuses_in_a_real_run(family: str) -> None:
    with pytest.raises(ValueError, match="does not support"):
        kernels_of_a_step(family, "sdpa", padded=False)


def mask() -> torch.Tensor:
    return torch.empty(2, S, dtype=torch.bool, device="sim")


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("question", "even", "uneven"),
    [
        (lambda: bool(mask().all()), True, False),
        (lambda: bool(torch.all(mask().long() == 1)), True, False),
        (lambda: bool(mask().sum() == mask().numel()), True, False),
        (lambda: 0 in mask().long(), False, True),
        # sequences that are not packed
        (lambda: bool((mask().long()[:, -1] == 0).all()), True, True),
        (lambda: bool(mask().float().isnan().any()), False, False),
        (lambda: torch.equal(mask(), mask()), True, True),
        (lambda: mask().long().max().item(), 1, 1),
        (lambda: mask().float().max().item(), 1.0, 1.0),
        (lambda: len(mask().flatten().nonzero()), 2 * S, 2 * S),
    ],
)
def test_questions(question: Callable[[], Any], even: Any, uneven: Any, padded: bool) -> None:
    with masks.as_on_cuda(padded), FakeTensorMode(), Kernels():
        assert question() == (uneven if padded else even)
