"""CUDA's autocast policy for tensors of another device: the simulated one, or the CPU.

PyTorch registers its casts for CUDA, the CPU (others than CUDA's) and a few more devices, and none for the private
one. The lists
are in a header that ships with the wheel (`ATen/autocast_mode.h`); how they are applied follows the templates
there and `cached_cast` of `aten/src/ATen/autocast_mode.cpp`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import torch

from planner.errors import InputError
from profiler.simulate.device.backend import NAME

Policy: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any], str], Any]
"""An operator, its arguments, and the type of device whose tensors are cast."""

_HEADER = Path(torch.__path__[0], "include", "ATen", "autocast_mode.h")
_KEY, _CPU_KEY = "AutocastPrivateUse1", "AutocastCPU"

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
    with _forgetting():
        yield


@contextmanager
def on_cpu() -> Generator[None]:
    """`torch.autocast("cpu", dtype)` casts as `torch.autocast("cuda", dtype)` does, and as before afterwards.

    Raises `InputError` as `as_on_cuda` does.
    """
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kernels that are taken the place of
            ours = _implement(library, "cpu", _CPU_KEY)
            for name in _others(ours):
                library.impl(name, torch.library.fallthrough_kernel, _CPU_KEY, allow_override=True)
        with _forgetting():
            yield
    finally:
        library._destroy()


@contextmanager
def _forgetting() -> Generator[None]:
    """The casts of weights are forgotten as the outermost autocast ends."""
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
    fallback = torch.library.Library("_", "IMPL")
    fallback.fallback(torch.library.fallthrough_kernel, _KEY)
    library = torch.library.Library("aten", "IMPL")
    _implement(library, NAME, _KEY)
    _libraries.extend([fallback, library])


def _implement(library: torch.library.Library, device: str, key: str) -> set[str]:
    """Register CUDA's casts for a device; gives the names of their operators."""
    names: set[str] = set()
    for policy, operators in operator_lists().items():
        for name in operators:
            base, _, overload = name.partition(".")
            packet = getattr(torch.ops.aten, base)
            if policy is _fp32_append_dtype:
                overload = _APPENDED_DTYPE[name]
            kernel = _kernel(policy, getattr(packet, overload or "default"), device, key)
            library.impl(name, kernel, key, allow_override=True)
            names.add(name)
    return names


def _others(ours: set[str]) -> list[str]:
    """The operators that the CPU casts, and CUDA does not."""
    every = (name.removeprefix("aten::") for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))
    return [
        name
        for name in every
        if name not in ours and torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", _CPU_KEY)
    ]


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


def _kernel(policy: Policy, operator: Any, device: str, key: str) -> Callable[..., Any]:
    autocast = torch._C.DispatchKeySet(torch._C._dispatch_key_parse(key))

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return policy(operator, args, kwargs, device)

    return run


def _lower_precision(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Any:
    dtype = torch.get_autocast_dtype(device)
    return operator(*_cast(args, dtype, device), **_cast(kwargs, dtype, device))


def _fp32(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Any:
    return operator(*_cast(args, torch.float32, device), **_cast(kwargs, torch.float32, device))


def _fp32_set_opt_dtype(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Any:
    if not _eligible(args[0], device):
        return operator(*args, **kwargs)
    position = next(i for i, argument in enumerate(operator._schema.arguments) if argument.name == "dtype")
    if position < len(args):
        dtype = torch.float32 if args[position] is None else args[position]
        return operator(*args[:position], dtype, *args[position + 1 :], **kwargs)
    dtype = kwargs.get("dtype")
    return operator(*args, **{**kwargs, "dtype": torch.float32 if dtype is None else dtype})


def _fp32_append_dtype(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Any:
    dtype = torch.float32 if _eligible(args[0], device) else args[0].dtype
    names = [argument.name for argument in operator._schema.arguments]
    # the overloads with a dtype have no defaults; these are those of the overloads without
    defaults = {name: value for name, value in (("p", 2), ("keepdim", False)) if name in names}
    return operator(**{**defaults, **dict(zip(names, args, strict=False)), **kwargs, "dtype": dtype})


def _promote(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> Any:
    dtype = torch.get_autocast_dtype(device)
    leaves = [leaf for arg in (*args, *kwargs.values()) for leaf in (arg if isinstance(arg, (list, tuple)) else [arg])]
    if any(_eligible(leaf, device) and leaf.dtype == torch.float32 for leaf in leaves):
        dtype = torch.float32
    return operator(*_cast(args, dtype, device), **_cast(kwargs, dtype, device))


def _eligible(value: Any, device: str) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.device.type == device
        and value.is_floating_point()
        and value.dtype != torch.float64
    )


def _cast(value: Any, dtype: torch.dtype, device: str) -> Any:
    if isinstance(value, torch.Tensor):
        return _cached_cast(value, dtype, device)
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(leaf, dtype, device) for leaf in value)
    if isinstance(value, dict):
        return {name: _cast(leaf, dtype, device) for name, leaf in value.items()}
    return value


def _cached_cast(tensor: torch.Tensor, dtype: torch.dtype, device: str) -> torch.Tensor:
    """`at::autocast::cached_cast`: casts of float32 weights that are trained are kept, and no others."""
    if not _eligible(tensor, device) or tensor.dtype == dtype:
        return tensor
    if not (
        dtype == torch.get_autocast_dtype(device)
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
