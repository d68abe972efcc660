"""Values of expressions that no golden file of buildx 0.29 can hold, and the rules of compose's variables."""

from __future__ import annotations

import re

import pytest

from builder.bake.definition import resolve
from builder.bake.errors import BakeError
from builder.bake.hcl import parse_hcl
from builder.bake.interpolation import InvalidInterpolation, interpolate, parse_dotenv
from builder.source import Source

VERSIONS = [
    ("1.2.3", ">= 1.2", True), ("1.2.3", "~1.1 || ^2", False), ("2.0.0-rc.1", ">1.0", False),
    ("2.0.0-rc.1", ">1.0.0-0", True), ("v1.4.0", "1.x, !=1.3.0", True), ("0.2.5", "^0.2.3", True),
    ("0.3.0", "^0.2.3", False), ("1.5.0", "1.2 - 1.6", True), ("1.3.0", "1.x !=1.3.0", False),
    ("1.2.9", "~1.2.3", True),
    ("1.3.0", "~1.2.3", False), ("3.1", "*", True), ("0.0.3", "^0.0.3", True), ("0.0.4", "^0.0.3", False),
    ("1.2.3", "<=1.2", True), ("1.3.0", ">1.2", True), ("1.2.5", ">1.2", False), ("2.1.0", "=2.1.0", True),
]
VALUES = [
    ('formattimestamp("YYYY-MM-DD", 0)', "1970-01-01"), ('formattimestamp("X", "1970-01-02T00:00:00Z")', "86400"),
    ("unixtimestampparse(1690328596).rfc3339", "2023-07-25T23:43:16Z"),
    ("unixtimestampparse(0).weekday_name", "Thursday"),
    ('hasindex({ a = 1 }, "b")', "false"), ("length({ a = 1 })", "1"), ("10 / 3 * 3 == 10", "true"),
    ("9007199254740993 + 0", "9007199254740993"), ("0.1 + 0.2", "0.3"), ("-7 % 3", "-1"), ('"${null == null}"', "true"),
    ('upper("straße")', "STRAßE"), ('[for k, v in { b = 1, a = 2 } : k][0]', "a"), ('{ if = 1, for = 2 }.for', "2"),
    ('true ? "x" : [][0]', "x"), ('"a" == "a" && !(1 > 2)', "true"), ('try([][0], {}.x, "end")', "end"),
    ('semvercmp("1.0.0", "<2")', "true"), ('format("%-4s|%04d|%.2f", "a", 7, 2)', "a   |0007|2.00"),
]


def value(expression: str) -> str:
    body = parse_hcl(Source("x.hcl", f"target \"t\" {{\n  args = {{ v = {expression} }}\n}}\n"))
    return resolve([body], lambda name: None, {}).targets[0].args["v"]


@pytest.mark.parametrize(("version", "constraint", "wanted"), VERSIONS)
def test_versions_meet_constraints(version: str, constraint: str, wanted: bool) -> None:
    assert value(f'semvercmp("{version}", "{constraint}")') == str(wanted).lower()


@pytest.mark.parametrize(("expression", "wanted"), VALUES)
def test_value(expression: str, wanted: str) -> None:
    assert value(expression) == wanted


BUILDX = [
    ("1 / 3", "0." + "3" * 154 + "5"), ("length([1, 2, 3]) / strlen(\"1234567\")", "0.42857142857142857144"),
    ("pow(2, 0.5)", "1.4142135623730951"),
    ("pow(2, 0.5) * 3", "4.2426406871192854364238655762164853513240814208984375"),
    ('format("%v|%v|%g|%G", 1000000, 0.1, 1e30, 1e-10)', "1e+06|0.1|1e+30|1E-10"),
    ('format("%e|%.3g|%08.2f|%+d|%x", 12345.678, 12345.678, -3.14159, 5, 255)', "1.234568e+04|1.23e+04|-0003.14|+5|ff"),
    ("jsonencode([1e30, 1e-10])", "[1000000000000000000000000000000,0.0000000001]"),
    ('jsonencode(true ? [1, 2] : ["a"])', '["1","2"]'), ('jsonencode(true ? 1 : "x")', '"1"'),
    ('jsonencode(false ? { a = 1 } : { b = "x", c = true })', '{"b":"x","c":"true"}'),
    ('jsonencode(true ? [1, "x"] : ["a", 2])', '["1","x"]'),
    ('jsonencode(true ? { a = [1] } : { a = ["x"] })', '{"a":["1"]}'),
    ('jsonencode(true ? [] : split(",", "a"))', "[]"), ('jsonencode(true ? [1] : split(",", "a"))', '["1"]'),
    ('jsonencode(setunion([1], ["a"]))', '["1","a"]'), ('jsonencode(setproduct([1, "x"], [2]))', '[["1",2],["x",2]]'),
    ('upper("ßﬁᾳǆ")', "ßﬁᾼǄ"), ('lower("ΑΣ")', "ασ"), ('title("ab c-d ǆ")', "Ab C-D ǅ"),
    ('regex_replace("aaa", "a*", "x")', "x"), ('regex_replace("baac", "a*", "x")', "xbxcx"),
    ('jsonencode(regexall("a*", "baac"))', '["","aa",""]'), ('regex("\\\\pL+", "1é2")', "é"),
    ('regex_replace("a-b", "(\\\\w)-(?P<n>\\\\w)", "$n$1")', "ba"),
]


