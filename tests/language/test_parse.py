"""Dockerfiles and what the parser makes of them: a case is a folder of testdata/parse or testdata/parse-errors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from builder.errors import DockerfileError, DockerfileErrors
from builder.language.instructions import Dockerfile
from builder.language.parser import parse
from builder.language.syntaxdump import dump
from builder.source import Source

TESTDATA = Path(__file__).parents[2] / "testdata"


def _cases(kind: str) -> list[Path]:
    return sorted((TESTDATA / kind).iterdir())


def _source(case: Path) -> Source:
    with open(case / "Dockerfile", encoding="utf-8", newline="") as file:
        return Source("Dockerfile", file.read())


def _compare(golden: Path, text: str, update: bool) -> None:
    if update:
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("case", _cases("parse"), ids=lambda case: case.name)
def test_parse(case: Path, update_golden: bool) -> None:
    dockerfile = parse(_source(case))
    _compare(case / "ast.txt", dump(dockerfile), update_golden)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(dockerfile), type=Dockerfile) == dockerfile


@pytest.mark.parametrize("case", _cases("parse-errors"), ids=lambda case: case.name)
def test_parse_errors(case: Path, update_golden: bool) -> None:
    with pytest.raises(DockerfileErrors) as caught:
        parse(_source(case))
    _compare(case / "errors.txt", "".join(map(_shown, caught.value.errors)), update_golden)


def _shown(error: DockerfileError) -> str:
    assert error.location is not None
    span = error.location.span
    lines = [f"{span.line}:{span.column}-{span.end_line}:{span.end_column} [{error.code}] {error.message}"]
    lines += [f"  note: {note}" for note in error.notes]
    lines += [f"  hint: {error.hint}"] if error.hint else []
    return "\n".join(lines) + "\n"
