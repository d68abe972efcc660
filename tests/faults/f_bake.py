"""F5: expressions of a bake file; the values are those that docker buildx bake --print shows."""

from __future__ import annotations

import json

from .check import Verdict, check, right_if
from .lab import Lab

VALUES = {
    "splat-index": ('join(",", [{a = {b = [1, 2]}}, {a = {b = [3, 4]}}].*.a.b[1])', "3,4"),
    "strip": ('"a ${~ "x" ~} b"', "axb"),
    "strip-alone": ('"${~ "x" ~}"', "x"),
    "heredoc": ('<<-X\n    one\n      two ${~ "x" ~}\n    three\n    X\n', "one\n  twox    three\n"),
    "arms": ('jsonencode(true ? 1 : "a")', '"1"'),
    "arms-of-lists": ('jsonencode(true ? [1] : ["a"])', '["1"]'),
    "format-e": ('format("%e", 12345.678)', "1.234568e+04"),
    "format-g": ('format("%g", 1e21)', "1e+21"),
    "format-d": ('try(format("%d", 1.5), "refused")', "refused"),
    "format-mixed": ('format("%5.2f|%-5s|%05d|%x", 3.14159, "ab", 42, 255)', " 3.14|ab   |00042|ff"),
    "upper": ('upper("ß")', "ß"),
    "lower": ('lower("İ")', "i"),
    "title": ('title("hello wOrld")', "Hello WOrld"),
    "pow": ("pow(2, 0.5)", "1.4142135623730951"),
}


def _value(lab: Lab, expression: str, expected: str) -> Verdict:
    # a literal list in a splat is what a variable's default is
    (lab.dir / "docker-bake.hcl").write_text(f'target "default" {{\n args = {{\n A = {expression}\n }}\n}}\n')
    done = lab.run("bake", "--print")
    if done.code:
        return right_if(False, done.last)
    seen = json.loads(done.out)["target"]["default"]["args"]["A"]
    return right_if(seen == expected, seen)


for _name, (_expression, _expected) in VALUES.items():
    check("F5", _name, "an expression of bake has another value than in buildx", _expression, _expected)(_value)
