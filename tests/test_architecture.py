"""Who may import whom: a row imports only from rows above it (and from itself where it is one folder), files never in a
circle. What files are called: one name is one idea.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "builder"

ROWS: tuple[tuple[str, ...], ...] = (
    ("version", "golang", "hashing", "source", "errors", "oci", "reference", "platforms", "attributes", "rooted",
     "http"),
    ("language",),
    ("lint",),
    ("plan",),
    ("layer", "store", "cache", "sandbox", "registry", "context"),
    ("solver",),
    ("images", "containers"),
    ("remotecache",),
    ("builds",),
    ("inspection",),
    ("api",),
    ("bake",),
    ("cli", "ui"),
)
"""Top to bottom. Rooms of one row may not import each other, but for the pairs in SIDEWAYS."""

SIDEWAYS = {
    ("attributes", "errors"), ("attributes", "golang"), ("attributes", "oci"), ("errors", "golang"),
    ("errors", "source"),
    ("oci", "errors"), ("oci", "hashing"), ("reference", "errors"), ("reference", "oci"), ("platforms", "errors"),
    ("platforms", "oci"), ("store", "layer"), ("context", "layer"), ("cache", "store"), ("registry", "store"),
    ("http", "version"), ("cli", "ui"),
}
MOST_LINES = 400

SAME_NAME = {
    "errors": "each room's errors",
    "__init__": "Python's name",
}
"""Names that files of several rooms may have, and why. A command (`cli/commands/`) bears the name of its idea."""


ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "builder":
            if node.module == "builder":
                found |= {alias.name for alias in node.names}
            else:
                found.add(_room(node.module))
        elif isinstance(node, ast.Import):
            found |= {_room(a.name) for a in node.names if a.name.startswith("builder.")}
    return found - {""}


def _modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.stem not in {"__init__", "__main__"}]


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_upwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    assert room in ROW_OF, f"{relative} is in no row of the table"
    for other in _imports(path) - {room}:
        assert other in ROW_OF, f"{relative} imports builder.{other}, which is in no row"
        allowed = ROW_OF[other] < ROW_OF[room] or (room, other) in SIDEWAYS
        assert allowed, f"{relative} (row {ROW_OF[room]}) imports builder.{other} (row {ROW_OF[other]})"


def test_files_are_short() -> None:
    files = [path for folder in (PACKAGE, PACKAGE.parent / "tests", PACKAGE.parent / "bench")
             for path in sorted(folder.rglob("*.py"))]
    long = {str(path.relative_to(PACKAGE.parent)): lines for path in files
            if (lines := len(path.read_text().splitlines())) > MOST_LINES}
    assert not long, "split these"


def test_a_name_of_a_file_means_one_thing() -> None:
    files = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[:2] != ("cli", "commands"):
            files[path.stem].append(str(relative))
    twice = {name: paths for name, paths in files.items() if len(paths) > 1}
    assert not {name: paths for name, paths in twice.items() if name not in SAME_NAME}
    assert twice.keys() >= SAME_NAME.keys(), "remove from the table what occurs once"


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports in functions and those for types count too: they hide a circle, and do not open it."""
    try:
        TopologicalSorter(_graph()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def _graph() -> dict[str, set[str]]:
    paths = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
             for path in PACKAGE.rglob("*.py")}
    return {module: _imported_files(path, paths.keys()) - {module} for module, path in paths.items()}


def _imported_files(path: Path, modules: Collection[str]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules else node.module for name in below}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & set(modules)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/where-to-change.md", "testdata/README.md"])
def test_pages_name_files_that_exist(page: str) -> None:
    text = (PACKAGE.parent / page).read_text()
    named = set(re.findall(r"\b(?:builder|grammar|testdata|bench|docs)/[\w/.-]*\w", text))
    assert sorted(name for name in named if "NAME" not in name and not (PACKAGE.parent / name).exists()) == []
