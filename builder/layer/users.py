"""Users and groups of an image, from its own /etc/passwd and /etc/group.

Two questions with different rules, both as BuildKit answers them: who runs a process (USER), where a number keeps the
group of its passwd entry; and who owns a copied file (--chown, WORKDIR), where a number alone is also the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from builder.errors import ImageError
from builder.layer.resolution import TooManyLinks, follow
from builder.layer.tree import FileTree
from builder.layer.view import read_entry

PASSWD = "etc/passwd"
GROUP = "etc/group"
MAX_ID = (1 << 31) - 1
MAX_FILE = 10 << 20

_NUMBER = r"[+-]?[0-9]+\Z"
_LONGEST = 100
"""Digits of a number that are looked at."""
_NO_ID = (1 << 32) - 1
"""What chown(2) takes for no change; everything below is an id to the kernel."""


class UnknownUser(ImageError):
    code = "unknown-user"

    def __init__(self, user: str) -> None:
        super().__init__(f"unable to find user `{user}`: no matching entries in passwd file",
                         hint="create the user in the image first, or give its number")


class UnknownGroup(ImageError):
    code = "unknown-group"

    def __init__(self, group: str) -> None:
        super().__init__(f"unable to find group `{group}`: no matching entries in group file",
                         hint="create the group in the image first, or give its number")


class BadId(ImageError):
    code = "bad-id"

    def __init__(self, text: str, most: int = MAX_ID) -> None:
        super().__init__(f"user or group id `{text}` is not in the range 0-{most}")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a process is."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups, as setgroups(2) takes them: `gid` is among them."""
    home: str


class _User(msgspec.Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


class _Group(msgspec.Struct, frozen=True):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(spec: str, tree: FileTree | None) -> Identity:
    """Who `USER spec` is in the image `tree` (None: an image without files).

    `user` and `uid` take group, supplementary groups and home from passwd and group; `user:group` has that group alone.
    A uid without an entry has group 0 and home `/`. Raises UnknownUser, UnknownGroup, BadId.
    """
    user_part, group_part, *_ = [*spec.split(":"), ""]
    if group_part and _is_fixed(user_part) and _is_fixed(group_part):
        uid, gid = _fixed(user_part), _fixed(group_part)
        return Identity(uid=uid, gid=gid, groups=(gid,), home=_home(uid, tree))
    number = _number(user_part or "0")
    user = next((u for u in _users(tree) if (u.name == user_part if number is None else u.uid == number)), None)
    if user is not None:
        uid, gid = user.uid, user.gid
    elif number is not None:
        uid, gid = number, 0
    else:
        raise UnknownUser(user_part)
    groups: list[int] = []
    if group_part:
        gid = _group_id(group_part, tree)
    elif user is not None:
        groups = [group.gid for group in _groups(tree) if user.name in group.members]
    if gid not in groups:
        groups.insert(0, gid)
    _check(uid, *groups)
    return Identity(uid=uid, gid=gid, groups=tuple(groups), home=_home(uid, tree))


def resolve_owner(spec: str, tree: FileTree | None, *, strict: bool = True) -> tuple[int, int]:
    """The uid and gid that `--chown=spec` (or WORKDIR under `USER spec`) gives to files.

    A number alone is also the group; a name brings the group of its passwd entry. Raises UnknownUser and UnknownGroup
    if `strict`; else an unknown user counts as root and an unknown group as none given, as in BuildKit.
    """
    user_part, colon, group_part = spec.partition(":")
    if not user_part or _is_fixed(user_part):
        uid = gid = _fixed(user_part)
    else:
        user = next((u for u in _users(tree) if u.name == user_part), None)
        if user is None and strict:
            raise UnknownUser(user_part)
        uid, gid = (user.uid, user.gid) if user is not None else (0, 0)
        _check(uid, gid)
    if not colon:
        return uid, gid
    if not group_part or _is_fixed(group_part):
        return uid, _fixed(group_part)
    try:
        return uid, _group_id(group_part, tree)
    except UnknownGroup:
        if strict:
            raise
        return uid, gid


def _is_fixed(text: str) -> bool:
    """True for what means the same id in every image."""
    return text == "root" or re.match(_NUMBER, text) is not None


def _fixed(text: str) -> int:
    return 0 if text in ("", "root") else _number(text) or 0


def _number(text: str) -> int | None:
    """`text` as an id, None if it is a name. Raises BadId."""
    if not re.match(_NUMBER, text):
        return None
    value = _lenient(text)
    if not 0 <= value <= MAX_ID:
        raise BadId(text if len(text) < _LONGEST else f"{text[:_LONGEST]}...")
    return value


def _group_id(text: str, tree: FileTree | None) -> int:
    """The gid of a group given by number or name. Raises UnknownGroup."""
    number = _number(text)
    if number is not None:
        return number
    gid = next((group.gid for group in _groups(tree) if group.name == text), None)
    if gid is None:
        raise UnknownGroup(text)
    _check(gid)
    return gid


def _check(*ids: int) -> None:
    """Raises BadId for what passwd and group may say but no kernel takes."""
    for one in ids:
        if not 0 <= one < _NO_ID:
            raise BadId(str(one), _NO_ID - 1)


def _home(uid: int, tree: FileTree | None) -> str:
    """The home of the first user with this uid, which may be "": what a container runtime sets HOME to."""
    return next((user.home for user in _users(tree) if user.uid == uid), "/")


def _lines(tree: FileTree | None, path: str) -> Iterator[list[str]]:
    """The colon-separated lines of a file of the image; none if there is no such regular file."""
    if tree is None:
        return
    try:
        entry = follow(tree, path)
    except TooManyLinks:
        return
    if entry is None or not entry.is_file:
        return
    for line in read_entry(entry, MAX_FILE).decode("utf-8", "surrogateescape").split("\n"):
        if stripped := line.strip():
            yield stripped.split(":")


def _users(tree: FileTree | None) -> Iterator[_User]:
    for fields in _lines(tree, PASSWD):
        name, _, uid, gid, _, home, *_ = [*fields, "", "", "", "", "", ""]
        yield _User(name, _lenient(uid), _lenient(gid), home)


def _groups(tree: FileTree | None) -> Iterator[_Group]:
    for fields in _lines(tree, GROUP):
        name, _, gid, members, *_ = [*fields, "", "", ""]
        if not name.startswith("#"):
            yield _Group(name, _lenient(gid), tuple(members.split(",")) if members else ())


def _lenient(text: str) -> int:
    """A number of passwd or group; what is none counts as 0, as in every reader of these files, and what no machine
    word holds as one beyond all ids.
    """
    if not re.match(_NUMBER, text):
        return 0
    return int(text) if len(text) < _LONGEST else _NO_ID
