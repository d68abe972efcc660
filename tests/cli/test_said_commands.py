"""What the README, the docs, and the hints in the sources tell people to type exists, flag by flag."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.cli.group import find_command, load
from builder.errors import UsageError

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = sorted((ROOT / "builder").rglob("*.py"))
_CALL = re.compile(r"(?:`|^\$ |^ {4})builder (?P<words>[a-z][^`\n#;|]*)", re.MULTILINE)


def said(path: Path) -> list[str]:
    """The command lines in a text, without `builder`."""
    return [found["words"].strip() for found in _CALL.finditer(path.read_text())]


def mistake(line: str) -> str:
    """What the command line parser says against it, or "" for a command line that it would take."""
    if line.split()[0] == "COMMAND":
        return ""
    try:
        name, arguments = find_command(line.split())
        load(name).make_context(name, arguments)
    except UsageError as error:
        return error.message
    return ""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_in_the_docs(path: Path) -> None:
    assert [(line, wrong) for line in said(path) if (wrong := mistake(line))] == []


def test_commands_in_hints() -> None:
    lines = [line for path in SOURCES for line in said(path)]
    assert len(lines) > 50
    assert [(line, wrong) for line in lines if (wrong := mistake(line))] == []
