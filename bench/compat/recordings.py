"""`buildkit.txt`: what BuildKit gave for a case, as text that a diff shows well.

The first line is `fails`, and the message follows, or `builds`, and a line `KEY<tab>VALUE` follows for each line of
described.py; `builds over NAME`: but for what is equal in NAME.txt of testdata/bases, the image that the case starts
from. Lines with control characters are JSON.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from bench.compat.cases import TESTDATA, Result

RECORDING = "buildkit.txt"
BASES = TESTDATA / "bases"
ABSENT = "(absent)"


def read_recording(folder: Path) -> Result:
    """Raises FileNotFoundError where there is none."""
    first, _, rest = (folder / RECORDING).read_text(encoding="utf-8").partition("\n")
    if first == "fails":
        return Result(None, rest.strip())
    base = first.removeprefix("builds").removeprefix(" over ")
    lines = (base_lines(base) if base else {}) | _parsed(rest)
    return Result({key: value for key, value in lines.items() if value != ABSENT})


def write_recording(folder: Path, result: Result) -> None:
    """Over the base image where that is shorter."""
    if result.lines is None:
        text = f"fails\n{result.error}\n"
    else:
        base = base_lines("base")
        over = {key: result.lines.get(key, ABSENT) for key in [*result.lines, *(base.keys() - result.lines.keys())]
                if result.lines.get(key) != base.get(key)}
        shorter = len(over) < len(result.lines)
        text = f"builds over base\n{_text(over)}" if shorter else f"builds\n{_text(result.lines)}"
    (folder / RECORDING).write_text(text, encoding="utf-8", errors="backslashreplace")


@cache
def base_lines(name: str) -> dict[str, str]:
    return _parsed((BASES / f"{name}.txt").read_text(encoding="utf-8"))


def write_base(name: str, lines: dict[str, str]) -> None:
    (BASES / f"{name}.txt").write_text(_text(lines), encoding="utf-8")
    base_lines.cache_clear()


def _text(lines: dict[str, str]) -> str:
    """Config and history first, files last, by name."""
    ranked = sorted(lines.items(), key=lambda line: (line[0].startswith("file "), line[0]))
    return "".join(f"{_line(key, value)}\n" for key, value in ranked)


def _line(key: str, value: str) -> str:
    plain = f"{key}\t{value}"
    return plain if (key + value).isprintable() and key[:1] != "[" else json.dumps([key, value])


def _parsed(text: str) -> dict[str, str]:
    lines = {}
    for line in text.splitlines():
        key, value = json.loads(line) if line.startswith("[") else line.split("\t", 1)
        lines[key] = value
    return lines
