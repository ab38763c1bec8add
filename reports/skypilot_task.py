"""A measurement on rented hardware as a SkyPilot task: YAML for `sky launch`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

from planner.errors import InputError
from planner.run import TrainingRun
from planner.versions import release
from pricing.money import CENT
from pricing.offer import SPOT, Offer
from pricing.skypilot_names import OWN_TYPES, accelerator_name, cloud_name

NAME = "lora-plan-verify"
FOLDER = "~/lora-plan"
"""On the machine."""

INSTALL_SECONDS = 900
"""For pip: torch and CUDA's libraries are some 4 GB to download."""

LOADING_SECONDS = 60
"""Beyond the bound that `verify` keeps itself: for starting it, and for it to end."""

IDLE_MINUTES = 5
"""After which SkyPilot shuts the machine down."""

DISK_GIB = 100
"""torch and CUDA's libraries; weights are random and take none."""

BEGIN, END = "--- lora-plan verify: begin of the result", "--- lora-plan verify: end of the result"
"""Lines of the log around the JSON of the result."""

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z,]+\])?(==[A-Za-z0-9.+!-]+)?")
_OLDEST = {"transformers": (5, 0), "peft": (0, 18)}
"""What `lora-plan[verify]` needs."""

_KERNELS = {"liger": "liger-kernel"}
_ATTENTION = {"flash_attention_2": "flash-attn"}


def billed_seconds_at_most(seconds: float) -> float:
    """The longest that the machine is held for a measurement of `seconds`, if every step takes as long as it may."""
    return INSTALL_SECONDS + seconds + LOADING_SECONDS + 60 * IDLE_MINUTES


def skypilot_task(
    run: TrainingRun,
    offer: Offer,
    *,
    files: Mapping[str, Path],
    package: str,
    max_steps: int,
    max_seconds: float,
) -> str:
    """The task as YAML, for SkyPilot 0.14: one machine as in the offer, on which `lora-plan verify` measures the run.

    files: name in `FOLDER` on the machine -> file here; `run.yaml` among them. package: what pip installs lora-plan
    from, `lora-plan[verify]==0.1.0`. SkyPilot takes no machine that costs more an hour than the offer. No secret is
    written. Raises `InputError` where SkyPilot has no such machine, or what `verify` needs does not suit the run.

    Everything that takes long is in `run`, under a limit of time: with `setup`, a machine on which installing fails is
    not shut down (`--down` of sky/client/cli/command.py).
    """
    import yaml

    resources: dict[str, object] = {"infra": cloud_name(offer.provider)}
    if offer.gpu is None:
        raise InputError(f"the offer {offer.instance_type} has no card that is known; choose another", field="gpu")
    if offer.provider in OWN_TYPES:
        resources["instance_type"] = offer.instance_type
    resources |= {
        "accelerators": {accelerator_name(offer.gpu, offer.provider): offer.gpu_count},
        "use_spot": offer.market == SPOT,
        "disk_size": DISK_GIB,
        "max_hourly_cost": float(offer.usd_per_hour.quantize(CENT, rounding=ROUND_CEILING)),
        "autostop": {"idle_minutes": IDLE_MINUTES, "down": True},
    }
    task = {
        "name": NAME,
        "resources": resources,
        "file_mounts": {f"{FOLDER}/{name}": str(path) for name, path in files.items()},
        "run": _script(_packages(run, package), max_steps, max_seconds),
    }
    return yaml.dump(task, Dumper=_dumper(), sort_keys=False, width=1000, allow_unicode=True)


def usd_at_most(offer: Offer, seconds: Decimal) -> Decimal:
    """What so many seconds of the offer's machine cost, rounded up to the cent."""
    return (offer.usd_per_hour * seconds / 3600).quantize(CENT, rounding=ROUND_CEILING)


def _packages(run: TrainingRun, package: str) -> list[str]:
    if not _PACKAGE.fullmatch(package):
        raise InputError(f"{package[:80]!r} is no package that pip can install; name one as lora-plan[verify]==0.1.0")
    packages = [package]
    for library, version in (("transformers", run.transformers_version), ("peft", run.peft_version)):
        if version is None:
            continue
        oldest = _OLDEST[library]
        if release(version)[:2] < oldest:
            raise InputError(
                f"{library}_version {version} cannot be measured: it takes {oldest[0]}.{oldest[1]} or newer; leave the "
                "version out",
                field=f"{library}_version",
            )
        packages.append(f"{library}=={version}")
    packages += [name for name in (_KERNELS.get(run.kernels), _ATTENTION.get(run.attention)) if name is not None]
    return packages


def _script(packages: list[str], max_steps: int, max_seconds: float) -> str:
    # flash-attn is built against the torch that is there
    late = [name for name in packages if name == "flash-attn"]
    first = " ".join(f'"{name}"' for name in packages if name not in late)
    install = f"pip install --quiet {first}" + "".join(
        f" && pip install --quiet --no-build-isolation {name}" for name in late
    )
    limit = round(max_seconds) + LOADING_SECONDS
    lines = [
        f"timeout {INSTALL_SECONDS} sh -c {shlex.quote(install)} || exit 1",
        f"cd {FOLDER} || exit 1",
        f"timeout --signal=INT --kill-after=30 {limit} lora-plan verify --run run.yaml "
        f"--max-steps {max_steps} --max-seconds {max_seconds:g} --json > result.json",
        "status=$?",
        f"echo {shlex.quote(BEGIN)}",
        "cat result.json",
        f"echo {shlex.quote(END)}",
        "exit $status",
    ]
    return "\n".join(lines) + "\n"


def _dumper() -> type:
    """yaml's own safe dumper, but for text of several lines, which is written as it reads."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
            "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
        )

    Dumper.add_representer(str, text)
    return Dumper
