# ruff: noqa: E501
"""Random texts that grow: Dockerfiles and bake definitions that ask for more than there is, tried in a child process.

Each ends soon and in little memory, with a result or with an error that names a place.
"""

from __future__ import annotations

import os
import random
import resource
import select as polling
import signal
import time
import traceback
from collections.abc import Callable

from builder.bake.bakefiles import parse_files
from builder.bake.inheritance import select
from builder.errors import BuilderError
from builder.source import Source
from tests.plan.test_plan import DEBIAN, planned

SECONDS = 30
MEMORY = 2 << 30
"""Of addresses: Python and what it has loaded take a tenth of that."""
DEPTHS = (3, 50, 90, 110, 1000, 20_000)
WORDS = ("${X}${Y}", "$X$X", "${X//a/$Y}", "${X/a/$Y}", "${X//?/$Y}", "${X//*/$Y}", "${X:-$Y$Y}", "${X:+$Y$Y}", "${X##*a}",
         "${X%%a*}", "${X//*a*a*a*a*a*b/c}", "${X##*a*a*a*a*a*a*a*b}", "${X//[a-z]*[a-z]*[a-z]*0/$Y}", "\"$X $Y\"", "'$X'$Y",
         "a\\$X$Y", "${none:-$Y}$X", "${none+$X}$Y", "${X#$Y}", "${X//$Y/$X}", "$X$Y", "${X//a/$Y$Y$Y}$X")
LINES = ("ENV {n}={w}", "ENV {n}={w}", "ENV {n}={w}", "ARG {n}={w}", "ARG {n}={w}", "ENV {n}={w}\nENV {n}=${n}${n}",
         "LABEL k{c}={w}", "LABEL {w}={w}", "RUN echo {w}", "RUN <<E\n{w}\nE", "COPY <<E /x{c}\n{w}\nE", "COPY {w} /x/",
         "ADD --chmod=755 {w} {w}", "COPY --from=x --exclude={w} {w} /", "COPY --chown={w} a /b", "WORKDIR {w}", "USER {w}",
         "EXPOSE {w}", "VOLUME {w}", "STOPSIGNAL {w}", "CMD [\"{w}\"]", "HEALTHCHECK CMD {w}", "ONBUILD ENV {n}={w}",
         "SHELL [\"{w}\", \"-c\"]", "RUN --mount=type=bind,from=x,source={w},target=/m true", "FROM x\nENV {n}={w}",
         "RUN --mount=type=cache,id={w},target=/{w} true", "ENTRYPOINT {w}", "COPY --from={w} a /b", "MAINTAINER {w}",
         "ADD https://h/{w} /x", "RUN --mount=type=secret,id={w} true")
TRIGGERS = ("ENV {n}={w}", "ARG {n}={w}", "LABEL {n}={w}", "COPY --from=debian /a /b", "COPY --from=other /a /b",
            "RUN --mount=from=debian,target=/x {w}", "RUN {w}", "WORKDIR {w}", "COPY <<E /x\n{w}\nE")
TEXTS = ("\"${{s}}${{s}}\"", "\"{w} ${{v}}\"", "join({s}, {l})", "replace({s}, \"a\", {s})", "replace({s}, \"\", {s})",
         "regex_replace({s}, \"a|b\", {s})", "regex_replace({s}, \"(a*)*b\", \"$1$1$1\")", "format(\"%{p}s%s\", {s}, {s})",
         "jsonencode({v})", "jsonencode([{v}, {v}])", "base64encode({s})", "urlencode({s})", "reverse({s})", "upper({s})",
         "indent({p}, {s})", "twice({s})", "again({s}, {p})", "true ? {s} : {s}", "try({v}, {s})", "trim({s}, {s})",
         "substr({s}, 0, {p})", "\"${pow({p}, {p})}\"", "\"${{p} * {p} + {p}}\"", "\"${1e{p}}\"", "sha512({s})",
         "\"%{ for x in {l} }%{ for y in {l} }${x}%{ endfor }%{ endfor }\"", "<<E\n${{s}}\n${{s}}\nE\n", "title({s})",
         "\"${length({l})}${strlen({s})}\"", "\"${{l} == {l}}${{s} == {s}}\"", "\"${can(regex({s}, {s}))}\"", "element({l}, 1)",
         "format(\"%s%v%q\", {s}, {v}, {s})", "trimspace({s})", "sanitize({s})", "csvdecode({s})[0]", "bcrypt({s}, 31)")
