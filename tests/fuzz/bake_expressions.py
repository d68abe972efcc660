# ruff: noqa: E501
"""Random bake expressions: what buildx makes of them is what builder has to make of them.

    python tests/fuzz/bake_expressions.py --seconds 600 [--seed N]      compares with `docker buildx bake --print`
    python tests/fuzz/bake_expressions.py --record FILE --count 2000    writes what buildx says, for the tests

An expression stands in `try(jsonencode(EXPRESSION), "no value")`, so that one that has no value fails nothing else;
many go into one file. What the two disagree on is printed; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

from builder.bake.definition import resolve
from builder.bake.errors import BakeError
from builder.bake.hcl import parse_hcl
from builder.source import Source

BATCH = 150
VARIABLES = """
variable "num" { default = 7 }
variable "neg" { default = -2.5 }
variable "text" { default = "a b-C" }
variable "word" { default = "größe" }
variable "yes" { default = true }
variable "list" { default = ["x", "y", "z"] }
variable "nums" { default = [3, 1, 2] }
variable "objs" { default = [{a = {b = [1, 2]}, c = "p"}, {a = {b = [3, 4]}, c = "q"}] }
variable "obj" { default = {k = "v", n = 1, l = [1, "2"]} }
variable "nothing" { default = null }
function "twice" {
  params = [x]
  result = "${x}${x}"
}
"""
NUMBERS = ("0", "1", "2", "3", "10", "0.5", "1.25", "-1", "-0.1", "1e3", "2.5e-3", "100000000000000000000", "num", "neg",
           "1.5", "0.1", "12345.678", "-7")
WORDS = ("a", "b", "x", "A b", "", " lead", "trail ", "a,b,c", "1", "1.50", "true", "null", "größe", "ß", "ÀÉ", "l1\\nl2",
         "tab\\there", "q\\\"q", "back\\\\slash", "$${x}", "%%{y}", "$", "100%", "$5", "é", "日本", "a.b.c",
         "v1.2.3", "/usr/local/bin", "x=1", "ǆ", "ﬁ", "İ", "\\u00e9", "a$$b")
NUMERIC = ("absolute({n})", "ceil({n})", "floor({n})", "int({n})", "max({n}, {n})", "min({n}, {n}, {n})", "signum({n})",
           "strlen({s})", "length({l})", "add({n}, {n})", "subtract({n}, {n})", "multiply({n}, {n})", "divide({n}, {n})",
           "modulo({n}, {n})", "negate({n})", "pow({n}, {n})", "log({n}, {n})", "parseint({s}, 10)",
           "parseint(\"ff\", 16)", "indexof({l}, {v})", "({n} + {n})", "({n} - {n})", "({n} * {n})", "({n} / {n})",
           "({n} % {n})", "-{n}", "-({n})", "nums[{i}]", "objs.0.a.b[{i}]", "element(nums, {i})", "({b} ? {n} : {n})",
           "convert({s}, number)", "num", "obj.n", "length(objs)")
TEXTS = ("upper({s})", "lower({s})", "title({s})", "reverse({s})", "trimspace({s})", "chomp({s})", "join({s}, {l})",
         "format(\"{f}\", {v})", "format(\"{f}|{f}\", {v}, {v})", "replace({s}, {s}, {s})", "substr({s}, {i}, {i})",
         "trim({s}, {s})", "trimprefix({s}, {s})", "trimsuffix({s}, {s})", "indent({i}, {s})", "sha256({s})",
         "md5({s})", "base64encode({s})", "urlencode({s})", "jsonencode({v})", "list[{i}]", "element(list, {i})",
         "({b} ? {s} : {s})", "\"${{{v}}}\"", "\"{w}${{{v}}}{w}\"", "\"{w} ${{~ {v} ~}} {w}\"", "\"{w}\\n${{~ {v} }} {w}\"",
         "\"%{{ if {b} }}{w}%{{ else }}{w}%{{ endif }}\"", "\" %{{~ if {b} ~}} {w} %{{~ else ~}} {w} %{{~ endif ~}} \"",
         "\"%{{ for x in {l} }}{w}${{x}}%{{ endfor }}\"", "\"%{{ for k, x in {l} ~}} ${{k}}=${{x}} %{{ endfor ~}} {w}\"",
         "twice({s})", "regex_replace({s}, \"{r}\", \"{w}\")", "regex(\"{r}\", {s})", "convert({n}, string)", "obj.k",
         "basename({s})", "dirname({s})", "sanitize({s})", "timeadd(\"2020-01-02T03:04:05Z\", \"{d}\")",
         "formatdate(\"YYYY-MM-DD hh:mm:ss ZZZ\", \"2020-01-02T03:04:05Z\")", "coalesce({s}, {s})",
         "uuidv5(\"dns\", {s})", "text", "word")
BOOLS = ("{n} == {n}", "{n} < {n}", "{n} >= {n}", "{s} == {s}", "{s} != {s}", "!({b})", "({b}) && ({b})",
         "({b}) || ({b})", "{l} == {l}", "contains({l}, {v})", "{v} == {v}", "can({v})", "hasindex({l}, {i})", "yes",
         "equal({v}, {v})", "and({b}, {b})", "{o} == {o}", "{v} == null", "not({b})", "lessthan({n}, {n})")
LISTS = ("list", "nums", "objs", "[{v}, {v}]", "[{v}]", "[]", "[{n}, {s}]", "[{v}, {v}, {v},]", "concat({l}, {l})",
         "distinct({l})", "reverselist({l})", "flatten({l})", "sort({l})", "compact({l})", "split({s}, {s})",
         "range({i})", "range({n}, {n})", "slice({l}, 0, {i})", "chunklist({l}, {i})", "keys({o})", "values({o})",
         "setunion({l}, {l})", "setintersection({l}, {l})", "setsubtract({l}, {l})", "setproduct({l}, {l})",
         "[for x in {l} : x]", "[for i, x in {l} : i]", "[for i, x in {l} : \"${{i}}${{x}}\" if i != 1]",
         "[for k, x in {o} : k]", "objs[*].a", "objs[*].a.b[{i}]", "objs.*.a.b", "objs.*.a.b[{i}]", "objs.*.c",
         "objs[*].a[*].b", "{v}[*]", "{v}.*", "objs.*.a.b.{i}", "({b} ? {l} : {l})", "regexall(\"{r}\", {s})",
         "convert({l}, list(string))", "convert({l}, set(string))", "coalescelist({l}, {l})", "obj.l",
         "formatlist(\"{f}\", {l})", "jsondecode(\"[1, \\\"a\\\", null, 1.50]\")", "nothing[*]",
         "csvdecode(\"a,b\\n1,2\\n3,4\")", "zipmap({l}, {l})")
OBJECTS = ("obj", "{{}}", "{{a = {v}}}", "{{a = {v}, b = {v}}}", "{{\"{w}\" = {v}}}", "{{a: {v}, \"b\": {v},}}",
           "{{({s}) = {v}}}", "{{\n  a = {v}\n  b = {v}\n}}", "merge({o}, {o})", "{{for x in {l} : x => x}}",
           "{{for i, x in {l} : i => x}}", "{{for x in {l} : \"k\" => x...}}", "{{for k, x in {o} : x => k if k != \"a\"}}",
           "({b} ? {o} : {o})", "objs[{i}]", "objs[{i}].a", "zipmap({l}, {l})", "jsondecode(\"{{\\\"a\\\":[1]}}\")",
           "convert({o}, map(string))", "{{true = {v}, null = {v}}}", "{{num = {v}}}")
ANY = ("null", "nothing", "({b} ? {v} : {v})", "{l}[{i}]", "{o}[\"a\"]", "{o}.a", "element({l}, {i})", "try({v}, {v})",
       "lookup({o}, \"a\", {v})", "coalesce({v}, {v})", "max({l}...)", "index({l}, {i})")
FORMATS = ("%s", "%d", "%v", "%q", "%t", "%e", "%g", "%f", "%x", "%X", "%o", "%b", "%#v", "%5s", "%-5s|", "%05d", "%+d",
           "% d", "%.2f", "%8.3f", "%.3s", "%E", "%G", "%.0f", "%5.1e", "%.3g", "%%", "%c", "%6t", "%#x", "%-8q|", "%08.2f",
           "%+.1f", "%3v", "%[1]s", "%[2]v", "%*d")
PATTERNS = ("a", "[a-z]+", "([a-z])([a-z])", "(?P<n>[a-z]+)", "^", "$", "\\\\w+", "\\\\s", "x*", ".", "(a|b)+", "[^a-z]", "\\\\d{{2}}",
            "(?i)A", "\\\\pL", "\\\\bb", "(a)|(b)", "[[:upper:]]", "a?")
DURATIONS = ("1h", "-1h", "90m", "1.5h", "24h30m", "1s", "1500ms", "x")


class Generator:
    """Expressions from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def expression(self) -> str:
        kind = self._random.choice("nsblov")
        text = self._of(kind, self._random.randint(1, 4))
        return self._heredoc(text) if self._random.random() < 0.06 else text

    def _heredoc(self, inner: str) -> str:
        pick = self._random.choice
        lines = []
        for _ in range(self._random.randint(1, 5)):
            indent = " " * self._random.randint(0, 4)
            lines.append(indent + pick((
                "plain", "", "  more", f"${{{inner}}}", f"x ${{~ {inner} ~}} y", f"${{~ {inner} ~}}", f"a ${{{inner} ~}}",
                f"%{{ if {self._of('b', 1)} ~}}", "%{ endif ~}", "$${no}", "tail\t", "\\n", "$", "%", "\"q\"")))
        opened = sum("%{ if" in line for line in lines)
        body = "\n".join([*lines, *["%{ endif }"] * opened])
        return f"<<{pick(('', '-'))}EOT\n{body}\n{pick(('', '  '))}EOT\n"

    def _of(self, kind: str, depth: int) -> str:
        pick = self._random.choice
        if kind == "i":
            return pick(("0", "1", "2", "3"))
        if kind == "v":
            kind = pick("nnsssbblov")
        if depth <= 0 or (kind in "ns" and self._random.random() < 0.25):
            match kind:
                case "n":
                    return pick(NUMBERS)
                case "s":
                    return f'"{pick(WORDS)}"'
                case "b":
                    return pick(("true", "false", "yes"))
                case "l":
                    return pick(("list", "nums", "[]", "[1, 2]", '["a"]', '["b", "a", "b"]', "objs", "[1, \"x\"]"))
                case "o":
                    return pick(("obj", "{}", "{a = 1}", '{a = "x", b = true}', "{c = [1]}"))
            return pick(("null", "nothing", "1", '"x"', "true"))
        forms = {"n": NUMERIC, "s": TEXTS, "b": BOOLS, "l": LISTS, "o": OBJECTS, "v": ANY}[kind]
        return self._filled(pick(forms), depth - 1)

    def _filled(self, form: str, depth: int) -> str:
        out, position = "", 0
        while position < len(form):
            if form.startswith(("{{", "}}"), position):
                out, position = out + form[position], position + 2
            elif form[position] == "{":
                out, position = out + self._hole(form[position + 1], depth), position + 3
            else:
                out, position = out + form[position], position + 1
        return out

    def _hole(self, name: str, depth: int) -> str:
        pick = self._random.choice
        match name:
            case "w":
                return pick(WORDS)
            case "f":
                return pick(FORMATS)
            case "r":
                return self._filled(pick(PATTERNS), 0)
            case "d":
                return pick(DURATIONS)
        if self._random.random() < 0.04:
            name = "v"
        text = self._of(name, depth)
        return f"({text})" if name in "lov" and text.startswith(("-", "!")) else text


