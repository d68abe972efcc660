"""The cases of testdata/compat: what a builder makes of one, and how two builders' results are compared.

A case is a folder: a Dockerfile and what else belongs to the context, perhaps a `setup.sh` that is run there first, a
folder `www` that is served, `buildkit.txt` (what BuildKit gave, see recordings.py), and `compat.json`:

    args       flags of both builders
    context    what to build instead of the folder; `-` reads the file named by `stdin`
    env        variables of both builders
    output     further attributes of --output
    error      both must fail; words that both messages hold
    compare    also `layer-paths` (which layer holds what) or `diff-ids`
    explained  differences that docs/compatibility.md explains, as beginnings of report lines
    live       why BuildKit's result says too much about its machine to be recorded

Placeholders: `@BASE@` and `@IMAGES@/NAME` are the images of testdata/bases; `@CONTEXT@` is the folder, `@HTTP@` and
`@GIT@` serve `www`. Results hold the placeholders again, so that those of two machines can be compared.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from os import utime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bench.compat.described import describe

TESTDATA = Path(__file__).resolve().parents[2] / "testdata"
NOT_CONTEXT = ("compat.json", "buildkit.txt")
LATELY = 7 * 86400
LONGEST = 2000
TIME = re.compile(r" @\d+")
LOCATION = re.compile(r"\S*Dockerfile\S*:\d+$")
PROGRESS = re.compile(r"^(#\d+ )?\d+\.\d+ ")
REF = re.compile(r"\b(ref|vertex|session) \S+")


class Ran(msgspec.Struct, frozen=True):
    status: int
    stdout: str
    stderr: str


class Build(Protocol):
    """A builder's build command: runs it with these arguments in /tmp."""

    def __call__(self, arguments: list[str], *, stdin: Path | None, env: Mapping[str, str]) -> Ran: ...


class Result(msgspec.Struct, frozen=True):
    """The lines of described.py and the findings of the check by key; None where the build fails, with `error`."""

    lines: dict[str, str] | None
    error: str = ""


