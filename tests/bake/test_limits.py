"""Definitions that ask for more than there is: an error with a place, soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from builder.bake.bakefiles import parse_files
from builder.bake.budget import LimitExceeded
from builder.bake.definition import resolve
from builder.bake.errors import BakeError
from builder.bake.hcl import parse_hcl
from builder.bake.inheritance import select
from builder.cli.main import main
from builder.source import Source

DOUBLED = 'a0 = "0123456789abcdef"\n' + "".join(f'a{n} = "${{a{n - 1}}}${{a{n - 1}}}"\n' for n in range(1, 60))
SHARED = "a0 = [1, 2]\n" + "".join(f"a{n} = [a{n - 1}, a{n - 1}]\n" for n in range(1, 60))
CALLS = "".join(f'function "f{n}" {{\n  params = [x]\n  result = {"x" if not n else f"f{n - 1}(x) + f{n - 1}(x)"}\n}}\n'
                for n in range(60))
LONG = 'long = join("", [for i in range(1000) : "aaaaaaaaaaaaaaaaaaaa"])\n'
BOMBS = {
    "a text doubled again and again": (DOUBLED, "a59"),
    "a list of lists that share everything": (SHARED, "jsonencode(a59)"),
    "such lists compared": (SHARED, "a59 == a58"),
    "such lists in a conditional": (SHARED, "jsonencode(true ? a59 : a58)"),
    "such a list as an argument of try": (SHARED, "try(jsonencode(a59), 1)"),
    "a product of lists": ("", "length(setproduct(range(1000), range(1000), range(1000)))"),
    "a product of many lists": ("", f"length(setproduct({', '.join(['[1, 2]'] * 60)}))"),
    "loops in loops": ("", "length([for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a]]])"),
    "a loop in a template": ("", '"%{ for a in range(1000) }%{ for b in range(1000) }%{ for c in range(9) }x%{ endfor }'
                                 '%{ endfor }%{ endfor }"'),
    "functions that call each other twice": (CALLS, "f59(1)"),
    "a replacement longer than what it replaces": (LONG, 'replace(replace(long, "a", long), "a", long)'),
    "a replacement of matches": (LONG, 'regex_replace(regex_replace(long, "a", long), "a", long)'),
    "a long separator": (LONG, 'join(join("", [for i in range(1000) : long]), [for i in range(1000) : ""])'),
    "much padding": ("", f'format("{"%9999d" * 3000}", {", ".join(["1"] * 3000)})'),
    "padding in lists": ("", 'formatlist("%9999d%9999d", range(1000), range(1000))'),
    "indentation": (LONG, 'indent(9999, replace(long, "a", "\\n"))'),
    "many matches that look far": (LONG, 'jsonencode([for i in range(1000) : regexall(".*b|a", long)])'),
    "powers": ("", "pow(10, 10000)"),
    "products": ("", "999999 * " * 90 + "1e3900"),
    "a thousand splats": ("", "jsonencode([1]" + "[*]" * 1000 + ")"),
    "arguments out of a list": (SHARED, "length(concat(a59...))"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_is_an_error_with_a_place(bomb: str) -> None:
    attributes, expression = BOMBS[bomb]
    text = f"{attributes}target \"t\" {{\n  args = {{ v = {expression} }}\n}}\n"
    start = time.monotonic()
    with pytest.raises(BakeError) as caught:
        resolve([parse_hcl(Source("x.hcl", text))], lambda name: None, {})
    assert caught.value.location is not None
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("expression", ['regex("(a+)+$$b", long)', 'regex("(a|a)*b", long)', 'regex("(.*)*x", long)'])
def test_no_pattern_backtracks(expression: str) -> None:
    start = time.monotonic()
    with pytest.raises(BakeError):
        resolve([parse_hcl(Source("x.hcl", f"{LONG}y = {expression}\n"))], lambda name: None, {})
    assert time.monotonic() - start < 5


def test_a_matrix_of_many_targets_is_an_error() -> None:
    lists = ", ".join(f"{name} = range(200)" for name in "abcd")
    text = f'target "t" {{\n  name = "t-${{a}}-${{b}}-${{c}}-${{d}}"\n  matrix = {{ {lists} }}\n}}\n'
    with pytest.raises(LimitExceeded, match="10,000 targets") as caught:
        resolve([parse_hcl(Source("x.hcl", text))], lambda name: None, {})
    assert str(caught.value.location) == "x.hcl:3:3"


def test_inheriting_twice_from_each_does_not_double_anything() -> None:
    text = 'target "t0" { tags = ["x"] }\n' + "".join(
        f'target "t{n}" {{ inherits = ["t{n - 1}", "t{n - 1}"] }}\n' for n in range(1, 60))
    config = resolve([parse_hcl(Source("x.hcl", text))], lambda name: None, {})
    assert select(config, ["t59"], [], {}).targets["t59"].tags == ("x",)


@pytest.mark.parametrize("text", [
    "x-a: &a0 [x, x]\n" + "".join(f"x-a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
    "x-a: " + "[" * 5000 + "]" * 5000 + "\n",
])
def test_aliases_in_yaml_do_not_multiply(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(BakeError):
        parse_files([Source("compose.yaml", text + "services: {a: {build: .}}\n")], {}, {})
    assert time.monotonic() - start < 20


def test_merges_in_yaml_do_not_multiply() -> None:
    text = "x-a: &a0 {x: 1}\n" + "".join(f"x-a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))
    config = parse_files([Source("compose.yaml", text + "services: {a: {build: .}}\n")], {}, {})
    assert [target.name for target in config.targets] == ["a"]


def test_a_doubling_dotenv_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    doubled = "".join(f"A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 60))
    (tmp_path / ".env").write_text(f"A0=xxxxxxxxxxxxxxxx\n{doubled}")
    (tmp_path / "compose.yaml").write_text("services: {a: {build: .}}\n")
    assert main(["bake", "--print"]) == 1
    assert "comes to more than 1 Mi characters" in capsys.readouterr().err
