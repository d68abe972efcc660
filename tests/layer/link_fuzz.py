"""Random trees of links: what is copied and mounted out of them and into them, against the model (link_model.py)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builder.context.fingerprints import Sha256Digests
from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.layer.copylayer import plan_copy
from builder.layer.overlay import make_whiteout, set_opaque
from builder.layer.resolution import TooManyLinks, canonical
from builder.layer.tree import FileTree
from builder.layer.view import MergedView
from builder.plan.vertices import BindMount, Copy, CopySource
from builder.rooted import resolving
from builder.sandbox.runtime.overlaymount import Mounter, appends_lowers
from builder.solver.lineage import selection_of
from tests.layer import link_model
from tests.layer.trees import dump_tree

SECRET = "only-outside-of-every-root"
NAMES = ("a", "b", "c", "d")
COPIES, SOURCES, TARGETS, SELECTIONS = 8, 12, 3, 3
"""How many of each are tried on one pair of trees: the sources and targets of mounts, those of contexts."""
Tree = dict[str, tuple[Any, ...]]
Question = dict[str, object]
Check = Callable[[Any], None]
"""Takes the answer."""


class Model:
    """The program that answers from within chroots."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-I", link_model.__file__], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *raised: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def answers(self, questions: Sequence[Question]) -> list[Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(questions) + "\n")
        stdin.flush()
        answers: list[Any] = json.loads(stdout.readline())
        return answers


