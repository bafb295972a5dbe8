"""The table of faults names tests that exist, and the documentation shows what the data say."""

import ast
import json
from collections import Counter
from pathlib import Path

from tests import reliability
from tests.parallel import compared
from tests.pools import faults  # noqa: F401 - it adds checks
from tests.pools.conformance import CHECKS
from tests.reliability import Row

TESTS = Path(__file__).parent

REPORT = """<testsuites><testsuite>
<testcase classname="tests.core.test_a" name="test_one[x-[1]]"/>
<testcase classname="tests.core.test_a" name="test_one[y-twice]"><failure/></testcase>
<testcase classname="tests.core.test_a" name="test_two"><skipped/></testcase>
<testcase classname="tests.test_b" name="test_one"/>
<testcase classname="tests.test_b" name="test_one"><error/></testcase>
</testsuite></testsuites>"""


def defined(file):
    """Name the test functions of a file, those in a condition too."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_rows_are_numbered_and_each_has_tests_or_a_reason():
    assert list(range(1, 59)) == [row.number for row in reliability.ROWS]
    assert [] == [row.number for row in reliability.ROWS if bool(row.tests) == bool(row.left_out)]


def test_every_test_that_is_named_exists():
    names = {name for row in reliability.ROWS for name in row.tests}
    functions = {file: defined(file) for file in {name.partition("::")[0] for name in names}}
    named = [name.partition("[")[0].partition("::") for name in sorted(names)]

    assert [] == [f"{file}::{function}" for file, _, function in named if function and function not in functions[file]]
    assert all(functions.values())
    assert {name.partition("[")[2] for name in names if "[" in name} <= {f"{promise}]" for promise in CHECKS}


def between(page, name):
    _, mark, rest = page.read_text("utf-8").partition(f"<!-- {name} -->")
    text, other, _ = rest.partition(f"<!-- end of {name} -->")

    assert (mark, other) != ("", "")
    return text.strip()


def test_page_has_the_rows_of_the_data():
    lines = between(reliability.PAGE, "faults").splitlines()[2:]
    rows = [line.removesuffix(" |").rpartition(" | ") for line in lines]

    assert [reliability.known(row) for row in reliability.ROWS] == [known for known, _, _ in rows]
    assert [] == [known for known, _, result in rows if "failed" in result]


def test_comparison_on_the_pages_is_made_of_what_was_kept():
    data = json.loads(compared.DATA.read_text("utf-8"))

    assert compared.table(data) == between(reliability.PAGE, "comparison")
    assert compared.condensed(data) == between(TESTS.parent / "README.md", "comparison")


def test_outcomes_are_counted_by_function_and_by_file():
    found = reliability.outcomes(REPORT)

    assert Counter(passed=1, failure=1) == found["core/test_a.py::test_one"]
    assert Counter(failure=1) == found["core/test_a.py::test_one[y]"]
    assert Counter(passed=1, failure=1, skipped=1) == found["core/test_a.py"]
    assert Counter(passed=1, failure=1) == found["test_b.py::test_one"]


def test_result_says_what_passed_and_what_did_not():
    found = reliability.outcomes(REPORT) | {"b.py": Counter(passed=2, skipped=1)}
    row = lambda *tests, **left_out: Row(1, "", "", tests, **left_out)

    assert "2 passed, 2 skipped" == reliability.result(row("core/test_a.py::test_two", "b.py"), found)
    assert "**1 failed** of 3" == reliability.result(row("core/test_a.py"), found)
    assert "1 skipped, 1 not run" == reliability.result(row("core/test_a.py::test_two", "core/test_c.py"), found)
    assert "left out: it rained" == reliability.result(row(left_out="it rained"), found)
