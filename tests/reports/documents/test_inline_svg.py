"""A chart inside a page."""

from __future__ import annotations

from xml.etree import ElementTree

from reports.documents.inline_svg import inline_svg

DRAWN = b"""<?xml version="1.0"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"
 width="9pt" height="9pt" viewBox="0 0 9 9">
 <title>memory</title><metadata>about</metadata><defs><style>*{fill: red}</style><path id="m1"/></defs>
 <g id="part-1-2"><path d="M 0 0" clip-path="url(#p1)"
  style="fill: url(#h1); stroke: #ffffff; pointer-events: none"/></g>
 <g id="part-9-9"><use xlink:href="#m1" style="fill: #000000"/></g>
 <text style="font: 700 10px 'DejaVu Sans', sans-serif; text-anchor: end">a &lt; b</text>
 <text style="font-size: 8px; font-family: 'DejaVu Sans'; font-weight: bold">c</text>
</svg>"""


def test_looks_become_attributes_and_ids_are_apart() -> None:
    root = ElementTree.fromstring(inline_svg(DRAWN, "one-", "what it <shows>", {"part-1-2": 'a "b"'}))
    assert root.attrib == {"viewBox": "0 0 9 9", "id": "one-svg", "role": "group", "aria-label": "what it <shows>"}
    assert [element.tag for element in root.iter()] == ["svg", "defs", "path", "g", "path", "g", "use", "text", "text"]
    named, unnamed = root.findall("g")
    assert named.attrib == {
        "id": "one-part-1-2",
        "class": "mark",
        "data-series": "1",
        "data-place": "2",
        "role": "img",
        "aria-label": 'a "b"',
        "data-tip": 'a "b"',
    }
    assert named[0].attrib == {"d": "M 0 0", "clip-path": "url(#one-p1)", "fill": "url(#one-h1)", "stroke": "#ffffff"}
    assert unnamed.attrib == {"id": "one-part-9-9"}
    assert unnamed[0].attrib == {"href": "#one-m1", "fill": "#000000"}
    old, new = root.findall("text")
    assert (old.text, old.attrib) == ("a < b", {"font-size": "10px", "font-weight": "700", "text-anchor": "end"})
    assert (new.text, new.attrib) == ("c", {"font-size": "8px", "font-weight": "bold"})
