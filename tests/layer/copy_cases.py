"""The cases of testdata/copy: reading them, and their instructions as ops."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from builder.plan.vertices import Copy, CopySource, MakeDirectory

CASES = Path(__file__).parents[2] / "testdata" / "copy"
CONTEXT = (CASES / "context.txt").read_text()
BASE = (CASES / "base.txt").read_text()
CONTEXT_MTIME = 2000
BASE_MTIME = 1000
_HEADING = re.compile(r"^-- (\w+) --\n", re.MULTILINE)


def case_names() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.txt") if path.name not in ("context.txt", "base.txt"))


def read_case(name: str) -> dict[str, str]:
    """The sections of a case by their names; what stands before the first one is its description."""
    description, *parts = _HEADING.split((CASES / f"{name}.txt").read_text())
    return {"": description, **dict(zip(parts[::2], parts[1::2], strict=True))}


def ops(steps: str, *, has_parent: bool) -> Iterator[Copy | MakeDirectory]:
    """The instructions as the planner makes them; only what the cases use."""
    user = ""
    for line in steps.splitlines():
        keyword, *words = shlex.split(line)
        if keyword == "USER":
            user = words[0]
        elif keyword == "WORKDIR":
            yield MakeDirectory(path=words[0], user=user)
        else:
            yield _copy(keyword, words, has_parent)
        has_parent = True


def _copy(keyword: str, words: list[str], has_parent: bool) -> Copy:
    flags = [word[2:].partition("=") for word in words if word.startswith("--")]
    *paths, destination = [word for word in words if not word.startswith("--")]
    values = {name: value for name, _, value in flags}
    mode = values.get("chmod", "")
    return Copy(
        sources=tuple(CopySource(input=0, paths=(path,), unpack=keyword == "ADD") for path in paths),
        destination=destination if destination.startswith("/") else f"/{destination}",
        has_parent=has_parent, owner=values.get("chown"), mode=mode, parents="parents" in values,
        exclude=tuple(value for name, _, value in flags if name == "exclude"),
        link="link" in values and not mode,
    )
