"""What a build reads: the Dockerfile, the build context and its ignore rules, found as docker build finds them."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import msgspec

from builder.context.local import LocalContext, find_ignore_file
from builder.errors import ContextError
from builder.hashing import sha256
from builder.language.ignore import IgnoreRules
from builder.language.instructions import Dockerfile
from builder.source import Source
from builder.store import Store
from builder.version import __version__

MAX_DOCKERFILE = 16 << 20
DEFAULT_NAMES = ("Dockerfile", "dockerfile", "Containerfile")


class NoDockerfile(ContextError):
    code = "no-dockerfile"

    def __init__(self, path: str, cause: str, hint: str | None = None) -> None:
        super().__init__(f"failed to read dockerfile: open {path}: {cause}",
                         hint=hint or "name it with -f, or write one called `Dockerfile`")


class NoContext(ContextError):
    code = "no-context"

    def __init__(self, path: str) -> None:
        super().__init__(f"unable to prepare context: path `{path}` not found",
                         hint="the last argument is the build context")


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    dockerfile: Source
    context: LocalContext
    rules: IgnoreRules | None


def open_inputs(context: str, dockerfile: str, stdin: BinaryIO | None, scratch: str, subdir: str = "") -> Inputs:
    """Finds and reads the inputs. `scratch` is an empty directory for a context that comes as a stream, of which
    `subdir` may be the part that counts.

    Raises ContextError.
    """
    stream = stdin or sys.stdin.buffer
    if context == "-":
        return _from_stream(dockerfile, stream, scratch, subdir)
    if not os.path.isdir(context):
        raise NoContext(context)
    if dockerfile == "-":
        return _with_rules(Source("Dockerfile", _decode(stream.read(MAX_DOCKERFILE + 1))), context, "")
    path = dockerfile or default_dockerfile(context)
    return _with_rules(Source(os.path.basename(path), _read(path, dockerfile or "Dockerfile")), context, path)


def open_fetched_inputs(dockerfile: str, stdin: BinaryIO | None, scratch: str, subdir: str = "") -> Inputs:
    """Reads the inputs from a remote context that was fetched into `scratch`, or from its `subdir`.

    `dockerfile` is a path inside it; an absolute path and `-` mean this machine's. Raises ContextError.
    """
    scratch = _inside(scratch, subdir)
    if dockerfile == "-":
        return _without_rules("Dockerfile", _decode((stdin or sys.stdin.buffer).read(MAX_DOCKERFILE + 1)), scratch)
    if os.path.isabs(dockerfile):
        return _without_rules(dockerfile, _read(dockerfile, dockerfile), scratch)
    return _from_scratch(dockerfile, scratch)


def parsed(store: Store, source: Source) -> Dockerfile:
    """What `parse` makes of the source: that of an unchanged Dockerfile comes from the store, which costs no grammar.

    Raises DockerfileErrors, which are never remembered.
    """
    name = f"dockerfile+words {__version__} {sha256(msgspec.msgpack.encode(source)).hexdigest()}"
    known = store.recall(name)
    if known is not None:
        try:
            return msgspec.msgpack.decode(known, type=Dockerfile)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # damaged: parse again
    from builder.language.parser import parse

    dockerfile = parse(source)
    store.remember(name, msgspec.msgpack.encode(dockerfile))
    return dockerfile


def _from_stream(dockerfile: str, stream: BinaryIO, scratch: str, subdir: str) -> Inputs:
    from builder.context.stdin import read_stream

    text = read_stream(stream, scratch)
    if text is not None:
        return _without_rules("Dockerfile", _decode(text), scratch)
    if dockerfile == "-":
        raise ContextError("standard input cannot hold both the context and the Dockerfile",
                           hint="give one of the two as a path")
    return _from_scratch(dockerfile, _inside(scratch, subdir))


def _inside(folder: str, subdir: str) -> str:
    """A folder of a remote context: a link must not lead out of it."""
    if not subdir:
        return folder
    entry = LocalContext(folder, None).lstat(os.path.normpath(subdir).strip("/"))
    if entry is None or not entry.is_dir:
        raise ContextError(f"the context has no directory `{subdir}`")
    return os.path.join(entry.root.path, entry.path)


def _from_scratch(dockerfile: str, scratch: str) -> Inputs:
    """The Dockerfile of a remote context: a link must not lead out of it."""
    from builder.layer.resolution import follow

    context = LocalContext(scratch, None)
    for name in (dockerfile,) if dockerfile else DEFAULT_NAMES:
        entry = follow(context, name)
        if entry is not None and entry.is_file:
            return _without_rules(name, _read_open(entry.open(), name), scratch)
    raise NoDockerfile(dockerfile or DEFAULT_NAMES[0], "no such file or directory")


def _without_rules(path: str, text: str, context: str) -> Inputs:
    """BuildKit looks for ignore files in contexts on this machine alone, and changes owners of their files alone."""
    return Inputs(dockerfile=Source(os.path.basename(path), text),
                  context=LocalContext(context, None, root_owned=False), rules=None)


def _with_rules(source: Source, context: str, path: str) -> Inputs:
    found = find_ignore_file(context, path)
    rules = IgnoreRules.parse(found[1], os.path.basename(found[0])) if found else None
    return Inputs(dockerfile=source, context=LocalContext(context, rules), rules=rules)


def default_dockerfile(context: str) -> str:
    """The path of the Dockerfile that a build of the directory reads without -f, there or not."""
    for name in DEFAULT_NAMES:
        if os.path.exists(os.path.join(context, name)):
            return os.path.join(context, name)
    return os.path.join(context, DEFAULT_NAMES[0])


def _read(path: str, shown: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NoDockerfile(shown, (error.strerror or "unreadable").lower(), _near(path)) from error
    return _read_open(fd, shown)


def _read_open(fd: int, shown: str) -> str:
    with open(fd, "rb") as file:
        try:
            data = file.read(MAX_DOCKERFILE + 1)
        except OSError as error:
            raise NoDockerfile(shown, (error.strerror or "unreadable").lower()) from error
    return _decode(data)


def _near(path: str) -> str | None:
    """A hint with the file of the folder whose name is most like that of `path`."""
    from builder.golang.suggest import did_you_mean

    folder, name = os.path.split(path)
    try:
        names = [found for found in os.listdir(folder or ".") if not found.endswith(".dockerignore")]
        return did_you_mean(name, names, prefix=f"{folder}/" if folder else "", as_known=True)
    except OSError:
        return None


def _decode(data: bytes) -> str:
    if len(data) > MAX_DOCKERFILE:
        raise ContextError(f"the Dockerfile is larger than {MAX_DOCKERFILE >> 20} MiB")
    return data.decode("utf-8", "replace")
