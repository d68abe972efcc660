"""LocalContext: what a build context shows, and what it hides."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.context.local import LocalContext, find_ignore_file
from builder.errors import ContextError
from builder.language.ignore import IgnoreRules

FILES = ("a.txt", "b.md", "README.md", "src/a.py", "src/a.pyc", "src/deep/b.py", "src/deep/x/c.py", "build/out/f",
         "build/keep/g", "docs/a.txt", "docs/b/c.txt", ".git/config", "empty/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(name)
    return tmp_path / "context"


def shown(root: Path, rules: str | None) -> list[str]:
    context = LocalContext(str(root), None if rules is None else IgnoreRules.parse(rules))
    return [entry.path for entry in context.walk("")]


@pytest.mark.parametrize(("rules", "hidden"), [
    (None, []),
    ("", []),
    ("*.md\n!README.md", ["b.md"]),
    ("src", ["src", "src/a.py", "src/a.pyc", "src/deep", "src/deep/b.py", "src/deep/x", "src/deep/x/c.py"]),
    ("**/*.pyc\n.git/", ["src/a.pyc", ".git", ".git/config"]),
    ("build\n!build/keep", ["build/out", "build/out/f"]),
    ("build/*\n!build/keep/g", ["build/out", "build/out/f"]),
    ("*\n!src/deep/**/*.py", [*(name for name in ("a.txt", "b.md", "README.md", "src/a.py", "src/a.pyc", "docs",
                                                  "docs/a.txt", "docs/b", "docs/b/c.txt", ".git", ".git/config",
                                                  "empty", "build", "build/out", "build/out/f", "build/keep",
                                                  "build/keep/g"))]),
    ("docs\n!docs/nothing", ["docs", "docs/a.txt", "docs/b", "docs/b/c.txt"]),
    ("empty", ["empty"]),
])
def test_hidden_paths(root: Path, rules: str | None, hidden: list[str]) -> None:
    assert sorted(set(shown(root, None)) - set(shown(root, rules))) == sorted(hidden)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([
    "*", "**", "src", "src/*", "!src", "!src/deep", "**/*.py", "!**/*.py", "!src/deep/x/c.py", "build", "!build/keep",
    "docs/**/c.txt", "?.txt", "!*/b", "!**/f", "*/deep",
]), max_size=4))
def test_a_path_is_there_if_the_walk_meets_it(root: Path, rules: list[str]) -> None:
    context = LocalContext(str(root), IgnoreRules.compile(rules))
    walked = [entry.path for entry in context.walk("")]
    everything = shown(root, None)
    assert [path for path in everything if context.lstat(path)] == walked
    for directory in ("", "src", "src/deep", "build"):
        if directory and directory not in walked:
            continue
        assert [entry.path for entry in context.children(directory)] == [
            path for path in walked if os.path.dirname(path) == directory]
    # rules decide for files; a directory is there for its own sake or for what is in it
    rule_set = IgnoreRules.compile(rules)
    for path in everything:
        below = [other for other in walked if other.startswith(path + "/")]
        assert (path in walked) == (not rule_set.excludes(path) or bool(below))


def test_walk_has_parents_first_and_siblings_sorted(root: Path) -> None:
    (root / "src-x").touch()
    (root / os.fsdecode(b"\xff")).touch()
    (root / "\U0001f40d").touch()
    walked = [os.fsencode(path) for path in shown(root, None)]
    assert walked == sorted(walked, key=lambda path: path.split(b"/"))


def test_entries_count_as_those_of_root_and_keep_the_rest(root: Path) -> None:
    os.chmod(root / "a.txt", 0o4640)
    context = LocalContext(str(root))
    assert context.root_owned
    entry = context.lstat("/src/../a.txt")
    assert entry is not None and entry.path == "a.txt" and f"{entry.root.path}/{entry.path}" == str(root / "a.txt")
    assert entry.stat.st_mode == stat.S_IFREG | 0o4640


def test_nothing_outside_is_reached(root: Path) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "out").symlink_to(root.parent)
    (root / "abs").symlink_to("/etc")
    (root / "in").symlink_to("/src")
    context = LocalContext(str(root))
    assert context.lstat("../secret") is None
    assert context.lstat("out/secret") is None
    assert context.lstat("abs/passwd") is None
    inside = context.lstat("in/a.py")
    assert inside is not None and inside.path == "src/a.py"
    assert {entry.path for entry in context.walk("")} & {"out/secret", "abs/passwd", "in/a.py"} == set()


def test_the_context_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert shown(link, None) == shown(root, None)


def test_rules_hold_behind_links(root: Path) -> None:
    (root / "in").symlink_to("src")
    context = LocalContext(str(root), IgnoreRules.parse("src/deep"))
    assert context.lstat("in/a.py") is not None
    assert context.lstat("in/deep/b.py") is None


def test_says_which_rule_hides_a_path(root: Path) -> None:
    context = LocalContext(str(root), IgnoreRules.parse("# x\nsrc\n!src/a.py"))
    assert context.excluded_by("src/deep/b.py") == "`.dockerignore` line 2: `src`"
    assert context.excluded_by("src/a.py") is None
    assert context.excluded_by("src/absent") is None


UNREADABLE = """
import os, sys
from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.errors import ContextError
from builder.language.ignore import IgnoreRules
os.setgid(1234); os.setuid(1234)
def attempt(rules):
    try:
        files = [e for e in LocalContext(sys.argv[1], IgnoreRules.parse(rules)).walk("") if e.is_file]
        print(len(Fingerprints(b"s").digests(files)))
    except ContextError as error:
        print(error.code, error.message, error.cause, sep=": ")