def definition(expressions: list[str]) -> str:
    args = "".join(f'  e{at} = try(jsonencode(\n{each}\n), "no value")\n' for at, each in enumerate(expressions))
    return f"{VARIABLES}\ntarget \"t\" {{\n  args = {{\n{args}  }}\n}}\n"


def builders(expressions: list[str]) -> list[str]:
    """What builder says of each."""
    try:
        args = resolve([parse_hcl(Source("x.hcl", definition(expressions)))], lambda name: None, {}).targets[0].args
    except BakeError as error:
        if len(expressions) == 1:
            return [f"invalid: {error.message}"]
        half = len(expressions) // 2
        return builders(expressions[:half]) + builders(expressions[half:])
    return [args.get(f"e{at}", "null") for at in range(len(expressions))]


def buildx(expressions: list[str], docker: str) -> list[str]:
    """What buildx says of each; a file that it refuses is halved until the one at fault is alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "docker-bake.hcl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(definition(expressions))
        done = subprocess.run([docker, "buildx", "bake", "-f", path, "--print", "t"], capture_output=True, cwd=folder)
    if done.returncode == 0:
        args = json.loads(done.stdout)["target"]["t"].get("args", {})
        return [args.get(f"e{at}", "null").replace("$${", "${").replace("%%{", "%{") for at in range(len(expressions))]
    if len(expressions) == 1:
        return ["invalid: " + done.stderr.decode(errors="replace").strip().splitlines()[-1]]
    half = len(expressions) // 2
    return buildx(expressions[:half], docker) + buildx(expressions[half:], docker)


def same(ours: str, theirs: str) -> bool:
    """Whether they agree; buildx takes the words of nested types for variables, which builder does not."""
    return ours == theirs or "variable cycle" in theirs or (ours.startswith("invalid: ") and theirs.startswith("invalid: "))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--docker", default="docker")
    parser.add_argument("--record")
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    start, tried, bad = time.monotonic(), 0, 0
    recorded: list[tuple[str, str]] = []
    generator = Generator(options.seed)
    while tried < options.count if options.record else time.monotonic() < start + options.seconds:
        expressions = [generator.expression() for _ in range(BATCH)]
        tried += len(expressions)
        rows = list(zip(expressions, builders(expressions), buildx(expressions, options.docker), strict=True))
        recorded += [(expression, theirs) for expression, _, theirs in rows]
        for expression, ours, theirs in rows:
            if not same(ours, theirs):
                bad += 1
                print(f"{expression}\n    buildx:  {theirs}\n    builder: {ours}", flush=True)
    if options.record:
        with open(options.record, "w", encoding="utf-8") as file:
            json.dump([row for row in recorded if not row[1].startswith("invalid: ")], file, ensure_ascii=False, indent=0)
    print(f"seed {options.seed}: {tried} expressions, {bad} differ", file=sys.stderr)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
