"""What layers mean, said a second time: a naive model in memory, random layers, and how they are compared.

The model applies tars one after another as containerd's applier for overlayfs does (pkg/archive/tar.go: `applyNaive`
with `OverlayConvertWhiteout` and the layers below as `Parents`), then merges them as overlayfs does. `docker` chooses
what Docker's engine does where that depends on its storage driver or breaks the OCI image specification:

- a directory in place of what the same layer put there shows what is below again; here it stays hidden;
- a whiteout of what the same layer holds, or a member behind a whiteout, is an error; here the whiteout counts for the
  layers below alone, as layer.md wants it;
- in the lowest layer whiteouts remove what that layer has put there before;
- a directory that was described must still be there in the end, else the layer is an error; here it may be gone.
"""

from __future__ import annotations

import contextlib
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.layer.tars import member

Members = list[tuple[tarfile.TarInfo, bytes]]
Row = tuple[object, ...]
_MAX_LINKS = 40


class Impossible(Exception):
    """No such tree can be made."""


@dataclass(eq=False)
class Node:
    kind: str
    """d(irectory) f(ile) l(ink) p(ipe) w(hiteout)"""
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    mtime: int | None = None
    text: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    opaque: bool = False
    implied: bool = False
    listed: bool = False
    fresh: bool = False


def apply(members: Members, parents: Sequence[Node], *, docker: bool = False) -> Node:
    """The root of one layer; `parents` are those below it, the topmost first. Raises Impossible."""
    layer = Node("d")
    for info, data in members:
        _Member(info, data, layer, parents, docker).apply()
    if docker:
        for info, _ in members:
            if info.isdir() and _at(layer, _resolve(layer, _clean(info.name))) is None:
                raise Impossible(f"{info.name} is gone when its time is to be set")
    _inherit(layer, (), parents)
    return layer


def rows(layers: Sequence[Node]) -> dict[str, Row]:
    """What overlayfs shows of layers, the topmost first: by path what it is, and the first path of the same file."""
    found = dict(_merged(list(layers), ""))
    first: dict[int, str] = {}
    for path in sorted(found):
        first.setdefault(id(found[path]), path)
    return {
        path: (node.kind, node.mode if node.kind != "l" else 0, node.owner, node.mtime, node.text, first[id(node)])
        for path, node in found.items()
    }


@dataclass
class _Member:
    info: tarfile.TarInfo
    data: bytes
    layer: Node
    parents: Sequence[Node]
    docker: bool

    def apply(self) -> None:
        *folder, last = _clean(self.info.name) or ("",)
        if not last:
            return
        place = _resolve(self.layer, folder)
        parent = self._make_parents(place)
        if last == ".wh..wh..opq":
            self._opaque(parent)
        elif last.startswith(".wh."):
            self._whiteout(parent, last[4:])
        else:
            self._put(parent, last)

    def _make_parents(self, place: tuple[str, ...]) -> Node:
        node = self.layer
        for depth, name in enumerate(place):
            child = node.children.get(name)
            if child is None:
                if self.docker:
                    _below(place[: depth + 1], self.parents)
                child = node.children[name] = Node("d", implied=not node.fresh, fresh=node.fresh)
            elif child.kind == "w" and not self.docker:
                child = node.children[name] = Node("d", opaque=True, fresh=True)
            elif child.kind != "d":
                raise Impossible(f"{name} is no directory")
            node = child
        return node

    def _opaque(self, parent: Node) -> None:
        if self.docker and not self.parents:
            parent.children = {name: child for name, child in parent.children.items() if child.listed}
            for child in parent.children.values():
                if child.kind == "d":
                    self._opaque(child)
        else:
            parent.opaque = True

    def _whiteout(self, parent: Node, name: str) -> None:
        there = parent.children.get(name)
        if self.docker and not self.parents:
            parent.children.pop(name, None)
        elif there is None:
            parent.children[name] = Node("w")
        elif self.docker:
            raise Impossible(f"{name} exists")
        elif there.kind == "d":
            there.opaque = True

    def _put(self, parent: Node, name: str) -> None:
        kind = {b"0": "f", b"5": "d", b"2": "l", b"1": "h", b"6": "p"}[self.info.type]
        there = parent.children.get(name)
        if there is not None and (there.kind, kind) != ("d", "d"):
            del parent.children[name]
        if kind == "h":
            node = self._linked()
        elif kind == "d" and there is not None and there.kind == "d":
            node = there
        else:
            node = Node(kind, opaque=kind == "d" and there is not None and not self.docker, fresh=parent.fresh)
        if node.kind != "l":
            node.mode = self.info.mode
        if kind != "h":
            node.text = self.info.linkname if kind == "l" else self.data.decode()
        node.owner, node.mtime = (self.info.uid, self.info.gid), int(self.info.mtime)
        node.implied, node.listed = False, True
        parent.children[name] = node

    def _linked(self) -> Node:
        *folder, last = _clean(self.info.linkname) or ("",)
        target = _at(self.layer, (*_resolve(self.layer, folder), last))
        if target is None or target.kind in "dw":
            raise Impossible("nothing to link to")
        return target