LISTS = ("[{v}, {v}]", "concat({l}, {l})", "[for x in {l} : [for y in {l} : x]]", "[for x in {l} : {s}]", "[{s}, {s}]",
         "formatlist(\"%s%{p}s\", {l}, \"x\")", "setproduct({l}, {l})", "setproduct({l}, {l}, {l}, {l})", "range({p})",
         "jsondecode(jsonencode({l}))", "flatten([{l}, {l}])", "distinct({l})", "sort({l})", "split(\"\", {s})",
         "split(\"a\", {s})", "many({v}, {v})", "many({l}...)", "[{l}, {l}][*]", "chunklist({l}, 1)", "setunion({l}, {l})",
         "values({for x in {l} : x => {v}...})", "keys({a = {v}, b = {l}})", "regexall(\"a|b|\", {s})", "regexall({s}, {s})",
         "reverselist({l})", "[for i in range({p}) : {v}]", "values(merge({a = {v}}, {b = {v}}))", "{l} == {l} ? {l} : {l}",
         "[for x in {l} : x if x != {s}]", "values(zipmap(distinct({l}), distinct({l})))", "slice({l}, 0, 1)")
FUNCTIONS = """
function "twice" {
  params = [x]
  result = "${x}${x}"
}
function "many" {
  params = [x]
  variadic_params = rest
  result = concat([x], rest, rest)
}
function "again" {
  params = [x, n]
  result = n > 0 ? again("${x}${x}", n - 1) : x
}
"""