@pytest.mark.parametrize(("expression", "wanted"), BUILDX)
def test_is_what_buildx_says(expression: str, wanted: str) -> None:
    assert value(expression) == wanted


@pytest.mark.parametrize("expression", [
    'true ? [1] : "x"', "true ? { a = 1 } : { b = [1] }", "true ? 1 : false", 'true ? [1, "x"] : [true, 2]',
    'coalesce(1, [2])', 'format("%d", 1.5)',
    "contains([1], null)", "signum(0.5)", "hasindex(setunion([1], [2]), 0)", 'setunion([true], [1])',
])
def test_types_that_do_not_fit(expression: str) -> None:
    with pytest.raises(BakeError):
        value(f"jsonencode({expression})")


def test_random_ids_are_uuids_and_times_are_now() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", value("uuidv4()"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value("timestamp()"))


@pytest.mark.parametrize("expression", [
    "1 / 0", 'bcrypt("x")', 'regex("(", "x")', "range(5000)", '{ a = 1 }["b"]', '[1, 2][1.5]', '"x" + 1', "!5",
    '{ for v in ["a", "a"] : v => 1 }', 'jsondecode("{")', 'base64decode("?")', 'parseint("9", 8)', 'format("%d", [])',
    'cidrsubnet("10.0.0.0/30", 8, 1)', 'timeadd("today", "1h")', "[for x in 5 : x]", "[" * 300 + "]" * 300,
    "1e999999999", "1e-999999999", "1e" + "9" * 30, "9" * 5000, f'parseint("{"9" * 5000}", 10)', 'format("%d", 1e9999)',
    'jsondecode("{\\"a\\":1e999999999}")', '"a" == "a" ? "1e999999999" * 1 : 0', "pow(10, 4096)", f'[1].{"9" * 5000}',
    'cidrhost("10.0.0.0/8", 1.5)', 'chunklist(["a"], 1.5)', 'slice(["a", "b"], 0.5, 1)', 'substr("abc", 0.5, 1)',
    'element(["a"], 0.5)', 'indent(99999999999, "a\\nb")', 'csvdecode("a,b\\n\\"x")', 'base64decode("é")',
])
def test_no_value(expression: str) -> None:
    with pytest.raises(BakeError):
        value(expression)


@pytest.mark.parametrize(("text", "wanted"), [
    ("$A-${A}", "a-a"), ("$$A ${E:-d} ${E-d} ${N:-${A}x}", "$A d  ax"), ("${A:+set}${N:+set}${E+set}", "setset"),
    ("cost: 5$ $(x) $1", "cost: 5$ $(x) $1"), ("${N-a}b}", "ab}"),
])
def test_variables_of_compose_files(text: str, wanted: str) -> None:
    assert interpolate(text, {"A": "a", "E": ""}) == wanted


@pytest.mark.parametrize("text", ["${", "${A", "${A!x}", "${1}", "${N:?no}", "${N:-" * 60 + "}" * 60])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidInterpolation):
        interpolate(text, {"A": "a"})


def test_dotenv() -> None:
    text = "# c\nA=1\nexport B = 'x $A'\nC=\"l1\\nl2 ${A}\"\nD=bare # comment\nE=\nF=${OUT:-in}\r\nbad line\n"
    assert parse_dotenv(text, {"OUT": "out"}) == {
        "A": "1", "B": "x $A", "C": "l1\nl2 1", "D": "bare", "E": "", "F": "out"}


@pytest.mark.parametrize("expression", [
    r'"a\ud800"', r'"\U00110000"', r'"\q"', r'"\u12"', '"a\nb"', '"${"', '"%{ if true }x"', '"%{ for x in [1] }"',
    '"%{ x }"', '"%{ endif }"', '"%{ if true }%{ else }%{ else }%{ endif }"', "list.0.1", "[1 2]", "{a b}", "f(",
    "{a.b = 1}", "[*]", "<<EOT\nx\n", "~}", "1 ? 2", "a::b", "1.2.3", "[for in x : x]",
    "{for x in y : x}", "[for x in y : x => x]",
])
def test_no_expression(expression: str) -> None:
    with pytest.raises(BakeError) as caught:
        value(expression)
    assert caught.value.location is not None


def test_marks_strip_as_far_as_one_literal() -> None:
    assert value('"a ${~ 1 ~} b"') == "a1b"
    assert value('"a\\n %{~ if true ~} b \\n%{~ endif ~} \\n c"') == "abc"
    assert value("<<EOT\n  a \n  ${~ 1 ~} \n  b\nEOT\n") == "  a \n1  b\n"
    assert value("<<-EOT\n     ${~ 1 ~}\n    a\n      b\n     c\n    EOT\n") == "1    a\n      b\n     c\n"


def test_a_brackets_index_is_of_the_splat_and_not_of_its_elements() -> None:
    objects = "[{ a = { b = [1, 2] } }, { a = { b = [3, 4] } }]"
    assert value(f"jsonencode({objects}.*.a.b[1])") == "[3,4]"
    assert value(f"jsonencode({objects}[*].a.b[1])") == "[2,4]"
    assert value(f"jsonencode({objects}.*.a.b.1)") == "[2,4]"
