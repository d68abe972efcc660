"""What git ignores, as git itself says of generated trees."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from builder.context.gitignore import GitIgnore

NAMES = ("a", "b", "ab", "a.b", ".c", "build")
PATTERNS = ("a", "b", "*", "a*", "?b", "*.b", ".c", "build", "[ab]", "**", "a/b", "**/a", "a/**", "build/*", "**/b/**",
            "a/**/b", "[!a]*", "\\a", "build ", "a\\ ", "*a*b*", "/*/b", "#a", "")


def git(folder: Path, *arguments: str, text: str = "") -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *arguments], cwd=folder, env=environment, input=text, capture_output=True,
                          text=True, check=False).stdout


def generated(generator: random.Random, top: Path) -> list[str]:
    """A tree with ignore files; the paths of all that is in it, directories with a slash."""
    git(top, "init", "-q")
    paths = {"/".join(generator.choice(NAMES) for _ in range(generator.randint(1, 4))) for _ in range(40)}
    for path in sorted(paths):
        if not (top / path).exists() and not any((top / parent).is_file() for parent in list(Path(path).parents)[:-1]):
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text("")
    folders = [top, *(path for path in sorted(top.rglob("*")) if path.is_dir() and ".git" not in path.parts)]
    for folder in generator.sample(folders, min(3, len(folders))):
        (folder / ".gitignore").write_text("".join(
            f"{generator.choice(('', '', '!'))}{generator.choice(('', '', '/'))}{generator.choice(PATTERNS)}"
            f"{generator.choice(('', '', '/'))}\n" for _ in range(generator.randint(1, 5))))
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "exclude").write_text(f"{generator.choice(PATTERNS)}\n")
    if generator.random() < 0.5:
        git(top, "add", "-f", *generator.sample([str(path.relative_to(top)) for path in top.rglob("*")
                                                 if path.is_file() and ".git" not in path.parts], 2))
        git(top, "update-index", "--index-version", str(generator.choice((2, 4))))
    return [f"{path.relative_to(top)}{'/' if path.is_dir() else ''}" for path in sorted(top.rglob("*"))
            if ".git" not in path.parts]


@pytest.mark.parametrize("seed", range(30))
def test_git_says_the_same_of_every_path(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    paths = generated(generator, tmp_path)
    tracked = git(tmp_path, "ls-files").split("\n")
    names = [path.rstrip("/") for path in paths]
    said = set(git(tmp_path, "check-ignore", "--stdin", text="\n".join(names)).split("\n"))
    ignore = GitIgnore(str(tmp_path))
    for path, name in zip(paths, names, strict=True):
        is_dir = path.endswith("/")
        if not (is_dir and any(file.startswith(path) for file in tracked)):
            assert ignore.ignores(name, is_dir=is_dir) == (name in said), path


def test_a_directory_in_a_work_tree_is_under_the_rules_above_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("/app/dist\n*.log\n")
    app = tmp_path / "app"
    app.mkdir()
    ignore = GitIgnore(str(app))
    assert [ignore.ignores(path) for path in ("dist", "x.log", "src")] == [True, True, False]


def test_without_a_repository_the_directory_is_the_top(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("\ufeff*.log\r\n!\n[\n")
    ignore = GitIgnore(str(tmp_path))
    assert [ignore.ignores(path) for path in ("x.log", "src")] == [True, False]


def test_a_second_work_tree_has_its_own_index_and_the_common_excludes(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    git(first, "init", "-q")
    git(first, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    git(first, "worktree", "add", "-q", "../second")
    second = tmp_path / "second"
    (first / ".git" / "info" / "exclude").write_text("*.log\n")
    (second / "kept.log").write_text("")
    git(second, "add", "-f", "kept.log")
    ignore = GitIgnore(str(second))
    assert [ignore.ignores(path) for path in ("x.log", "kept.log", "src")] == [True, False, False]


def test_links_and_pipes_are_no_ignore_files(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("a\n")
    (tmp_path / ".gitignore").symlink_to("rules")
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d" / ".gitignore")
    ignore = GitIgnore(str(tmp_path))
    assert not ignore.ignores("a")
    assert not ignore.ignores("d/a")


def test_no_pattern_takes_long(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*a" * 30 + "b\n")
    start = time.perf_counter()
    assert not GitIgnore(str(tmp_path)).ignores("a" * 250)
    assert time.perf_counter() - start < 1

