"""Attention as CUDA runs it: which kernel `scaled_dot_product_attention` takes, and what each one allocates.

The choice follows `sdp_utils.cpp` and the composite `scaled_dot_product_attention` of `attention.cpp`; the scratch
of the backward kernels, which their fake versions do not show, `mha_bwd` (`flash_attn/flash_api.cpp`) and
`_efficient_attention_backward` (`attention_backward.cu`), all of PyTorch 2.13.

Approximated: the forward kernels of flash attention split the keys of short sequences on large cards, and hold
partial outputs meanwhile, which is not shown; cuDNN's kernels, which PyTorch prefers on Hopper and data-center
Blackwell, are shown as flash attention, which saves the same tensors.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias
from unittest import mock

import torch
import torch.nn.functional as F

Kernel: TypeAlias = Literal["flash", "efficient", "math"]
Capability: TypeAlias = tuple[int, int]

AMPERE: Capability = (8, 0)
_HALF = (torch.float16, torch.bfloat16)
_KEYS = ("AutogradPrivateUse1", "PrivateUse1")

_libraries: list[torch.library.Library] = []
_capability: Capability = AMPERE

_aten = torch.ops.aten


@contextmanager
def as_on_cuda(capability: Capability = AMPERE) -> Generator[None]:
    """Attention on the simulated device takes the kernels of a card of that compute capability.

    transformers finds the functions of the `flash_attn` package here, under every name of flash attention, and
    builds models with them.
    """
    global _capability
    _register()
    before, _capability = _capability, capability
    utils = "transformers.modeling_flash_attention_utils"
    try:
        with (
            mock.patch(f"{utils}._loaded_implementation", None),
            mock.patch(f"{utils}._lazy_imports", _flash_package),
            mock.patch("transformers.PreTrainedModel._flash_attn_import_error", _installed),
        ):
            yield
    finally:
        _capability = before


def _register() -> None:
    if _libraries:
        return
    library = torch.library.Library("aten", "IMPL")
    for key in _KEYS:
        library.impl("scaled_dot_product_attention", scaled_dot_product_attention, key)
    backward: dict[str, Callable[..., Any]] = {
        "_scaled_dot_product_flash_attention_backward": _sdpa_flash_backward,
        "_flash_attention_backward": _flash_backward,
        "_scaled_dot_product_efficient_attention_backward": _sdpa_efficient_backward,
    }
    for name, kernel in backward.items():
        library.impl(name, kernel, "AutogradPrivateUse1")
    _libraries.append(library)


def scaled_dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The composite operator on CUDA. query: [B, H, S, D], key and value: [B, H or fewer, S, D]."""
    kernel = choose_kernel(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa=enable_gqa)
    mask = _additive(attn_mask, query.dtype)
    if kernel == "flash":
        width = query.size(-1)
        scale = 1 / math.sqrt(width) if scale is None else scale
        out = _aten._scaled_dot_product_flash_attention(
            *(_pad_last_dim(x) for x in (query, key, value)), dropout_p, is_causal, False, scale=scale
        )[0]
        return out if out.size(-1) == width else out[..., :width]
    if kernel == "efficient":
        if mask is not None:
            mask = _aligned(mask).expand(query.size(0), query.size(1), query.size(2), key.size(2))
        trained = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
        out = _aten._scaled_dot_product_efficient_attention(
            query, key, value, mask, trained, dropout_p, is_causal, scale=scale
        )[0]
        if query.dtype in _HALF and value.size(-1) > 128:
            # wider values do not fit in registers (`kNeedsOutputAccumulatorBuffer` in `kernel_forward.h`)
            torch.empty_like(out, dtype=torch.float32)
        return out
    return _math(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa)


def choose_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None,
    dropout_p: float,
    is_causal: bool,
    *,
    enable_gqa: bool,
) -> Kernel:
    """The first kernel of CUDA's order that can run these inputs (`select_sdp_backend`)."""
    if not (query.dim() == key.dim() == value.dim() == 4):
        return "math"
    same_batch = query.size(0) == key.size(0) == value.size(0)
    one_dtype = query.dtype == key.dtype == value.dtype
    dense = all(x.stride(-1) == 1 for x in (query, key, value)) and 0 not in (query.size(2), key.size(2))
    if not (same_batch and one_dtype and dense) or (attn_mask is not None and attn_mask.stride(-1) != 1):
        return "math"
    heads, key_heads, value_heads = query.size(1), key.size(1), value.size(1)
    same_heads = heads == key_heads == value_heads
    grouped = enable_gqa and key_heads == value_heads and heads % key_heads == 0
    if attn_mask is None and (same_heads or grouped) and _flash_can(query, key, value, dropout_p, is_causal):
        return "flash"
    if same_heads and _efficient_can(query, key, value):
        return "efficient"
    return "math"