class Case(msgspec.Struct, frozen=True):
    folder: Path
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """AREA/CASE."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def read_case(folder: Path) -> Case:
    file = folder / "compat.json"
    return Case(folder, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def all_cases(words: str = "") -> list[Case]:
    """The cases whose name holds `words`."""
    return [case for case in map(read_case, sorted((TESTDATA / "compat").glob("*/*"))) if words in case.name]


class Trial:
    """A case's files, ready to be built. `placeholders` are their values, without @CONTEXT@."""

    def __init__(self, case: Case, folder: Path, placeholders: Mapping[str, str]) -> None:
        self.case = case
        self.folder = folder
        self.context = folder / "context"
        values = {name: value.replace("@NAME@", case.name) for name, value in placeholders.items()}
        self._placeholders = {**values, "@CONTEXT@": str(self.context)}
        self._values = sorted(self._placeholders.items(), key=lambda pair: -len(pair[1]))
        self._start = int(time.time()) - LATELY

    def prepare(self) -> None:
        """Copies the case; modes and times are the same whatever the checkout's are. Raises CalledProcessError."""
        shutil.copytree(self.case.folder, self.context, symlinks=True, ignore=self._not_context)
        for path in [self.context, *self.context.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            utime(path, follow_symlinks=False)
        if (self.context / "setup.sh").exists():
            subprocess.run(["bash", "-euc", "umask 022; . ./setup.sh"], cwd=self.context, check=True,
                           capture_output=True)
            (self.context / "setup.sh").unlink()
        if (self.context / "www").exists():
            (self.context / "www").rename(self.folder / "www")
        for dockerfile in self.context.rglob("*Dockerfile"):
            if dockerfile.is_file():
                dockerfile.write_bytes(self._filled(dockerfile.read_bytes().decode("latin-1")).encode("latin-1"))

    def build(self, build: Build) -> Result:
        """Builds, and where that succeeds, checks: the warnings of a short build come too late for buildx's display."""
        spec = self.case.spec
        output = self.folder / "image.tar"
        output.unlink(missing_ok=True)
        arguments = [self._filled(argument) for argument in spec.get("args", [])]
        attributes = "".join(f",{attribute}" for attribute in spec.get("output", "").split(",") if attribute)
        built = self._run(build, ["--progress", "plain", "--output", f"type=oci,dest={output}{attributes}", *arguments])
        if built.status != 0:
            return Result(None, self._emptied(message(built.stderr, spec.get("error", []))))
        lines = describe(output, self._start, frozenset(spec.get("compare", ())), self._emptied)
        checked = self._run(build, ["--call", "check,format=json", *arguments])
        return Result({self._emptied(key): shortened(self._emptied(value))
                       for key, value in (lines | warnings(checked.stdout)).items()})

    def _not_context(self, folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name in NOT_CONTEXT and folder == str(self.case.folder)]

    def _run(self, build: Build, arguments: list[str]) -> Ran:
        stdin = self.context / self.case.spec["stdin"] if "stdin" in self.case.spec else None
        context = self._filled(self.case.spec.get("context", "@CONTEXT@"))
        return build([*arguments, context], stdin=stdin, env=self.case.spec.get("env", {}))

    def _filled(self, text: str) -> str:
        for placeholder, value in self._placeholders.items():
            text = text.replace(placeholder, value)
        return text

    def _emptied(self, text: str) -> str:
        for placeholder, value in self._values:
            text = text.replace(value, placeholder)
        return text


@contextmanager
def trial(case: Case, scratch: Path, placeholders: Mapping[str, str]) -> Iterator[Trial]:
    """A prepared Trial in `scratch`, which is removed in the end. Raises CalledProcessError where setup.sh fails."""
    opened = Trial(case, scratch / case.name, placeholders)
    try:
        opened.prepare()
        yield opened
    finally:
        shutil.rmtree(opened.folder, ignore_errors=True)


def differences(case: Case, ours: Result, theirs: Result) -> list[str]:
    """The differences that nothing explains, and explanations without a difference."""
    lines = _differences(case.spec, ours, theirs)
    explained = tuple(case.spec.get("explained", ()))
    unexplained = [line for line in lines if not (explained and line.startswith(explained))]
    return unexplained + [f"explained, but the same: {beginning}" for beginning in explained
                          if not any(line.startswith(beginning) for line in lines)]


def _differences(spec: Mapping[str, Any], ours: Result, theirs: Result) -> list[str]:
    if ours.lines is None and theirs.lines is None:
        if "error" not in spec:
            return [f"both fail: {theirs.error}"]
        return [f"{who}: the message lacks {word!r}: {text}"
                for who, text in (("ours", ours.error), ("theirs", theirs.error))
                for word in spec["error"] if word.lower() not in text.lower()]
    if ours.lines is None:
        return [f"only ours fails: {ours.error}"]
    if theirs.lines is None:
        return [f"only theirs fails: {theirs.error}"]
    if "error" in spec:
        return ["both build, an error was expected"]
    return [f"{key}: ours {ours.lines.get(key, '(absent)')}, theirs {theirs.lines.get(key, '(absent)')}"
            for key in sorted(ours.lines.keys() | theirs.lines.keys())
            if not are_equal(ours.lines.get(key), theirs.lines.get(key))]


def are_equal(one: str | None, other: str | None) -> bool:
    """Whether lines of described.py are; of times of directories only those that neither builder has touched."""
    if one and other and one.startswith("dir ") and ("@" in one) != ("@" in other):
        return TIME.sub("", one) == TIME.sub("", other)
    return one == other


def message(stderr: str, words: list[str]) -> str:
    """The last ERROR of an output, the line of the Dockerfile, and lines that alone hold one of `words`."""
    lines = [REF.sub(r"\1 ID", PROGRESS.sub("", line.strip())) for line in stderr.splitlines() if line.strip(" -")]
    starts = [number for number, line in enumerate(lines) if line.lower().startswith("error")]
    last = lines[starts[-1]:] if starts else lines[-8:]
    last = [line for line in lines if LOCATION.match(line)][-1:] + last
    missing = [word for word in words if word.lower() not in "\n".join(last).lower()]
    found = [line for line in lines if any(word.lower() in line.lower() for word in missing)]
    return "\n".join([*dict.fromkeys(found), *last])


def shortened(value: str) -> str:
    if len(value) <= LONGEST:
        return value
    digest = sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{value[:100]}... ({len(value)} characters, sha256 {digest[:16]})"


def warnings(checked: str) -> dict[str, str]:
    """The answer to --call=check,format=json as lines."""
    found = json.loads(checked).get("warnings") or [] if checked.startswith("{") else []
    return {f"warning {warning['ruleName']} line {warning['location']['ranges'][0]['start']['line']}: "
            + warning["detail"]: "given" for warning in found}
