"""What `lora-plan verify --doctor` prints: the findings first, then what was found."""

from __future__ import annotations

from collections.abc import Iterable

from planner.catalogue.spelling import shown
from planner.units import format_bytes
from profiler.doctor.diagnosis import OK, PROBLEM, WARNING, Diagnosis, Finding, FoundCard
from profiler.documents import to_document
from reports.figures import gib
from reports.page import Page
from reports.sections import joined

_COLOURS = {OK: "green", WARNING: "yellow", PROBLEM: "red"}
_UNKNOWN = "not known"


def doctor_text(diagnosis: Diagnosis, page: Page) -> str:
    """The whole view, within the page's width."""
    return page.finish(
        joined(
            [
                [page.heading("Findings"), *_lines(map(_entry, diagnosis.findings), page)],
                [page.heading("Machine"), *_lines(_machine(diagnosis), page)],
                [page.heading("Cards"), *_lines(map(_card, diagnosis.cards), page)] if diagnosis.cards else [],
                [page.heading("Libraries"), *_lines(_libraries(diagnosis), page)],
            ]
        )
    )


def doctor_json(diagnosis: Diagnosis) -> dict[str, object]:
    """All of it, as JSON can say it."""
    return to_document(diagnosis)


def _entry(finding: Finding) -> tuple[str, str]:
    return finding.level, finding.text


def _machine(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    host = "of ".join(
        f"{gib(size)} {words}"
        for size, words in ((diagnosis.host_available_bytes, "available "), (diagnosis.host_total_bytes, ""))
        if size is not None
    )
    disk = f"{gib(diagnosis.disk_free_bytes)} free" if diagnosis.disk_free_bytes is not None else _UNKNOWN
    newest = f", which speaks CUDA {diagnosis.driver_cuda} at most" if diagnosis.driver_cuda else ""
    hidden = diagnosis.cuda_visible_devices
    return [
        ("python", f"{diagnosis.python} on {shown(diagnosis.system)}"),
        ("torch", f"built for {diagnosis.runtime}" if diagnosis.runtime else "not usable"),
        ("driver", f"NVIDIA {shown(diagnosis.driver)}{newest}" if diagnosis.driver else "no NVIDIA driver"),
        *([("CUDA_VISIBLE_DEVICES", shown(hidden) or "empty")] if hidden is not None else []),
        ("memory", host.strip() or _UNKNOWN),
        ("disk", f"{disk} for {shown(diagnosis.cache_folder, 1000)}" if diagnosis.cache_folder else _UNKNOWN),
    ]


def _card(card: FoundCard) -> tuple[str, str]:
    said = [shown(card.name) if card.name else "unnamed"]
    if card.total_bytes is not None:
        free = f"{gib(card.free_bytes)} free of " if card.free_bytes is not None else ""
        said.append(f"{free}{gib(card.total_bytes)}")
    if card.compute_capability:
        said.append(f"compute capability {card.compute_capability}")
    if card.mig:
        said.append("MIG")
    if card.temperature_c is not None:
        said.append(f"{card.temperature_c} C")
    if card.slowed_by:
        said.append(f"slowed down by {' and '.join(card.slowed_by)}")
    for process in card.processes or ():
        size = format_bytes(process.bytes) if process.bytes is not None else f"memory {_UNKNOWN}"
        said.append(f"pid {process.pid} {shown(process.name or '', 40)}".rstrip() + f" ({size})")
    return str(card.index), ", ".join(said)


def _libraries(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    rows = [(library.name, shown(library.version or "not installed")) for library in diagnosis.libraries]
    found = diagnosis.bitsandbytes
    if found is None or found.error is not None:
        return rows
    kernels = f"4-bit kernels for {', '.join(found.kernels)}" if found.kernels else "no 4-bit kernels of its own"
    beside = f"{found.library or 'no native library'}, {kernels}"
    return [(name, f"{text}: {beside}" if name == "bitsandbytes" else text) for name, text in rows]


def _lines(rows: Iterable[tuple[str, str]], page: Page) -> list[str]:
    """Names in a column, and beside each its words, wrapped."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs)
    lines: list[str] = []
    for name, text in pairs:
        first, *rest = page.wrap(text, first=f"  {name:<{width}}  ")
        colour = _COLOURS.get(name)
        end = 2 + len(name)
        lines += [page.style(first[:end], colour) + first[end:] if colour else first, *rest]
    return lines
