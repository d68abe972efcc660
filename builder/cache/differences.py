"""How the parts of two keys differ, in words, part by part, the most telling ones first.

Values are quoted as they are but for their length. Each function here returns sentences without a full stop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias

from builder.cache.key import LIST, Parts

Rows: TypeAlias = Callable[[Any], list[Any] | None]
"""Gives the rows of a list of the older parts, None if they are lost."""

_SHOWN_NAMES = 5
_SHOWN_TEXT = 60
_ORDER = ("argv", "scripts", "sources", "destination", "path", "env", "files", "mounts")
MASK = "\0"
"""Begins a value that stands for one that is not to be shown."""
PARENT_CHANGED = ("the number of steps before it changed", "the step before it produced a different layer",
                  "an earlier step produced a different layer")
"""The only words about the layers below."""
_LAST = ("below", "parent")
_AS_COPIED = "as it is copied"
"""What a COPY says of a file below that it would put there again."""
_WORDS = {
    "cwd": "the working directory", "user": "the user", "network": "the network mode", "security": "the security mode",
    "hostname": "the host name", "hosts": "the list of extra hosts",
    "path": "the path", "destination": "the destination", "words": "the names of the sources", "unpack": "--unpack",
    "owner": "the owner", "mode": "--chmod", "exclude": "--exclude", "parents": "--parents", "link": "--link",
    "remote": "the repository", "ref": "the git ref", "url": "the URL",
    "subdir": "the folder in the repository", "checksum": "--checksum", "keep_git_dir": "--keep-git-dir",
    "filename": "the file name", "content": "the content", "diff_ids": "the layers",
    "shm_size": "--shm-size", "ulimits": "--ulimit", "cgroup_parent": "--cgroup-parent", "namespace": "--network ns:",
    "hosts_file": "the made /etc/hosts",
}
_FLAGS = {
    "servers": "--dns", "search": "--dns-search", "options": "--dns-option",
    "added": "--cap-add", "dropped": "--cap-drop", "seccomp": "--security-opt seccomp",
    "apparmor": "--security-opt apparmor", "no_new_privileges": "--security-opt no-new-privileges",
    "masked": "--security-opt mask", "unmasked": "--security-opt unmask",
}
"""The flags behind the fields of `dns` and `confinement`; those of `limits` are called as their flags are."""


def differences(old: Parts, new: Parts, old_rows: Rows) -> list[str]:
    """All differences from `old` to `new`; [] if the keyed parts are equal."""
    changed = [name for name in {**new, **old} if not name.endswith(LIST) and old.get(name) != new.get(name)]
    return [sentence for name in sorted(changed, key=_rank) for sentence in _part(name, old, new, old_rows)]


def clip(text: str, around: int = 0) -> str:
    """The text on one line, cut to the neighbourhood of a position where it is long."""
    text = text.replace("\n", "\\n")
    if len(text) <= _SHOWN_TEXT:
        return text
    start = max(0, min(around - _SHOWN_TEXT // 3, len(text) - _SHOWN_TEXT))
    end = start + _SHOWN_TEXT
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")


def is_shell_form(argv: list[str]) -> bool:
    """Whether the last word is a script for the shell that the others start."""
    return len(argv) > 1 and argv[-2] in {"-c", "-lc", "-ec", "-xc"}


def _rank(name: str) -> tuple[int, str]:
    if name in _LAST:
        return len(_ORDER) + 1 + _LAST.index(name), name
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), name


def _part(name: str, old: Parts, new: Parts, old_rows: Rows) -> Iterable[str]:
    before, after = old.get(name), new.get(name)
    match name:
        case "argv":
            return _argv(before or [], after or [])
        case "env":
            return _env(before or [], after or [], {*old.get("args.list", ()), *new.get("args.list", ())})
        case "files":
            return _files(old_rows(old.get("files.list")), new.get("files.list")) or ["the files that it takes changed"]
        case _ if name.startswith("mount:"):
            return _mounted(name.partition(":")[2], _files(old_rows(old.get(name + LIST)), new.get(name + LIST)))
        case "mounts":
            return _mounts(before or [], after or [])
        case "sources":
            return [f"source paths changed: {_change(_paths(before or []), _paths(after or []))}"]
        case "words" if old.get("sources") != new.get("sources"):
            return []  # reported already
        case "below":
            return _below(before or [], after or [])
        case "parent":
            return _parent(old, new)
        case "inputs":
            return ["what it takes files from changed"]
        case "limits" | "dns" | "confinement":
            return _settings(before or {}, after or {})
        case "ulimits":
            return [_value(_WORDS[name], _ulimits(before), _ulimits(after))]
        case "scripts":
            return ["the here-document changed"]
        case _:
            return [_value(_WORDS.get(name, f"`{name}`"), before, after)]


def _value(what: str, before: Any, after: Any) -> str:
    if isinstance(before, bool) and isinstance(after, bool):
        return f"{what} was {'added' if after else 'removed'}"
    old, new = _text(before), _text(after)
    if not old or not new:
        return f"{what} {new or old} was {'added' if new else 'removed'}"
    return f"{what} changed {old} -> {new}"


def _settings(before: Parts, after: Parts) -> Iterable[str]:
    """Of a part that several flags make: the flags that changed."""
    for field in {**after, **before}:
        was, now = _setting(field, before.get(field)), _setting(field, after.get(field))
        if was != now:
            yield _value(_FLAGS.get(field, f"--{field.replace('_', '-')}"), was, now)


def _setting(field: str, value: Any) -> Any:
    """A value as its flag has it; None for the one that it has unset."""
    if field == "seccomp":
        return "builtin" if value is True else value[:12] if value else "unconfined"  # a profile by its digest
    return value if isinstance(value, bool) else value or None


def _ulimits(rows: list[Parts] | None) -> list[str]:
    return [f"{row.get('name')}={row.get('soft')}:{row.get('hard')}" for row in rows or ()]


def _text(value: Any) -> str:
    """A value as it is shown: "" for one that is not there."""
    if isinstance(value, list):
        if value and all(isinstance(member, int) for member in value):
            return ":".join(map(str, value))
        return " ".join(text for member in value if (text := _text(member)))
    return "" if value in (None, "") else f'"{clip(str(value))}"'


def _change(before: str, after: str) -> str:
    """Two long texts, each cut to where they begin to differ."""
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return f"`{clip(before, at)}` -> `{clip(after, at)}`"


def _argv(before: list[str], after: list[str]) -> Iterable[str]:
    if is_shell_form(before) and is_shell_form(after):
        if before[:-1] != after[:-1]:
            yield f"shell changed: {_change(' '.join(before[:-1]), ' '.join(after[:-1]))}"
        before, after = before[-1:], after[-1:]
    if before != after:
        yield f"instruction changed: {_change(' '.join(before), ' '.join(after))}"


def _env(before: list[list[str]], after: list[list[str]], args: set[str]) -> Iterable[str]:
    old, new = {name: value for name, value in before}, {name: value for name, value in after}  # noqa: C416
    for name in [*new, *(name for name in old if name not in new)]:
        what = f"build arg {name}" if name in args else f"environment variable {name}"
        if name not in old:
            yield f"{what} was added"
        elif name not in new:
            yield f"{what} was removed"
        elif old[name] != new[name] and MASK in (old[name][:1], new[name][:1]):
            yield f"{what} changed"
        elif old[name] != new[name]:
            yield f'{what} changed "{clip(old[name])}" -> "{clip(new[name])}"'
    if old == new:
        yield "the order of environment variables changed"


def _files(before: list[Any] | None, after: list[Any] | None) -> list[str]:
    """From the lists of files, [] if they do not tell; a list is not known where a record was made without one."""
    if before is None or after is None:
        return []
    old, new = {path: text for path, text in before}, {path: text for path, text in after}  # noqa: C416
    changed, modes, owners, links = [], {}, [], []
    for path, now in new.items():
        was = old.get(path, now)
        if was == now:
            continue
        old_mode, old_owner, old_bytes, _ = _described(was)
        new_mode, new_owner, new_bytes, _ = _described(now)
        if old_bytes != new_bytes:
            changed.append(path)
        elif old_mode != new_mode:
            modes[path] = f"{old_mode} -> {new_mode}"
        elif old_owner != new_owner:
            owners.append(path)
        else:
            links.append(path)
    groups: tuple[tuple[str, Collection[str]], ...] = (
        ("changed", changed), ("changed its permissions", modes), ("changed its owner", owners),
        ("changed its hard links", links),
        ("added", [path for path in new if path not in old]),
        ("removed", [path for path in old if path not in new]),
    )
    return [f"{len(paths)} file{'' if len(paths) == 1 else 's'} {_plural(what, len(paths))}: {_names(paths)}"
            for what, paths in groups if paths]


def _plural(what: str, count: int) -> str:
    return what if count == 1 else what.replace(" its ", " their ")


def _mounted(target: str, files: list[str]) -> list[str]:
    return [f"in the mount at `{target}`, {'; '.join(files)}" if files else f"what is mounted at `{target}` changed"]


def _paths(sources: list[list[str]]) -> str:
    return " ".join(path for paths in sources for path in paths)


def _described(text: str) -> tuple[str, str, str, str]:
    """Permission bits in octal, owner, what stands for the bytes, and of a further name of a file its first one.

    The mode may have the file's type; the last name may have spaces.
    """
    mode, owner, content, first = (*text.split(" ", 3), "", "", "")[:4]
    return mode[-4:].lstrip("0") or "0", owner, content, first


def _names(names: Collection[str]) -> str:
    """The first ones; with what is to be said of each where `names` is a dict."""
    more = len(names) - _SHOWN_NAMES
    remarks = names if isinstance(names, dict) else {}
    shown = ", ".join(clip(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), len(name))
                      + (f" ({remarks[name]})" if name in remarks else "")
                      for name in itertools.islice(names, _SHOWN_NAMES))
    return shown + (f" and {more} more" if more > 0 else "")


def _parent(old: Parts, new: Parts) -> Iterable[str]:
    old_base, new_base = old.get("base.list"), new.get("base.list")
    if old_base and new_base and old_base[1] != new_base[1]:
        if old_base[0] != new_base[0]:
            return [f"base image changed: `{old_base[0]}` -> `{new_base[0]}`"]
        return [f"base image `{new_base[0]}` changed: {old_base[1][:19]} -> {new_base[1][:19]}"]
    before, after = old.get("parent") or [], new.get("parent") or []
    if len(before) != len(after):
        return [PARENT_CHANGED[0]]
    return [PARENT_CHANGED[1 if before[:-1] == after[:-1] else 2]]


def _below(before: list[list[str]], after: list[list[str]]) -> Iterable[str]:
    old, new = {path: fact for path, fact in before}, {path: fact for path, fact in after}  # noqa: C416
    equal: list[str] = []
    for path in {**new, **old}:
        # A directory is "unchanged" where nothing in it changes: its entries say so.
        was, now = (facts.get(path, "").removesuffix("unchanged").strip() or "not looked at" for facts in (old, new))
        if was != now and _AS_COPIED in (was, now):
            equal.append(path)
        elif was != now:
            yield f"in the image below, `/{path}` was {clip(was)} and is {clip(now)}"
    if equal:
        more = f" and {len(equal) - 1} more" if len(equal) > 1 else ""
        yield f"in the image below, `/{equal[0]}`{more} began or ceased to be as it is copied"


def _mounts(before: list[Parts], after: list[Parts]) -> Iterable[str]:
    old, new = ({_mount_name(mount): mount for mount in mounts} for mounts in (before, after))
    for name in {**new, **old}:
        if name not in old:
            yield f"{name} was added"
        elif name not in new:
            yield f"{name} was removed"
        elif old[name] != new[name]:
            fields = [field for field in new[name] if old[name].get(field) != new[name][field]]
            yield f"{name} changed its {', '.join(fields)}"
    if old == new:
        yield "the order of mounts changed"


def _mount_name(mount: Parts) -> str:
    place = f" at `{mount['target']}`" if mount.get("target") else ""
    return f"{mount.get('type')} mount" + (place or f" `{mount.get('id', '')}`")