class Trees:
    """Random trees below the empty directory `scratch`, which should be on a file system that forgets."""

    def __init__(self, seed: int, scratch: Path, canary: str) -> None:
        self.choice = random.Random(seed)
        self._scratch = scratch
        self._canary = canary
        self._files = 0
        self._known: dict[bool, list[str]] = {True: [""], False: [""]}
        """Paths that the context, or else the stack, has."""
        self._directories = [""]
        """Those that the stack has as directories."""

    def directory(self, name: str) -> str:
        path = self._scratch / name
        path.mkdir()
        return str(path)

    def context(self) -> str:
        self._make(path := self.directory("context"), self._tree(above=False))
        return path

    def stack(self) -> list[str]:
        """Layers, bottom first."""
        paths = [self.directory(f"layer{number}") for number in range(self.choice.randrange(1, 4))]
        for number, path in enumerate(paths):
            self._make(path, self._tree(above=number > 0))
        return paths

    def destination(self) -> str:
        if self.choice.random() < 0.5:
            return self.path()
        return self.choice.choice(self._directories) + self.choice.choice(("/", "/new", "/new/", "/new/a", "/."))

    def path(self, *, of_context: bool = False, wild: bool = False) -> str:
        """A path that may lead anywhere."""
        choice = self.choice
        if choice.random() < 0.05:
            return "/k0"
        if choice.random() < 0.65:
            known = choice.choice(self._known[of_context])
            more = choice.choice((*[""] * 8, "/", "/.", "/a", "/b/", "/../c", *(("/*", "*") if wild else ())))
            return choice.choice(("/", "")) + known + more
        odd = ("..", ".", "proc/self/root", self._canary.strip("/"), "", *(("*", "*", "a*", "[bc]*") if wild else ()))
        names = [choice.choice(odd) if choice.random() < 0.25 else choice.choice(NAMES)
                 for _ in range(choice.choice((1, 1, 2, 2, 3, 4, 6)))]
        return choice.choice(("/", "/", "")) + "/".join(names) + choice.choice(("", "", "", "/", "/."))

    def _tree(self, *, above: bool) -> Tree:
        tree = self._some(3, above=above)
        if self.choice.random() < 0.2:
            tree["proc"] = ("d", 0o755, 0, {"self": ("d", 0o755, 0, {"root": ("l", "/")})}, False)
        if self.choice.random() < 0.2:  # the path that leads outside exists inside too
            inner: Tree = {"secret": self._file()}
            for name in reversed(self._canary.strip("/").split("/")):
                inner = {name: ("d", 0o755, 0, inner, False)}
            tree |= inner
        if self.choice.random() < 0.1:
            deep: Tree = self._some(1, above=above)
            for _ in range(self.choice.randrange(30)):
                deep = {self.choice.choice(NAMES): ("d", 0o755, 0, deep, False), "c": self._link()}
            tree["a"] = ("d", 0o755, 0, deep, False)
        if self.choice.random() < 0.1:
            last = self.choice.randrange(38, 43)
            tree |= {f"k{number}": ("l", f"k{number + 1}") for number in range(last)}
            tree[f"k{last}"] = self._file()
        return tree

    def _some(self, depth: int, *, above: bool) -> Tree:
        return {name: self._node(depth, above=above) for name in NAMES if self.choice.random() < 0.7}

    def _node(self, depth: int, *, above: bool) -> tuple[Any, ...]:
        kind = self.choice.random()
        if above and kind < 0.1:
            return ("whiteout",)
        if kind < 0.35 or (depth == 0 and kind < 0.6):
            return self._file()
        if depth == 0 or kind < 0.65:
            return self._link()
        mode, owner = self.choice.choice((0o755, 0o700, 0o1777)), self.choice.choice((0, 0, 7))
        return ("d", mode, owner, self._some(depth - 1, above=above), above and self.choice.random() < 0.2)

    def _file(self) -> tuple[Any, ...]:
        self._files += 1
        return ("f", self.choice.choice((0o644, 0o600, 0o4755)), self.choice.choice((0, 0, 8)), f"file {self._files}")

    def _link(self) -> tuple[Any, ...]:
        canary, pick = self._canary, self.choice.choice
        out = ("/", "..", "../..", "../../../../../../..", canary, f"{canary}/secret", f"/proc/self/root{canary}",
               "/proc/self/root", f"../../../../../../../../..{canary}", "/proc/self/cwd", f"/..{canary}/a")
        within = (".", "a", "b", "c", "d", "/a", "/b", "/c/a", "../b", "../../a", "a/../b", "./c", "d/", "/d/.", "//b",
                  "a/b/../../c", "nowhere", "/no/where", "b/c", "c/d/a", "a/nowhere/../b")
        return ("l", pick(out if self.choice.random() < 0.35 else within))

    def _make(self, directory: str, tree: Tree) -> None:
        for name, node in tree.items():
            path = f"{directory}/{name}"
            top, _, known = path.removeprefix(f"{self._scratch}/").partition("/")
            self._known[top == "context"].append(known)
            if top != "context" and node[0] == "d":
                self._directories.append(known)
            match node:
                case ("f", mode, owner, text):
                    Path(path).write_text(text)
                    os.chown(path, owner, owner)
                    os.chmod(path, mode)
                case ("l", target):
                    os.symlink(target, path)
                case ("whiteout",):
                    make_whiteout(path)
                case ("d", mode, owner, inner, opaque):
                    os.mkdir(path)
                    self._make(path, inner)
                    if opaque:
                        set_opaque(path, "trusted")
                    os.chown(path, owner, owner)
                    os.chmod(path, mode)


def fill(canary: Path) -> None:
    """Files that no copy and no mount may show or touch."""
    (canary / "a/b").mkdir(parents=True)
    for name in ("secret", "b", "a/c", "a/b/c"):
        (canary / name).write_text(f"{SECRET} {name}\n")
    os.chmod(canary / "a", 0o711)
    os.chown(canary / "b", 5, 6)
    os.symlink("b", canary / "d")


def digest(folder: str | Path) -> str:
    """Of all names, modes, owners, times of change and contents below `folder`, and its own."""
    rows: list[object] = []
    for path in [folder := Path(folder), *sorted(folder.rglob("*"))]:
        status = path.lstat()
        kept = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        rows.append((str(path), kept, content))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


