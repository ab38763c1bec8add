"""What was checked, as JUnit's XML, which CI systems show as tests: a suite for each run, a case for each limit.

Elements and attributes are those of the schema of Jenkins' xUnit plugin (junit-10.xsd), which others read too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from reports.checks.checked import CheckedRun
from reports.comparison.sides import Planned, Unplanned
from reports.trainer_config import in_words

SUITES = "lora-plan check"
"""By which a file of ours is known."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold (its section 2.2, `Char`)."""


def junit(runs: Sequence[CheckedRun]) -> str:
    """The document, in ASCII."""
    suites = [_suite(run) for run in runs]
    root = ElementTree.Element("testsuites", {"name": SUITES, **_sums(suites)})
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="us-ascii").decode() + "\n"


def _suite(run: CheckedRun) -> ElementTree.Element:
    name = _text(run.name)
    if isinstance(run.side, Unplanned) and run.side.refused:
        cases = [_case("run", name, "error", run.side.reason)]
    else:
        cases = [_case(check.name, name, None if check.ok else "failure", check.text) for check in run.limits]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
    }
    suite = ElementTree.Element("testsuite", {"name": name, **counts})
    suite.extend(cases)
    if isinstance(run.side, Planned) and run.side.uncounted:
        warnings = "\n".join(f"not counted: {words}" for words in in_words(run.side.uncounted))
        ElementTree.SubElement(suite, "system-out").text = _text(warnings)
    return suite


def _case(name: str, suite: str, outcome: str | None, text: str) -> ElementTree.Element:
    """One test; `outcome` is the element that says how it went wrong."""
    case = ElementTree.Element("testcase", {"name": _text(name), "classname": suite})
    if outcome is None:
        ElementTree.SubElement(case, "system-out").text = _text(text)
    else:
        ElementTree.SubElement(case, outcome, {"message": _text(text), "type": outcome}).text = _text(text)
    return case


def _sums(suites: Sequence[ElementTree.Element]) -> dict[str, str]:
    return {name: str(sum(int(suite.get(name, "0")) for suite in suites)) for name in ("tests", "failures", "errors")}


def _text(text: str) -> str:
    return _NOT_XML.sub(" ", text)
