"""The XML of a check, held to the schema that CI systems read: junit-10.xsd of Jenkins' xUnit plugin."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.trainer_configs import Setting
from reports.checks import CheckedRun, LimitCheck, Limits, check_run
from reports.checks.junit import junit
from reports.comparison import Unplanned
from tests.reports.comparison.sides import planned, with_uncounted

SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
    ),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name"},
        {"time", "classname", "group"},
    ),
    "failure": (set(), set(), {"type", "message"}),
    "error": (set(), set(), {"type", "message"}),
    "system-out": (set(), set(), set()),
}
"""Element -> the elements in it, attributes that it must have, and that it may."""

SIDE = planned()
GOOD = CheckedRun(SIDE, check_run(SIDE, Limits(memory_gib=20)))
BROKEN = CheckedRun(SIDE, check_run(SIDE, Limits(memory_gib=0.5)))
ABSTAINED = Unplanned("b.yaml", "how it trains is not known", refused=False)
REFUSED = CheckedRun(Unplanned("c.yaml", "c.yaml is empty; give the config of a run", refused=True), ())


def valid(text: str) -> ElementTree.Element:
    """The root of a document that the schema allows."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        within, must, may = SCHEMA[element.tag]
        assert {child.tag for child in element} <= within
        assert must <= set(element.keys()) <= must | may
    return root


def test_each_run_is_a_suite_and_each_limit_a_case() -> None:
    abstained = CheckedRun(ABSTAINED, check_run(ABSTAINED, Limits(headroom=0.1)))
    root = valid(junit([GOOD, BROKEN, abstained, REFUSED]))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "3", "1")
    good, broken, unanswered, refused = root
    assert good.get("name") == "a.yaml on RTX4090"
    assert [case.get("name") for case in good] == ["verdict", "memory_gib"]
    assert (good.get("tests"), good.get("failures"), good.get("errors")) == ("2", "0", "0")
    failure = broken.find("testcase[@name='memory_gib']/failure")
    assert failure is not None and failure.text == BROKEN.limits[1].text == failure.get("message")
    assert unanswered.get("failures") == "2"
    error = refused.find("testcase/error")
    assert error is not None and error.text == "c.yaml is empty; give the config of a run"


def test_what_no_figure_counts_is_in_the_suites_output() -> None:
    side = with_uncounted(planned(), Setting("torch_compile", True, ""))
    root = valid(junit([CheckedRun(side, check_run(side, Limits()))]))
    assert root.findtext("testsuite/system-out") == "not counted: torch_compile true"


@settings(max_examples=60)
@given(st.text(), st.text())
def test_any_text_comes_back_without_what_no_xml_may_hold(name: str, reason: str) -> None:
    check = LimitCheck("verdict", False, reason, "fits", None, None)
    root = valid(junit([CheckedRun(Unplanned(name, reason, refused=False), (check,))]))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    shown = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", reason)
    # an attribute's line breaks and tabs are written as references, so that they are no spaces when it is read
    assert failure.get("message") == shown
    assert (failure.text or "").replace("\r\n", "\n") == shown.replace("\r\n", "\n").replace("\r", "\n")
