"""What git ignores, as git itself says of generated trees."""

from __future__ import annotations

import os
import random
import struct
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


def test_a_pipe_that_others_hold_open_is_no_ignore_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".gitignore")
    held = os.open(tmp_path / ".gitignore", os.O_RDWR | os.O_NONBLOCK)
    assert not GitIgnore(str(tmp_path)).ignores("a")
    os.write(held, b"a\n")
    assert not GitIgnore(str(tmp_path)).ignores("a")
    os.close(held)


def test_folders_that_are_called_like_ignore_files_stay_closed(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number) / ".gitignore").mkdir(parents=True)
    ignore = GitIgnore(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    assert not any(ignore.ignores(f"{number}/a") for number in range(20))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_path_may_be_deeper_than_python_calls_go(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(".env\n!kept/**\n")
    ignore = GitIgnore(str(tmp_path))
    assert ignore.ignores("a/" * 5000 + ".env")
    assert not ignore.ignores("kept/" + "a/" * 100 + ".env")


@pytest.mark.parametrize(("text", "path"), [
    ("*a" * 30 + "b\n", "a" * 250),
    ("*a*a*a*b\n" * 20, "a" * 250),
    ("**/*a/**/b\n" * 100, "a/" * 2000 + "x"),
    ("a" * 1_000_000, "x"),
    ("[" * 1_000_000, "x"),
    (("a" + " " * 4000 + "b/\n") * 100, "x"),
    ("".join(f"{number}*\n" for number in range(100_000)), "x"),
    ("\n" * 1_000_000, "x"),
], ids=["thirty stars", "four stars", "folders", "one long line", "classes", "blanks", "many", "empty lines"])
def test_no_file_takes_long(text: str, path: str, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(text)
    start = time.process_time()
    assert not GitIgnore(str(tmp_path)).ignores(path)
    assert time.process_time() - start < 2


def test_as_many_patterns_as_count_all_match(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("".join(f"*.name{number}\n" for number in range(5000)))
    ignore = GitIgnore(str(tmp_path))
    assert all(ignore.ignores(f"d/x.name{number}") for number in range(5000))
    assert not ignore.ignores("d/x.name5000")


def test_folders_full_of_patterns_do_not_add_up(tmp_path: Path) -> None:
    text = "".join(f"*a{number}*\n" for number in range(4000))
    for number in range(100):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / ".gitignore").write_text(text)
    ignore = GitIgnore(str(tmp_path))
    assert ignore.ignores("0/a7")
    assert not ignore.ignores("0/b")
    assert [ignore.ignores(f"{number}/a7") for number in range(100)] == [True] * 25 + [False] * 75


# -- indexes that lie ------------------------------------------------------------------------------------------------


def entry(name: bytes) -> bytes:
    """Of version 4, where `name` begins with how much of the name before it is gone."""
    return bytes(60) + struct.pack(">H", 0) + name + b"\0"


def whole(name: bytes) -> bytes:
    return entry(name)[:-1] + bytes(8 - (62 + len(name)) % 8)


@pytest.mark.parametrize(("version", "count", "entries", "tracked"), [
    (2, 1, [whole(b"a")], "a"),
    (2, 0xFFFFFFFF, [whole(b"a")], "a"),
    (2, 2, [whole(b"a"), whole(b"b")[:62]], "a"),
    (2, 2, [whole(b"a"), whole(b"d/" * 100_000)], "a"),
    (2, 0, [whole(b"a")], ""),
    (4, 2, [entry(b"\0ab"), entry(b"\1c")], "ab ac"),
    (4, 2, [entry(b"\0a"), entry(b"\2b")], "a"),
    (4, 2, [entry(b"\0a"), entry(b"\xff" * 1_000_000)], "a"),
    (4, 100_000, [entry(b"\0a"), *[entry(b"\0/a")] * 100_000], "a"),
], ids=["true", "count", "cut off", "long path", "none", "true 4", "prefix", "number", "growing"])
def test_an_index_that_lies_is_read_as_far_as_it_makes_sense(
        version: int, count: int, entries: list[bytes], tracked: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(b"DIRC" + struct.pack(">II", version, count) + b"".join(entries))
    (tmp_path / ".gitignore").write_text("*\n")
    start = time.process_time()
    ignore = GitIgnore(str(tmp_path))
    assert [name for name in ("a", "ab", "ac", "b") if not ignore.ignores(name)] == tracked.split()
    assert time.process_time() - start < 2


@pytest.mark.parametrize("size", range(12))
def test_an_index_without_a_whole_head_has_nothing(size: int, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes((b"DIRC" + bytes(8))[:size])
    assert not GitIgnore(str(tmp_path)).ignores("a")


def test_a_configuration_of_nothing_but_lines_takes_no_time(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("")
    git(tmp_path, "add", "a")
    (tmp_path / ".git" / "config").write_text("\n" * 100_000)
    (tmp_path / ".gitignore").write_text("*\n")
    start = time.process_time()
    assert not GitIgnore(str(tmp_path)).ignores("a")
    assert time.process_time() - start < 2


@pytest.mark.parametrize("named", [
    "/etc", "/dev", "/proc/self", ".git", "", "\0", "/", "../" * 1000, "x" * 5000, "/dev/zero", "nowhere"])
def test_a_git_file_may_name_anything(named: str, tmp_path: Path) -> None:
    (tmp_path / ".git").write_text(f"gitdir: {named}\n")
    (tmp_path / ".gitignore").write_text("a\n")
    ignore = GitIgnore(str(tmp_path))
    assert [ignore.ignores(path) for path in ("a", "b")] == [True, False]