class Round:
    """Everything that is tried on one pair of trees."""

    def __init__(self, seed: int, scratch: Path, canary: Path, model: Model) -> None:
        self._where = f"seed {seed}"
        self._model = model
        self._trees = Trees(seed, scratch, str(canary))
        self._choice = self._trees.choice
        self._context = self._trees.context()
        self._layers = self._trees.stack()
        for name in ("empty", "empty2"):
            self._trees.directory(name)
        mounter = Mounter(str(scratch), userxattr=False, appends=appends_lowers(), attributes=0)
        self._stack = mounter.mount({"lowers": self._layers, "upper": "", "work": ""})
        self._root = f"/proc/{os.getpid()}/fd/{self._stack}"
        self._serial = 0

    def close(self) -> None:
        os.close(self._stack)

    def run(self) -> tuple[int, int]:
        """How many mounts and copies were compared."""
        before = [digest(path) for path in (self._context, *self._layers)]
        asked = [self._sources(self._root), self._sources(self._context)]
        asked += [self._target(self._trees.path(), directory=self._choice.random() < 0.5) for _ in range(TARGETS)]
        for _ in range(SELECTIONS):
            mount = BindMount(target="/x", input=0, source="/" + self._trees.path(of_context=True).lstrip("/"))
            asked.append(self._copy(selection_of(mount), self._context, None))
        for _ in range(COPIES):
            of_image = self._choice.random() < 0.4
            op = self._random_copy(of_context=not of_image)
            asked.append(self._copy(op, self._root if of_image else self._context, self._root))
        answers = self._model.answers([question for question, _ in asked])
        for (_, check), answer in zip(asked, answers, strict=True):
            check(answer)
        after = [digest(path) for path in (self._context, *self._layers)]
        assert before == after, f"{self._where}: what was copied from has changed"
        return SOURCES + TARGETS + SELECTIONS, COPIES

    # -- the sources and targets of mounts -----------------------------------------------------------------------

    def _sources(self, root: str) -> tuple[Question, Check]:
        paths = ["/" + self._trees.path(of_context=root == self._context).lstrip("/") for _ in range(SOURCES)]
        tree: FileTree = LocalContext(root) if root == self._context else MergedView(self._layers)

        def check(answers: list[dict[str, Any]]) -> None:
            for path, said in zip(paths, answers, strict=True):
                if root == self._root:
                    self._walked(path, said)
                self._looked_up(tree, path, said)

        return {"ask": "resolve", "root": root, "paths": paths}, check

    def _walked(self, path: str, said: dict[str, Any]) -> None:
        """The way of the sandbox, by descriptors."""
        where = f"{self._where}, walk to `{path}`: {said}"
        try:
            place = resolving.walk(self._stack, path)
        except OSError as error:
            by_kernel = errno.ELOOP if _is_endless(said) else said["real_errno"]
            assert error.errno == by_kernel or _is_in_the_way(error, said["errno"]), f"{where}: {error}"
            return
        status = os.fstat(place.fd)
        os.close(place.fd)
        assert not _is_endless(said), where
        assert "/" + "/".join(place.names) == said["real"], f"{where}: {place.names}"
        assert (said["real_errno"] == 0) == (not place.missing), where
        if said["real_errno"] == 0:
            assert [status.st_dev, status.st_ino] == said["inode"], where

    def _looked_up(self, tree: FileTree, path: str, said: dict[str, Any]) -> None:
        """The way of everything else, by canonical paths."""
        where = f"{self._where}, look up `{path}`: {said}"
        try:
            real = canonical(tree.lstat, path)
        except TooManyLinks:
            assert _is_endless(said), where
            return
        assert not _is_endless(said), where
        assert f"/{real}" == said["real"], f"{where}: {real}"
        entry = tree.lstat(real)
        assert (entry is not None) == (said["real_errno"] == 0), where
        if entry is not None and entry.is_file:
            with open(entry.open(), encoding="utf-8") as file:
                assert file.read() == said["text"], where

    def _target(self, path: str, *, directory: bool) -> tuple[Question, Check]:
        made, modelled = self._fresh("target"), self._fresh("model")
        where = f"{self._where}, target `{path}`"

        def check(answer: tuple[str | None, int]) -> None:
            refused, number = answer
            root = os.open(made, os.O_PATH)
            try:
                os.close(resolving.make_target(resolving.walk(root, path), directory=directory))
            except OSError as error:
                assert refused is not None or _is_in_the_way(error, number), f"{where}: {error}"
                return
            finally:
                os.close(root)
            assert refused is None, f"{where}: not refused, {refused}"
            self._compare([made], modelled, where)

        return {"ask": "target", "image": self._root, "made": made, "root": modelled, "path": f"/{path.lstrip('/')}",
                "directory": directory}, check

    # -- copies ---------------------------------------------------------------------------------------------------

    def _random_copy(self, *, of_context: bool) -> Copy:
        choice = self._choice
        words = tuple(self._trees.path(of_context=of_context, wild=True) for _ in range(choice.choice((1, 1, 1, 2))))
        destination = "/" + self._trees.destination().lstrip("/")
        return Copy(sources=(CopySource(input=0, paths=words),), destination=destination,
                    has_parent=True, owner=choice.choice((None, None, "3:4")), mode=choice.choice(("", "", "750")))

    def _copy(self, op: Copy, source: str, parent: str | None) -> tuple[Question, Check]:
        where = f"{self._where}, {op} from {source}"
        modelled, layer, below = self._fresh("model"), self._fresh("layer"), self._layers if parent else []
        tree: FileTree = LocalContext(source) if source == self._context else MergedView(self._layers)
        keyed = self._choice.random() < 0.5

        def check(refused: str | None) -> None:
            try:
                plan = plan_copy(op, [tree], MergedView(below) if parent else None)
            except BuilderError as error:
                assert refused is not None, f"{where}: {error}"
                return
            assert refused is None, f"{where}: not refused, {refused}"
            if keyed:
                plan.key_parts(Sha256Digests())
            plan.write(layer, now_ns=0)
            self._compare([*below, layer], modelled, where)

        return {"ask": "copy", "context": source, "image": parent, "root": modelled, "words": op.sources[0].paths,
                "destination": op.destination, "literal": op.sources[0].literal, "owner": (3, 4) if op.owner else None,
                "mode": int(op.mode, 8) if op.mode else None, "keeps_owners": source != self._context}, check

    def _compare(self, layers: Sequence[str], modelled: str, where: str) -> None:
        got, said = list(dump_tree(MergedView(layers))), list(dump_tree(MergedView([modelled])))
        assert got == said, f"{where}:\n" + "\n".join([f"+{line}" for line in got if line not in said]
                                                      + [f"-{line}" for line in said if line not in got])
        assert SECRET not in "\n".join(got), where

    def _fresh(self, name: str) -> str:
        self._serial += 1
        return self._trees.directory(f"{name}{self._serial}")


def _is_endless(said: dict[str, Any]) -> bool:
    return bool(said["loops"]) or errno.ELOOP in (said["errno"], said["real_errno"])


def _is_in_the_way(error: OSError, by_kernel: int) -> bool:
    """Whether a file is followed by `..`: the kernel refuses that as well, if it gets as far."""
    return error.errno == errno.ENOTDIR and by_kernel in (errno.ENOTDIR, errno.ENOENT)


def check_round(seed: int, scratch: Path, canary: Path, model: Model) -> tuple[int, int]:
    """Tries one pair of trees below the empty directory `scratch`; how many mounts and copies there were."""
    before = digest(canary)
    tried = Round(seed, scratch, canary, model)
    try:
        return tried.run()
    finally:
        tried.close()
        assert digest(canary) == before, f"seed {seed}: files outside changed"
        shutil.rmtree(scratch)
        scratch.mkdir()
