"""CUDA's autocast policy for tensors of the simulated device.

PyTorch registers its casts for CUDA, the CPU and a few more devices, and none for the private one. The lists
are in a header that ships with the wheel (`ATen/autocast_mode.h`); how they are applied follows the templates
there and `cached_cast` of `aten/src/ATen/autocast_mode.cpp`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import torch

from planner.errors import InputError
from profiler.simulate.device.backend import NAME

Policy: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

_HEADER = Path(torch.__path__[0], "include", "ATen", "autocast_mode.h")
_KEY = "AutocastPrivateUse1"
_AUTOCAST = torch._C.DispatchKeySet(torch._C._dispatch_key_parse(_KEY))

_APPENDED_DTYPE = {"norm.Scalar": "ScalarOpt_dtype", "norm.ScalarOpt_dim": "ScalarOpt_dim_dtype"}
"""The overloads that take no output type, and those that do (`fp32_append_dtype`)."""

_libraries: list[torch.library.Library] = []
_cache: dict[int, tuple[weakref.ref[torch.Tensor], torch.Tensor]] = {}
"""Casts of weights by the weight's identity, valid until the outermost autocast ends."""


@contextmanager
def as_on_cuda() -> Generator[None]:
    """`torch.autocast("sim", dtype)` casts as `torch.autocast("cuda", dtype)` does, weight cache included.

    Raises `InputError` where the header with CUDA's lists is not installed.
    """
    register()
    clear = torch.clear_autocast_cache

    def clear_both() -> None:
        clear()
        _cache.clear()

    # called by the outermost `autocast.__exit__`
    with mock.patch.object(torch, "clear_autocast_cache", clear_both):
        try:
            yield
        finally:
            _cache.clear()


def register() -> None:
    """Register the casts with the dispatcher, for the rest of the process. Calling it again does nothing.

    Without `as_on_cuda` weights are cast but their casts are not forgotten at the end of autocast.
    """
    if _libraries:
        return
    lists = operator_lists()
    fallback = torch.library.Library("_", "IMPL")
    fallback.fallback(torch.library.fallthrough_kernel, _KEY)
    library = torch.library.Library("aten", "IMPL")
    for policy, names in lists.items():
        for name in names:
            base, _, overload = name.partition(".")
            packet = getattr(torch.ops.aten, base)
            if policy is _fp32_append_dtype:
                overload = _APPENDED_DTYPE[name]
            library.impl(name, _kernel(policy, getattr(packet, overload or "default")), _KEY)
    _libraries.extend([fallback, library])


def operator_lists() -> dict[Policy, list[str]]:
    """CUDA's operators (`name` or `name.overload`) by policy."""
    try:
        header = _HEADER.read_text()
    except OSError:
        raise InputError(
            f"PyTorch {torch.__version__} was installed without ATen/autocast_mode.h, which holds CUDA's autocast "
            "lists; install torch from a wheel"
        ) from None
    macros = {
        _lower_precision: "LOWER_PRECISION_FP",
        _fp32: "FP32",
        _fp32_set_opt_dtype: "FP32_SET_OPT_DTYPE",
        _promote: "PROMOTE",
    }
    lists: dict[Policy, list[str]] = {
        policy: [
            name + (f".{overload}" if overload else "")
            for name, overload in re.findall(r"_\((\w+)(?:,\s*(\w+))?\)", _macro(header, macro))
        ]
        for policy, macro in macros.items()
    }
    lists[_fp32_append_dtype] = re.findall(r'"([\w.]+)"', _macro(header, "DIFFERENT_REDISPATCH_SIGNATURE"))
    if not all(lists.values()):
        raise InputError(
            f"the autocast lists of PyTorch {torch.__version__} have a form that this version cannot read; "
            "install torch 2.13"
        )
    return lists


def _macro(header: str, name: str) -> str:
    found = re.search(rf"#define AT_FORALL_{name}\(_\)((?:.*\\\n)+.*\n)", header)
    return found[1] if found else ""


def _kernel(policy: Policy, operator: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return policy(operator, args, kwargs)

    return run


def _lower_precision(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    dtype = torch.get_autocast_dtype(NAME)
    return operator(*_cast(args, dtype), **_cast(kwargs, dtype))


def _fp32(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return operator(*_cast(args, torch.float32), **_cast(kwargs, torch.float32))


def _fp32_set_opt_dtype(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _eligible(args[0]):
        return operator(*args, **kwargs)
    position = next(i for i, argument in enumerate(operator._schema.arguments) if argument.name == "dtype")
    if position < len(args):
        dtype = torch.float32 if args[position] is None else args[position]
        return operator(*args[:position], dtype, *args[position + 1 :], **kwargs)
    dtype = kwargs.get("dtype")
    return operator(*args, **{**kwargs, "dtype": torch.float32 if dtype is None else dtype})


def _fp32_append_dtype(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    dtype = torch.float32 if _eligible(args[0]) else args[0].dtype
    names = [argument.name for argument in operator._schema.arguments]
    # the overloads with a dtype have no defaults; these are those of the overloads without
    defaults = {name: value for name, value in (("p", 2), ("keepdim", False)) if name in names}
    return operator(**{**defaults, **dict(zip(names, args, strict=False)), **kwargs, "dtype": dtype})


def _promote(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    dtype = torch.get_autocast_dtype(NAME)
    leaves = [leaf for arg in (*args, *kwargs.values()) for leaf in (arg if isinstance(arg, (list, tuple)) else [arg])]
    if any(_eligible(leaf) and leaf.dtype == torch.float32 for leaf in leaves):
        dtype = torch.float32
    return operator(*_cast(args, dtype), **_cast(kwargs, dtype))


def _eligible(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.device.type == NAME
        and value.is_floating_point()
        and value.dtype != torch.float64
    )


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return _cached_cast(value, dtype)
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(leaf, dtype) for leaf in value)
    if isinstance(value, dict):
        return {name: _cast(leaf, dtype) for name, leaf in value.items()}
    return value


def _cached_cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`at::autocast::cached_cast`: casts of float32 weights that are trained are kept, and no others."""
    if not _eligible(tensor) or tensor.dtype == dtype:
        return tensor
    if not (
        dtype == torch.get_autocast_dtype(NAME)
        and tensor.dtype == torch.float32
        and tensor.requires_grad
        and tensor.is_leaf
        and not tensor._is_view()
        and torch.is_autocast_cache_enabled()
    ):
        return tensor.to(dtype)
    known = _cache.get(id(tensor))
    if known is not None and known[0]() is tensor:
        return known[1]
    cast = tensor.to(dtype)
    _cache[id(tensor)] = weakref.ref(tensor), cast
    return cast
