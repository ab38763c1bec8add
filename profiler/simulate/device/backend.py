"""Registers the device `sim` with PyTorch, once in a process.

A fake tensor of device `cuda` needs a GPU in autograd even though no kernel runs. PyTorch's private device
(`PrivateUse1`) does not, and its operators decompose as CUDA's do unless a kernel says otherwise.
"""

# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import contextlib
from typing import Any, NoReturn

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from planner.errors import InputError

NAME = "sim"

_CUDA_KERNELS = ("silu_backward", "mish_backward", "_fused_rms_norm")
"""The operators of `native_functions.yaml` that CUDA implements and other devices decompose."""

_libraries: list[torch.library.Library] = []


class _Stream:
    """A stream or event: nothing runs, so nothing waits."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


class _Module:
    """What PyTorch looks up under `torch.sim`."""

    Stream = _Stream
    Event = _Stream

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def stream(self, _stream: Any) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def current_stream(self, _device: Any = None) -> _Stream:
        return _Stream()

    def synchronize(self, _device: Any = None) -> None: ...

    def manual_seed_all(self, _seed: int) -> None: ...

    def get_rng_state(self, _device: Any = None) -> torch.Tensor:
        return torch.empty(16, dtype=torch.uint8, device="cpu")

    def set_rng_state(self, _state: torch.Tensor, _device: Any = None) -> None: ...

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class FakeMode(FakeTensorMode):
    """Fake tensors beside which real ones of the host may be used."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)

    @property
    def avoid_device_init(self) -> bool:
        """Whether no device can be initialised, so that `torch.tensor(..., device="sim")` is fake from the start."""
        return True


def register() -> None:
    """Make `torch.device("sim")` usable. Calling it again does nothing.

    Raises `InputError` where this version of PyTorch cannot do it, or where another library already took the
    private device.
    """
    if _libraries:
        return
    try:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as setup
    except ImportError:
        raise InputError(
            f"PyTorch {torch.__version__} cannot simulate a device in Python; install torch 2.13"
        ) from None
    taken = torch._C._get_privateuse1_backend_name()
    if taken not in ("privateuseone", NAME):
        raise InputError(
            f"the device {taken!r} holds PyTorch's only private device; simulate in an environment without it"
        )
    setup(NAME, backend_module=_Module())
    library = torch.library.Library("aten", "IMPL")
    for name in _CUDA_KERNELS:
        library.impl(name, _never_called, "PrivateUse1")
    _libraries.append(library)


def _never_called(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("tensors of the simulated device hold no data; they exist inside FakeTensorMode only")