class Texts:
    """Texts from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._pick = self._random.choice

    # -- Dockerfiles ----------------------------------------------------------------------------------------------

    def dockerfile(self) -> tuple[str, list[str]]:
        """With the triggers of its base image."""
        names = ["a0"]
        text = f"ARG a0={self._filling()}\n"
        if self._pick((True, False, False)):
            text += self._lines(("ARG {n}={w}",), names)
        text += f"FROM {self._pick(('debian', 'debian', '$a0', 'debian:$a1'))} AS x\n" * self._pick((1, 1, 1, 2, 500))
        text += "ARG a0\n" if self._pick((True, False)) else f"ENV a0={self._filling()}\n"
        text += self._lines(LINES, names)
        if self._pick((True, False, False, False)):
            depth = self._pick(DEPTHS)
            text += "ENV d=" + "${a0:-" * depth + "x" + "}" * depth + "\n"
        triggers = self._lines(TRIGGERS, names).split("\n\n") if self._pick((True, False, False)) else []
        return text, [line.replace("\n\n", "") for line in triggers if line.strip()]

    def _lines(self, kinds: tuple[str, ...], names: list[str]) -> str:
        lines = []
        for _ in range(self._random.randint(1, 6)):
            kind, step = self._pick(kinds), self._pick((0, 1))
            for _ in range(self._pick((1, 1, 8, 40, 40, 200))):
                word = self._word(names)
                if step:
                    names.append(f"a{len(names)}")
                lines.append(kind.replace("{n}", names[-1]).replace("{w}", word).replace("{c}", str(len(lines))))
        return "\n".join(lines) + "\n"

    def _word(self, names: list[str]) -> str:
        word = self._pick(WORDS).replace("X", names[-1]).replace("Y", self._pick(names[-3:]))
        return word * self._pick((1, 1, 1, 1, 3, 100))

    def _filling(self) -> str:
        return self._pick(("a", "ab", "0123456789", "aaaaaaaaab", "%s")) * self._pick((1, 5, 200, 20_000))

    # -- bake -----------------------------------------------------------------------------------------------------

    def bake(self) -> tuple[str, str]:
        """A name and a text."""
        if self._random.random() < 0.15:
            return self._nested()
        count = self._pick((2, 5, 20, 60, 60, 400))
        texts, lists = ([self._pick(kinds) for _ in range(self._random.randint(1, 3))] for kinds in (TEXTS, LISTS))
        lines = [self._first()]
        for number in range(1, count):
            lines += [f"s{number} = {self._value(self._pick(texts), number - 1)}",
                      f"l{number} = {self._value(self._pick(lists), number - 1)}"]
        args = self._pick((f"s{count - 1}", f"jsonencode(l{count - 1})", f"length(l{count - 1})"))
        matrix = ""
        if self._random.random() < 0.25:
            first = self._pick(("range(300)", f"l{count - 1}", "[1, 2]"))
            second = self._pick(("range(300)", f'split("a", s{count - 1})', "[1]"))
            matrix = f'  name = "t-${{m}}-${{n}}"\n  matrix = {{ m = {first}, n = {second} }}\n'
        return "docker-bake.hcl", FUNCTIONS + "\n".join(lines) + f'\ntarget "t" {{\n{matrix}  args = {{ v = {args} }}\n' \
            f"  tags = [{args}]\n}}\n"

    def _first(self) -> str:
        text = self._pick((self._filling(), self._filling(), "(a|b)*", "a", "1,2"))
        return f's0 = "{text}"\nl0 = {self._pick(("[1, 2, 3]", "[s0, s0]", "range(1000)", "split(s0, s0)"))}'

    def _value(self, kind: str, last: int) -> str:
        before = max(0, last - self._pick((0, 0, 1)))
        for hole, value in (("{v}", f"{self._pick('sl')}{last}"), ("{s}", f"s{before}"), ("{l}", f"l{before}"), ("{w}", "w"),
                            ("{p}", self._pick(("2", "9", "1000", "9999", "100000", "999999999")))):
            kind = kind.replace(hole, value)
        return kind

    def _nested(self) -> tuple[str, str]:
        """Chains and brackets, of all depths."""
        depth = self._pick(DEPTHS)
        chain = "".join(f'target "t{n + 1}" {{ inherits = ["t{n}"] }}\n' for n in range(depth))
        groups = "".join(f'group "g{n + 1}" {{ targets = ["g{n}", "g{n}"] }}\n' for n in range(depth))
        defaults = "".join(f'variable "v{n + 1}" {{ default = "${{v{n}}}x" }}\n' for n in range(depth))
        linked = "".join(f'target "t{n + 1}" {{ contexts = {{ a = "target:t{n}" }} }}\n' for n in range(depth))
        calls = "".join(f'function "f{n + 1}" {{\n  params = [x]\n  result = f{n}(x)\n}}\n' for n in range(depth))
        end = f'target "t" {{ inherits = ["t{depth}"] }}\ntarget "t0" {{ args = {{ v = "1" }} }}\n'
        opened, closed = self._pick((("[", "]"), ("(", ")"), ("{a = ", "}"), ("upper(", ")"), ("!", ""), ("-", ""),
                                     ("\"${", "}\""), ("1 + ", ""), ("true ? 1 : ", ""), ("[for x in [1] : ", "]"),
                                     ("", ".a"), ("", "[0]"), ("", "[*]"), ("1 == ", ""), ("", " + 1")))
        return self._pick((
            ("docker-bake.hcl", chain + end), ("docker-bake.hcl", linked + end),
            ("docker-bake.hcl", groups + f'group "g0" {{ targets = ["t0"] }}\ngroup "t" {{ targets = ["g{depth}"] }}\n'
             'target "t0" {}\n'),
            ("docker-bake.hcl", f'variable "v0" {{ default = "a" }}\n{defaults}target "t" {{ args = {{ v = v{depth} }} }}\n'),
            ("docker-bake.hcl", f'function "f0" {{\n  params = [x]\n  result = x\n}}\n{calls}'
             f'target "t" {{ args = {{ v = f{depth}("a") }} }}\n'),
            ("docker-bake.hcl", f'x = {opened * depth}"1"{closed * depth}\ntarget "t" {{ args = {{ v = jsonencode(x) }} }}\n'),
            ("docker-bake.hcl", 'target "t" {\n' * depth + "}\n" * depth),
            ("docker-bake.json", '{"target": {"t": {"args": {"v": ' + '[{"a": ' * depth + "1" + "}]" * depth + "}}}}"),
            ("docker-bake.json", '{"x": "' + "${upper(" * depth + ")}" * depth + '", "target": {"t": {}}}'),
            ("compose.yaml", "services: {t: {build: {context: ., args: {v: " + "{a: " * depth + "1" + "}" * depth + "}}}}\n"),
            ("compose.yaml", "services: {t: {build: {context: ., args: {v: '" + "${x:-" * depth + "}" * depth + "'}}}}\n"),
            ("compose.yaml", "".join(f"{' ' * n}a{n}:\n" for n in range(min(depth, 3000))) + "services: {t: {build: .}}\n"),
        ))


def attempt(work: Callable[[], object], *, seconds: int = SECONDS) -> str:
    """How `work` ends in a process that may use MEMORY: "result", "error", or what is wrong with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.write(writer, _ended(work).encode(errors="replace")[:4000])
        finally:
            os._exit(0)
    os.close(writer)
    ended = "it was killed"
    if polling.select([reader], [], [], seconds)[0]:
        ended = os.read(reader, 4096).decode(errors="replace") or ended
    else:
        ended = f"it takes more than {seconds} s"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    return ended


def _ended(work: Callable[[], object]) -> str:
    try:
        work()
    except BuilderError as error:
        has_place = error.location is not None or "services." in " ".join((error.message, *error.notes))
        return "error" if has_place else f"no place: {type(error).__name__} {error.message[:300]}"
    except BaseException:
        return traceback.format_exc(limit=-6)
    return "result"


def plan_dockerfile(text: str, triggers: list[str]) -> None:
    planned(text, base={**DEBIAN, "config": {"OnBuild": triggers}} if triggers else None)


def read_bake(name: str, text: str) -> None:
    select(parse_files([Source(name, text)], {}, {}), ["t"], [], {})


def check(seed: int) -> tuple[str, float]:
    """How one text ends, and after how many seconds."""
    texts = Texts(seed)
    start = time.monotonic()
    if seed % 2:
        dockerfile, triggers = texts.dockerfile()
        return attempt(lambda: plan_dockerfile(dockerfile, triggers)), time.monotonic() - start
    name, text = texts.bake()
    return attempt(lambda: read_bake(name, text)), time.monotonic() - start