def _flash_can(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout_p: float, is_causal: bool) -> bool:
    width = query.size(-1)
    if not (query.dtype in _HALF and width == key.size(-1) == value.size(-1) <= 256):
        return False
    if is_causal and query.size(2) != key.size(2):
        return False
    trained = any(x.requires_grad for x in (query, key, value))
    if trained and not _large_shared_memory() and width > 192 and (width <= 224 or dropout_p > 0):
        return False
    return _capability >= AMPERE


def _efficient_can(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    if query.dtype not in (*_HALF, torch.float32) or (query.dtype == torch.bfloat16 and _capability < AMPERE):
        return False
    if query.size(-1) != key.size(-1):
        return False
    # `minimum_gemm_alignment`: 16 bytes where tensor cores run the type
    tensor_cores = _capability >= AMPERE or (_capability >= (7, 0) and query.dtype in _HALF)
    alignment = 16 // query.element_size() if tensor_cores else 1
    return query.size(-1) % alignment == 0 and value.size(-1) % alignment == 0


def _large_shared_memory() -> bool:
    """Whether a block can take more than 100 KB: A100, H100 and data-center Blackwell, but not the other cards."""
    return _capability in ((8, 0), (8, 7), (9, 0), (10, 0), (10, 3), (11, 0))


def _additive(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """`convert_boolean_attn_mask`: a boolean mask, true where attended, as a bias of 0 or -inf."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    away, zero = (torch.scalar_tensor(x, dtype=dtype, device=mask.device) for x in (-math.inf, 0.0))
    return torch.where(mask, zero, away)


def _aligned(mask: torch.Tensor) -> torch.Tensor:
    """`preprocess_mask`: rows of the bias are padded where they do not start at multiples of 8 elements."""
    if all(stride % 8 == 0 for stride in mask.stride()[:-1]):
        return mask
    width = mask.size(-1)
    return F.pad(mask, (0, 8 - width % 8))[..., :width]


def _pad_last_dim(x: torch.Tensor) -> torch.Tensor:
    return x if x.size(-1) % 8 == 0 else F.pad(x, (0, 8 - x.size(-1) % 8))


def _math(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> torch.Tensor:
    """`_scaled_dot_product_attention_math`, which adds the mask in place where no dispatch mode watches it."""
    dtype = query.dtype
    if dtype in _HALF:
        query, key, value = query.float(), key.float(), value.float()
    root = math.sqrt(1 / math.sqrt(query.size(-1)) if scale is None else abs(scale))
    scaled = query * (-root if scale is not None and scale < 0 else root)
    if is_causal:
        shape = query.size(-2), key.size(-2)
        mask = _additive(torch.ones(shape, dtype=torch.bool, device=query.device).tril(), query.dtype)
    if enable_gqa and not (query.size(-3) == key.size(-3) == value.size(-3)):
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    scores = torch.matmul(scaled, key.transpose(-2, -1) * root)
    if mask is not None:
        scores.add_(mask)
    attn = _aten._safe_softmax(scores, -1)
    # one operator here; in it, a look at which rows are masked as a whole
    masked = torch.empty_like(scores, dtype=torch.bool)
    del scores, masked
    if dropout_p > 0.0:
        attn = torch.dropout(attn, dropout_p, True)
    out = torch.matmul(attn, value).to(dtype)
    # the operator returns the weights too, which `scaled_dot_product_attention` drops
    weights = attn.detach().to(dtype)
    del weights
    return out


def _sdpa_flash_backward(
    grad_out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **named: Any
) -> Any:
    """Arguments of `_scaled_dot_product_flash_attention_backward`, [B, H, S, D]."""
    grad_out = grad_out.transpose(1, 2).contiguous().transpose(1, 2)
    out = rest[0].transpose(1, 2).contiguous().transpose(1, 2)
    with torch._C._AutoDispatchBelowAutograd():
        grads = _aten._scaled_dot_product_flash_attention_backward(grad_out, q, k, v, out, *rest[1:], **named)
    _flash_scratch(q.transpose(1, 2), k.transpose(1, 2), rounded=_up(q.size(2), 128))
    return grads


def _flash_backward(
    grad_out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **named: Any
) -> Any:
    """Arguments of `_flash_attention_backward`, [B, S, H, D] or, with lengths, [tokens, H, D]."""
    with torch._C._AutoDispatchBelowAutograd():
        grads = _aten._flash_attention_backward(
            grad_out.contiguous(), q, k, v, rest[0].contiguous(), *rest[1:], **named
        )
    lengths = rest[2]
    if q.dim() == 3:
        _flash_scratch(q[None], k[None], rounded=q.size(0) + 128 * (lengths.size(0) - 1))
    else:
        _flash_scratch(q, k, rounded=_up(q.size(1), 128))
    return grads


def _flash_scratch(q: torch.Tensor, k: torch.Tensor, *, rounded: int) -> None:
    """What `mha_bwd` allocates beside the gradients. q: [B, S, H, D]; rounded: rows kept for each batch entry."""
    batch, _, heads, width = q.shape
    held = [
        q.new_empty(batch, heads, rounded, dtype=torch.float32),
        q.new_empty(batch, rounded, heads, _up(width, 32 if width <= 128 else 64), dtype=torch.float32),
    ]
    if k.size(2) != heads:
        held += [k.new_empty(batch, k.size(1), heads, width) for _ in ("dk", "dv")]


def _sdpa_efficient_backward(
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None,
    out: torch.Tensor,
    *rest: Any,
    **named: Any,
) -> Any:
    """Arguments of `_scaled_dot_product_efficient_attention_backward`, [B, H, S, D]."""
    grad_out = grad_out.transpose(1, 2).contiguous().transpose(1, 2)
    with torch._C._AutoDispatchBelowAutograd():
        grads = _aten._scaled_dot_product_efficient_attention_backward(
            grad_out, query, key, value, attn_bias, out, *rest, **named
        )
    batch, heads, rows, width = query.shape
    if query.dtype == torch.float32:
        # only kernels of half precision take the products of rows themselves
        delta = (grad_out.transpose(1, 2) * out.transpose(1, 2)).sum(-1).transpose(-2, -1).contiguous()
    else:
        delta = query.new_empty(batch, heads, rows, dtype=torch.float32)
    size = efficient_workspace(batch, heads, rows, key.size(2), width, value.size(-1), query.dtype)
    workspace = query.new_empty(size, dtype=torch.uint8)
    del delta, workspace
    return grads


def efficient_workspace(
    batch: int, heads: int, queries: int, keys: int, width: int, value_width: int, dtype: torch.dtype
) -> int:
    """Bytes of the workspace of efficient attention's backward kernel (`workspace_size` in `kernel_backward.h`).

    A float32 accumulator of the queries' gradient in whole blocks, and, where a kernel cannot hold the gradients
    of keys and values in registers, those of as many blocks of keys as run at a time.
    """
    block_rows, block_keys, in_registers = _efficient_blocks(max(width, value_width), dtype)
    blocks = -(-queries // block_rows) * -(-width // block_keys)
    elements = blocks * (4 + block_rows * block_keys)
    if dtype in _HALF and not in_registers:
        splits = max(min(-(-keys // block_keys), 200 // (batch * heads)), 1)
        elements += splits * block_keys * (_up(width, block_rows) + _up(value_width, block_rows))
    return batch * heads * _up(elements, 4) * 4


def _efficient_blocks(width: int, dtype: torch.dtype) -> tuple[int, int, bool]:
    """Rows and keys of a block, and whether it keeps its gradients in registers (`kernels/cutlassB.h`).

    Of the kernels for a width the first runs whose block fits into the card's shared memory.
    """
    if width <= 64:
        return (64, 64, dtype in _HALF)
    if not _large_shared_memory():
        return (64, 64, False)
    if width <= 128 and dtype in _HALF:
        return (128, 128, True)
    return (128, 64, False)


def _installed(*_: Any, **__: Any) -> None: ...


def _flash_package(*_: Any, **__: Any) -> tuple[Any, ...]:
    """What `_lazy_imports` of transformers takes out of the package `flash_attn`."""
    from transformers.modeling_flash_attention_utils import _pad_input, _unpad_input

    return flash_attn_func, flash_attn_varlen_func, None, _pad_input, _unpad_input


def flash_attn_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> torch.Tensor:
    """Flash attention of a whole batch, [B, S, H, D]. A window and a soft cap change no allocation."""
    return _flash_attn(q, k, v, None, None, q.size(1), k.size(1), dropout_p, causal)


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> torch.Tensor:
    """Flash attention of sequences laid end to end, [tokens, H, D]."""
    return _flash_attn(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, causal)


def _flash_attn(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any) -> torch.Tensor:
    width = q.size(-1)
    out = _aten._flash_attention_forward(*(_pad_last_dim(x) for x in (q, k, v)), *rest, False)[0]
    return out if out.size(-1) == width else out[..., :width]


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
