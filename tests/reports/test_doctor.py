"""What `lora-plan verify --doctor` prints."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from profiler.doctor.diagnosis import OK, PROBLEM, WARNING, Diagnosis, Finding, FoundCard
from profiler.doctor.libraries import BitsAndBytes, Library
from profiler.measure.device.nvml import CardProcess
from reports.doctor import doctor_json, doctor_text
from reports.page import Page

GIB = 2**30

CARD = FoundCard(
    index=0,
    name="NVIDIA A100-SXM4-40GB",
    uuid="GPU-aaaa",
    total_bytes=40 * GIB,
    free_bytes=35 * GIB,
    compute_capability="8.0",
    mig=True,
    temperature_c=61,
    slowed_by=("heat", "the power cap"),
    processes=(CardProcess(4242, 5 * GIB, "python3"), CardProcess(77, None, None)),
)
DIAGNOSIS = Diagnosis(
    python="3.11.7",
    system="Linux-6.1-x86_64",
    runtime="CUDA 13.0",
    driver="580.95.05",
    driver_cuda="13.0",
    cuda_visible_devices="",
    cards=(CARD, FoundCard(1, None, None, None, None, None, None, None, None, None)),
    libraries=(Library("torch", "2.13.0"), Library("peft", None), Library("bitsandbytes", "0.50.2")),
    bitsandbytes=BitsAndBytes("libbitsandbytes_cuda130.so", ("cpu", "cuda"), None),
    host_total_bytes=64 * GIB,
    host_available_bytes=48 * GIB,
    cache_folder="/home/a/.cache/lora-plan/simulations",
    disk_free_bytes=100 * GIB,
    usable=None,
    findings=(Finding(OK, "all is well"), Finding(WARNING, "it is hot"), Finding(PROBLEM, "it is broken; mend it")),
)


def test_the_page() -> None:
    assert doctor_text(DIAGNOSIS, Page(width=100)) == (
        "Findings\n"
        "  ok       all is well\n"
        "  warning  it is hot\n"
        "  problem  it is broken; mend it\n"
        "\n"
        "Machine\n"
        "  python                3.11.7 on Linux-6.1-x86_64\n"
        "  torch                 built for CUDA 13.0\n"
        "  driver                NVIDIA 580.95.05, which speaks CUDA 13.0 at most\n"
        "  CUDA_VISIBLE_DEVICES  empty\n"
        "  memory                48.0 GiB available of 64.0 GiB\n"
        "  disk                  100.0 GiB free for /home/a/.cache/lora-plan/simulations\n"
        "\n"
        "Cards\n"
        "  0  NVIDIA A100-SXM4-40GB, 35.0 GiB free of 40.0 GiB, compute capability 8.0, MIG, 61 C, slowed\n"
        "     down by heat and the power cap, pid 4242 python3 (5.0 GiB), pid 77 (memory not known)\n"
        "  1  unnamed\n"
        "\n"
        "Libraries\n"
        "  torch         2.13.0\n"
        "  peft          not installed\n"
        "  bitsandbytes  0.50.2: libbitsandbytes_cuda130.so, 4-bit kernels for cpu, cuda\n"
    )


def test_what_is_not_known() -> None:
    bare = replace(
        DIAGNOSIS,
        runtime=None,
        driver=None,
        driver_cuda=None,
        cuda_visible_devices=None,
        cards=(),
        bitsandbytes=None,
        host_total_bytes=None,
        host_available_bytes=None,
        cache_folder=None,
        disk_free_bytes=None,
    )
    text = doctor_text(bare, Page())
    for line in (
        "  torch   not usable",
        "  driver  no NVIDIA driver",
        "  memory  not known",
        "  disk    not known",
        "  bitsandbytes  0.50.2",
    ):
        assert f"{line}\n" in text
    assert "Cards" not in text and "CUDA_VISIBLE_DEVICES" not in text


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    finding = Finding(PROBLEM, "a sentence that is longer than a line of the page and says what to do about it " * 2)
    text = doctor_text(replace(DIAGNOSIS, findings=(finding,)), Page(width=width))
    assert max(map(len, text.splitlines())) <= width


def test_levels_are_coloured() -> None:
    text = doctor_text(DIAGNOSIS, Page(colour=True))
    assert "\x1b[31m  problem\x1b[0m  it is broken" in text
    assert "\x1b[32m  ok\x1b[0m       all is well" in text


def test_plain_terminals() -> None:
    assert doctor_text(DIAGNOSIS, Page(unicode=False)).isascii()


def test_names_from_outside_cannot_write_to_the_terminal() -> None:
    card = replace(CARD, name="\x1b[2J", processes=(CardProcess(1, None, "\x1b[31m"),))
    evil = replace(DIAGNOSIS, cards=(card,), cuda_visible_devices="\x1b[2J\n", cache_folder="/\x1b[2J", driver="\x1b")
    assert "\x1b" not in doctor_text(evil, Page())


def test_json() -> None:
    data = doctor_json(DIAGNOSIS)
    assert json.loads(json.dumps(data)) == data
    assert data["driver"] == "580.95.05" and data["usable"] is None
    assert data["findings"] == [
        {"level": "ok", "text": "all is well"},
        {"level": "warning", "text": "it is hot"},
        {"level": "problem", "text": "it is broken; mend it"},
    ]
