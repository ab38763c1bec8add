"""The independent source of memory figures: a real training step on CPU tensors, every buffer followed.

A dispatch mode sees each new storage and a weak reference sees it die, so that live bytes are known at
every operation. What a kernel allocates inside itself is not seen, on the CPU as on fake tensors.
"""

from __future__ import annotations

import weakref
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages made inside it, and the most there were."""

    def __init__(self, ignore: list[torch.Tensor]) -> None:
        super().__init__()
        self._ignored = {tensor.untyped_storage()._cdata for tensor in ignore}
        self._sizes: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.index_put.default and len(args) > 3 and args[3]:
            # only under a dispatch mode is `index_backward` not in place (`areAnyTensorSubclassLike`)
            func = torch.ops.aten.index_put_.default
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes or key in self._ignored:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def _dropout_as_on_cuda(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    # the CPU saves a mask in the input's dtype; CUDA's operator, which also runs here, a boolean one
    return torch.native_dropout(input, p, True)[0] if training and p > 0 else input


class _LayerNorm(torch.autograd.Function):
    """`native_layer_norm` that saves its mean and deviation in float32, as CUDA's kernel makes them."""

    @staticmethod
    def forward(ctx: Any, x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> torch.Tensor:
        out, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean.float(), rstd.float())
        ctx.shape = shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[index] for index in (0, 2, 3)]
        dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
            grads[0], x, ctx.shape, mean.to(x.dtype), rstd.to(x.dtype), weight, bias, wanted
        )
        return dx, None, dweight, dbias, None


def _layer_norm_as_on_cuda(
    input: torch.Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> torch.Tensor:
    # for a 16-bit input the CPU saves its statistics in 16 bits, CUDA in 32 (`layer_norm_kernel.cu`)
    if input.dtype == torch.float32:
        return torch.layer_norm(input, normalized_shape, weight, bias, eps)
    return _LayerNorm.apply(input, normalized_shape, weight, bias, eps)


_attention = torch.nn.functional.scaled_dot_product_attention


class _Fused(torch.autograd.Function):
    """A fused kernel with the scratch of CUDA's backward pass: flash attention's, or the efficient kernel's.

    As in `mha_bwd` (`flash_api.cpp`) and `workspace_size` (`kernel_backward.h`) for heads up to 64 wide, but for
    rows rounded up to whole blocks, which is not planned.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Any, key: Any, value: Any, mask: Any, causal: bool, scale: float | None, flash: bool
    ) -> torch.Tensor:
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
        ctx.options = {"is_causal": causal, "scale": scale}
        out, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, attn_mask=mask, **ctx.options
        )
        if not flash:
            # it lays its result out token by token
            out = out.transpose(1, 2).contiguous().transpose(1, 2)
        ctx.save_for_backward(query, key, value, out, logsumexp, mask)
        ctx.flash = flash
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, *rest, mask = ctx.saved_tensors
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grads[0], query, key, *rest, dropout_p=0.0, attn_mask=mask, **ctx.options
        )
        batch, heads, rows, width = query.shape
        if ctx.flash:
            scratch = [torch.empty(batch, heads, rows, -(-width // 32) * 32 + 1)]
            if key.size(1) < heads:
                scratch += [key.new_empty(batch, heads, rows, width) for _ in ("dk", "dv")]
        else:
            if query.dtype == torch.float32:
                torch.empty_like(rest[1])
            scratch = [torch.empty(batch, heads, rows, -(-width // 64) * 64 + 1)]
        del scratch
        return *gradients, None, None, None, None


def _attention_as_on_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The kernels of CUDA, which has no fused one for float32 and grouped heads, as the CPU has.

    Then it does, in C++, what the documentation of `scaled_dot_product_attention` writes in Python.
    """
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (x.to(torch.bfloat16) for x in (query, key, value))
    grouped = key.size(1) < query.size(1)
    flash = query.dtype != torch.float32 and attn_mask is None
    if query.size(-1) == value.size(-1) and (not grouped or (flash and enable_gqa)):
        return _Fused.apply(query, key, value, attn_mask, is_causal, scale, flash)
    if not enable_gqa or attn_mask is not None or query.dtype != torch.float32:
        return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    root = query.size(-1) ** -0.25
    scaled = query * root
    keys, values = (x.repeat_interleave(query.size(1) // x.size(1), 1) for x in (key, value))
    weights = scaled @ (keys.transpose(-2, -1) * root)
    weights += torch.ones(query.size(2), key.size(2)).tril().log()
    weights = torch.softmax(weights, -1)
    return weights @ values


def step_peak(model: torch.nn.Module, *, batch: int, sequence: int, mask: bool = False, autocast: bool = False) -> int:
    """Most bytes alive in one forward and backward pass, beside parameters, buffers and token ids.

    mask: whether the batch comes with an attention mask (of ones), as a padded one does.
    """
    ids = torch.zeros(batch, sequence, dtype=torch.long)
    inputs = {"input_ids": ids, "labels": ids}
    if mask:
        inputs["attention_mask"] = torch.ones(batch, sequence, dtype=torch.long)
    live = LiveBytes([*model.parameters(), *model.buffers(), *inputs.values()])
    model.train()
    with (
        live,
        mock.patch("torch.nn.functional.dropout", _dropout_as_on_cuda),
        mock.patch("torch.nn.functional.layer_norm", _layer_norm_as_on_cuda),
        mock.patch("torch.nn.functional.scaled_dot_product_attention", _attention_as_on_cuda),
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = model(**inputs).loss
        loss.backward()
    return live.peak
