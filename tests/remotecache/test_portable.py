"""Portable keys: equal where the result is, on any machine; different as soon as anything that it depends on is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.api import Builder
from builder.builds.options import BuildOptions
from builder.context.fingerprints import Sha256Digests
from builder.context.local import LocalContext
from builder.plan.vertices import SourceContext
from builder.remotecache.portable import portable_keys

DOCKERFILE = """\
FROM scratch AS tools
COPY tools /
FROM scratch
ARG VERSION=1
ENV A=$VERSION
WORKDIR /srv
COPY --chown=1:2 --chmod=750 src/ /srv/
COPY --from=tools /bin /bin
RUN --mount=type=bind,source=data,target=/data --mount=type=cache,target=/c --network=none ["/bin/make", "all"]
USER app
RUN --mount=type=bind,from=tools,source=/lib,target=/lib ["/bin/test"]
"""


def _keys(folder: Path, dockerfile: str = DOCKERFILE, **options: object) -> list[str | None]:
    """Keys of the vertices, as a machine of its own would have them; those of local files left out."""
    (folder / "Dockerfile").write_text(dockerfile)
    with Builder(str(folder.parent / f"{folder.name}-state")) as builder:
        (plan,) = builder._target(BuildOptions(context=str(folder), **options)).plans()  # type: ignore[arg-type]
        steps = portable_keys(plan, {"context": LocalContext(str(folder))}, Sha256Digests(), {})
    return [step.key if step else None for step, vertex in zip(steps, plan.vertices, strict=True)
            if not isinstance(vertex.op, SourceContext)]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return _context(tmp_path / "one")


def _context(folder: Path) -> Path:
    for name in ("tools/bin/make", "tools/lib/so", "src/a.c", "src/sub/b.c", "data/d"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_two_machines_have_the_same_keys(context: Path, tmp_path: Path) -> None:
    other = _context(tmp_path / "two")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    keys = _keys(context)
    assert keys == _keys(other)
    assert None not in keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("old", "new", "first"), [
    ("ARG VERSION=1", "ARG VERSION=2", 4),
    ("--chown=1:2", "--chown=1:3", 2),
    ("--chmod=750", "--chmod=751", 2),
    ("src/ /srv/", "src/ /srv/x/", 2),
    ("WORKDIR /srv", "WORKDIR /src", 1),
    ('"all"', '"some"', 4),
    ("--network=none", "", 4),
    ("source=data", "source=src", 4),
    ("target=/c", "target=/d", 4),
    ("from=tools,source=/lib", "from=tools,source=/bin", 5),
    ("USER app", "USER www", 5),
    ("COPY tools /", "COPY tools /opt/", 0),
])
def test_a_change_of_the_dockerfile(context: Path, old: str, new: str, first: int) -> None:
    before, after = _keys(context), _keys(context, DOCKERFILE.replace(old, new))
    changed = [index for index, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert changed
    assert changed[0] == first
    assert changed[-1] == len(before) - 1, "what lies above the change has another key, too"


@pytest.mark.parametrize(("change", "is_seen"), [
    (lambda folder: (folder / "src/a.c").write_text("other"), True),
    (lambda folder: (folder / "src/sub/b.c").chmod(0o755), True),
    (lambda folder: (folder / "src/new").symlink_to("a.c"), True),
    (lambda folder: (folder / "src/sub/b.c").rename(folder / "src/b.c"), True),
    (lambda folder: (folder / "data/e").mkdir(), True),
    (lambda folder: (folder / "tools/lib/so").write_text("x"), True),
    (lambda folder: (folder / "unused").write_text("x"), False),
    (lambda folder: os.utime(folder / "src/a.c", (5, 5)), False),
])
def test_a_change_of_the_context(context: Path, change: object, is_seen: bool) -> None:
    before = _keys(context)
    change(context)  # type: ignore[operator]
    assert (_keys(context) != before) == is_seen


def test_a_linked_copy_does_not_look_below(context: Path) -> None:
    one = _keys(context, "FROM scratch\nWORKDIR /a\nCOPY --link src /x\n")
    two = _keys(context, "FROM scratch\nWORKDIR /b\nCOPY --link src /x\n")
    assert one[0] != two[0]
    assert one[-1] == two[-1]


def test_a_folder_of_this_machine_is_known_nowhere_else(context: Path) -> None:
    keys = _keys(context, DOCKERFILE, volumes=("/srv:/host",))
    assert keys[4] is None
    assert keys[-1] is None


def test_what_is_wrong_is_left_to_solving(context: Path) -> None:
    assert _keys(context, "FROM scratch\nCOPY nope /\nRUN [\"x\"]\n") == [None, None]
