"""The Dockerfiles that `lint` and `fmt` are given: found, read, and written back."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

from builder.builds.inputs import DEFAULT_NAMES, MAX_DOCKERFILE, default_dockerfile
from builder.errors import ContextError, UsageError
from builder.source import Source

STDIN = "-"
_NAMES = frozenset({*DEFAULT_NAMES, "containerfile"})
_IGNORE = ("dockerignore", "containerignore")


class CannotRead(ContextError):
    code = "cannot-read"

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"cannot read `{path}`", cause=cause)


class NothingNamed(UsageError):
    def __init__(self, command: str) -> None:
        super().__init__("no Dockerfile is given, and only files that are named are changed",
                         hint=f"name it: `builder {command} .` is for the Dockerfiles here, `-` for standard input")


def find_dockerfiles(arguments: Sequence[str]) -> list[str]:
    """The paths that are meant: a directory stands for all Dockerfiles in its tree but those that git ignores, no
    argument for the one we are in. Raises CannotRead.
    """
    return [path for argument in arguments or (".",)
            for path in (_in_tree(argument) if os.path.isdir(argument) else (argument,))]


def is_input_given() -> bool:
    """Whether standard input is a file or a pipe, rather than a terminal or nothing."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _in_tree(directory: str) -> list[str]:
    """By directory and name; if there is none, the one that a build would look for, there or not."""
    from builder.context.gitignore import GitIgnore
    from builder.context.local import LocalContext, Unreadable

    found: list[str] = []
    try:
        tree, ignore = LocalContext(directory), GitIgnore(directory)
        waiting = [""]
        while waiting:
            entries = tree.children(waiting.pop())
            waiting += [entry.path for entry in reversed(entries) if entry.is_dir
                        and os.path.basename(entry.path) != ".git" and not ignore.ignores(entry.path, is_dir=True)]
            found += [entry.path for entry in entries if _is_dockerfile(os.path.basename(entry.path))
                      and (entry.is_file or (entry.is_link and "/" not in entry.path
                                             and os.path.isfile(os.path.join(directory, entry.path))))
                      and not ignore.ignores(entry.path)]
    except Unreadable as error:
        raise CannotRead(os.path.normpath(os.path.join(directory, error.path)), error.cause or "unreadable") from error
    except OSError as error:
        raise CannotRead(directory, (error.strerror or "unreadable").lower()) from error
    paths = [os.path.join(directory, path) for path in found] or [default_dockerfile(directory)]
    return [os.path.normpath(path) for path in paths]


def _is_dockerfile(name: str) -> bool:
    """`Dockerfile`, `Dockerfile.web`, `web.Dockerfile` and the same of Containerfile; not their ignore files."""
    first, last = name.partition(".")[0], name.rpartition(".")[2]
    return last not in _IGNORE and any(part in _NAMES for part in (first, last))


def read_dockerfile(path: str) -> Source:
    """The text, to the letter. Raises CannotRead, also for what is not UTF-8, which could not be written back."""
    name = "<standard input>" if path == STDIN else path
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(MAX_DOCKERFILE + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_DOCKERFILE + 1)
        if len(data) > MAX_DOCKERFILE:
            raise CannotRead(name, f"it is larger than {MAX_DOCKERFILE >> 20} MiB")
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CannotRead(name, "it is not UTF-8") from error
    except OSError as error:
        raise CannotRead(name, (error.strerror or "unreadable").lower()) from error


def write_dockerfile(path: str, text: str) -> None:
    """Puts the text in the place of the file's, at once and with its mode; a link stays a link. Raises OSError."""
    from builder.rooted.named import write_file

    write_file(path, text.encode("utf-8"))


def diff(path: str, before: str, after: str) -> str:
    """A unified diff; "" where nothing changed."""
    import difflib

    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), path, path)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