def _inherit(node: Node, path: tuple[str, ...], parents: Sequence[Node]) -> None:
    for name, child in node.children.items():
        if child.kind == "d":
            _inherit(child, (*path, name), parents)
    with contextlib.suppress(Impossible):
        if node.implied and (below := _below(path, parents)) is not None:
            node.mode, node.owner, node.mtime = below.mode, below.owner, below.mtime


def _below(path: tuple[str, ...], parents: Sequence[Node]) -> Node | None:
    """Raises Impossible where a layer has a file or a whiteout on the way."""
    for parent in parents:
        found = _at(parent, _resolve(parent, list(path), ended=True), ended=True)
        if found is not None:
            return found if found.kind == "d" else None
    return None


def _resolve(root: Node, names: Sequence[str], *, ended: bool = False) -> tuple[str, ...]:
    done: list[str] = []
    pending = list(names)
    links = 0
    while pending:
        name = pending.pop(0)
        if name == "..":
            del done[-1:]
        elif name not in ("", "."):
            node = _at(root, (*done, name), ended=ended)
            if node is None or node.kind != "l":
                done.append(name)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise Impossible("a loop")
            done = [] if node.text.startswith("/") else done
            pending = [*node.text.split("/"), *pending]
    return tuple(done)


def _at(root: Node, path: Sequence[str], *, ended: bool = False) -> Node | None:
    """Behind a file there can be nothing; of a whiteout a member makes a directory, unless the layer has `ended`."""
    node = root
    for name in path:
        if node.kind == "w" and not ended:
            return None
        if node.kind != "d":
            raise Impossible(f"{name} is behind a file")
        if name not in node.children:
            return None
        node = node.children[name]
    return node


def _clean(name: str) -> tuple[str, ...]:
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def _merged(directories: list[Node], path: str) -> Iterator[tuple[str, Node]]:
    for position, directory in enumerate(directories):
        if directory.opaque:
            directories = directories[: position + 1]
            break
    for name in {name for directory in directories for name in directory.children}:
        stack = [directory.children[name] for directory in directories if name in directory.children]
        if stack[0].kind == "w":
            continue
        yield path + name, stack[0]
        if stack[0].kind == "d":
            end = next((position for position, node in enumerate(stack) if node.kind != "d"), len(stack))
            yield from _merged(stack[:end], f"{path}{name}/")


# -- random layers --------------------------------------------------------------------------------------------------

_NAMES = "abcd"
_ODD = ("/{}", "./{}", "../../{}", "//{}", "{}/.", "e/../{}")


def random_layer(choice: random.Random, outside: str) -> Members:
    """Up to a dozen members that get into each other's way; links point at the host's path `outside`, among others."""
    return [_random_member(choice, outside) for _ in range(choice.randrange(1, 12))]


def _random_member(choice: random.Random, outside: str) -> tuple[tarfile.TarInfo, bytes]:
    name = _random_path(choice)
    folder, _, last = name.rpartition("/")
    folder += "/" if folder else ""
    kind = choice.choice("fffdddllhpwwo")
    if kind == "w":
        return member("f", _odd(choice, f"{folder}.wh.{last}"))
    if kind == "o":
        return member("f", _odd(choice, f"{name}/.wh..wh..opq"))
    text = ""
    if kind == "f":
        text = str(choice.randrange(1000))
    elif kind == "l":
        up = choice.choice(("", "", "/", "../", "/../", "../../../"))
        text = choice.choice((up + _random_path(choice), up + _random_path(choice), outside, "../outside", "/"))
    elif kind == "h":
        text = choice.choice(("", "/", "./")) + _random_path(choice)
    slash = "/" if kind == "d" else ""
    return member(
        kind,
        _odd(choice, name) + slash,
        text,
        mode=choice.choice((0o600, 0o644, 0o755, 0o1777, 0o4711, 0o2750, 0)),
        owner=(choice.randrange(5), choice.randrange(5)),
        mtime=choice.randrange(1, 2_000_000_000),
    )


def _random_path(choice: random.Random) -> str:
    return "/".join(choice.choice(_NAMES) for _ in range(choice.choice((1, 1, 2, 2, 3))))


def _odd(choice: random.Random, name: str) -> str:
    if choice.random() < 0.8:
        return name
    odd = choice.choice(_ODD)
    return name if odd.endswith("/.") and ".wh." in name else odd.format(name)