attempt(""); attempt("closed"); attempt("closed\\nfile")
"""


@pytest.mark.root
def test_unreadable_files_are_named_unless_hidden(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "open").write_text("x")
    (tmp_path / "file").write_text("x")
    os.chmod(tmp_path / "file", 0)
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/pytest"):
            os.chmod(path, 0o755)
    done = subprocess.run([sys.executable, "-c", UNREADABLE, str(tmp_path)], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.stdout.splitlines() == [
        "context-unreadable: cannot read `closed` in the build context: Permission denied",
        "context-unreadable: cannot read `file` in the build context: Permission denied",
        "1",
    ]


@pytest.mark.parametrize(("present", "dockerfile", "expected"), [
    ([], "Dockerfile", None),
    ([".dockerignore"], "Dockerfile", ".dockerignore"),
    ([".dockerignore"], "", ".dockerignore"),
    ([".containerignore"], "Dockerfile", ".containerignore"),
    ([".dockerignore", ".containerignore"], "Dockerfile", ".dockerignore"),
    ([".dockerignore", "Dockerfile.dockerignore"], "Dockerfile", "Dockerfile.dockerignore"),
    ([".dockerignore", "../x/web.dockerignore"], "../x/web", "../x/web.dockerignore"),
    ([".dockerignore", "Dockerfile.dockerignore"], "../x/web", ".dockerignore"),
    ([".dockerignore", "Containerfile.containerignore"], "Containerfile", "Containerfile.containerignore"),
])
def test_ignore_files(tmp_path: Path, present: list[str], dockerfile: str, expected: str | None) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "x").mkdir()
    for name in present:
        (context / name).write_text(name)
    found = find_ignore_file(str(context), str(context / dockerfile) if dockerfile else "")
    assert found == (None if expected is None else (str(context / expected), expected))


def test_an_ignore_file_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").mkdir()
    with pytest.raises(ContextError, match="cannot read"):
        find_ignore_file(str(tmp_path), "")


def test_deep_trees(tmp_path: Path) -> None:
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    for rules in (None, IgnoreRules.parse("x"), IgnoreRules.parse("d\n!**/nothing")):
        walked = list(LocalContext(str(tmp_path), rules).walk(""))
        assert len(walked) == (0 if rules and rules.has_exceptions else depth)
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
