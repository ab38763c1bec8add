"""A drawn chart as a part of an HTML page: its looks as attributes, which no content policy forbids, its ids apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

_LOOKS = re.compile(r"fill|stroke|opacity|font-(size|weight|style)|text-anchor")
_FONT = re.compile(r"(?P<before>.*?)(?P<size>[\d.]+px)")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_MARK = re.compile(r"part-(\d+)-(\d+)")


def inline_svg(drawn: bytes, prefix: str, label: str, spoken: Mapping[str, str]) -> str:
    """The `svg` element of a drawn chart.

    Each id gets the `prefix`. `label` is what the chart shows; `spoken` says for each id of a bar or a point what it
    shows, both for who hears the page and, as `data-tip`, for its script.
    """
    root = ElementTree.fromstring(drawn)
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child.tag) in ("metadata", "style", "title"):
                parent.remove(child)
    for element in root.iter():
        _as_html(element, prefix, spoken)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "group", "aria-label": label})
    return ElementTree.tostring(root, encoding="unicode")


def _as_html(element: ElementTree.Element, prefix: str, spoken: Mapping[str, str]) -> None:
    """Without namespaces, which HTML gives an `svg` by itself."""
    element.tag = _name(element.tag)
    element.tail = None
    if element.tag != "text":
        element.text = None
    old = {_name(key): value for key, value in element.attrib.items()}
    new = _looks(old.pop("style", "")) | old
    element.attrib.clear()
    element.attrib.update({key: _REFERENCE.sub(rf"url(#{prefix}\1)", value) for key, value in new.items()})
    if "href" in new:
        element.attrib["href"] = f"#{prefix}{new['href'].removeprefix('#')}"
    if name := new.get("id"):
        element.attrib["id"] = prefix + name
        if (mark := _MARK.fullmatch(name)) and name in spoken:
            element.attrib |= {"class": "mark", "data-series": mark[1], "data-place": mark[2]}
            element.attrib |= {"role": "img", "aria-label": spoken[name], "data-tip": spoken[name]}
    elif element.tag == "svg":
        element.attrib["id"] = prefix + "svg"


def _looks(style: str) -> dict[str, str]:
    """A style as attributes; the page has a font of its own."""
    looks: dict[str, str] = {}
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font" and (font := _FONT.match(value)):
            looks["font-size"] = font["size"]
            if weight := re.search(r"\b(bold|[1-9]00)\b", font["before"]):
                looks["font-weight"] = weight[0]
        elif _LOOKS.match(key):
            looks[key] = value
    return looks


def _name(name: str) -> str:
    """A tag or an attribute without its namespace."""
    return name.rpartition("}")[2]
