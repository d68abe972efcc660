"""S10 in bake files."""

from __future__ import annotations

from .check import Verdict, check, right_if
from .lab import Lab
from .s_bombs import QUICK, SMALL, ended

RANGE = "range(1000)"
DEFINITIONS = {
    "hcl-doubling": ("variables that double", "\n".join(
        ['variable "a0" { default = "xxxxxxxxxx" }',
         *(f'variable "a{n}" {{ default = "${{a{n - 1}}}${{a{n - 1}}}" }}' for n in range(1, 40)),
         'target "default" { args = { A = a39 } }'])),
    "list-doubling": ("lists that double by concat", "\n".join(
        ['variable "a0" { default = [1, 2, 3, 4] }',
         *(f'variable "a{n}" {{ default = concat(a{n - 1}, a{n - 1}) }}' for n in range(1, 40)),
         'target "default" { args = { A = length(a39) } }'])),
    "setproduct": ("setproduct of three ranges of 1,000",
                   f'target "default" {{ args = {{ A = length(setproduct({RANGE}, {RANGE}, {RANGE})) }} }}'),
    "range": ("a range of a billion", 'target "default" { args = { A = length(range(1000000000)) } }'),
    "nested-for": ("three for expressions over a range of 1,000 in one another",
                   'target "default" { args = { A = length(flatten([for a in range(1000): [for b in range(1000): '
                   '[for c in range(1000): c]]])) } }'),
    "matrix": ("a matrix of 200^4", "variable \"v\" { default = [for n in range(200): \"v${n}\"] }\n"
               'target "default" { name = "t-${a}-${b}-${c}-${d}"\n matrix = { a = v, b = v, c = v, d = v } }'),
    "regex": ("regex that backtracks exponentially",
              'target "default" { args = { A = length(regexall("(a+)+$", "' + "a" * 40 + '!")) } }'),
    "regex_replace": ("regex_replace that backtracks exponentially",
                      'target "default" { args = { A = regex_replace("' + "a" * 40 + '!", "(a|aa)+$", "x") } }'),
    "regex-nested": ("regex with nested stars",
                     'target "default" { args = { A = length(regexall("^(([a-z])+.)+[A-Z]([a-z])+$", "'
                     + "a" * 45 + '")) } }'),
    "format-width": ("format with a width of a billion",
                     'target "default" { args = { A = format("%1000000000d", 1) } }'),
    "indent": ("indent by a billion", 'target "default" { args = { A = indent(1000000000, "a\\nb") } }'),
    "function": ("a function that calls itself",
                 'function "f" { params = [n]\n result = f(n) }\ntarget "default" { args = { A = f(1) } }'),
}


def _bomb(lab: Lab, text: str) -> Verdict:
    (lab.dir / "docker-bake.hcl").write_text(text + "\n")
    done = lab.run("bake", "--print", memory=SMALL)
    return ended(done, "docker-bake.hcl", "matrix", "setproduct", "range", "regex", "format", "indent", "function")


for _name, (_what, _text) in DEFINITIONS.items():
    check("S10", f"bake-{_name}", f"bake: {_what}", _text, seconds=QUICK)(_bomb)


@check("S10", "bake-regex-groups", "a regular expression of bake's still finds what Go's finds", seconds=QUICK)
def regex_groups(lab: Lab) -> Verdict:
    (lab.dir / "docker-bake.hcl").write_text(
        'target "default" { args = { A = join(",", regex("(\\\\d+)-(\\\\w+)", "x 12-ab y"))\n'
        ' B = regex_replace("a1b22", "([a-z])(\\\\d+)", "$2$1") } }\n')
    done = lab.run("bake", "--print")
    return right_if('"A": "12,ab"' in done.out and '"B": "1a22b"' in done.out, done.out or done.last)
