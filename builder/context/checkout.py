"""Writing the files of a commit: what is in the folder afterwards, down to modes, times and the .git that stays."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator

from builder.context.gitprogram import Git, GitFailed
from builder.errors import ContextError
from builder.golang.paths import clean_beneath
from builder.plan.vertices import SourceGit
from builder.rooted.removing import remove_path, temporary_folder
from builder.rooted.root import Directory, Root

_GITLINK = "160000 "


class InvalidSubdir(ContextError):
    code = "git-subdir"

    def __init__(self, subdir: str, why: str) -> None:
        super().__init__(f"invalid subdir /{subdir}: {why}")


class Checkout:
    """Checks out `commit`, which the repository `mirror` has. `shown` is what a kept .git may say of the remote."""

    def __init__(self, git: Git, op: SourceGit, *, mirror: str, object_id: str, commit: str, commit_time: int,
                 ref: str, shown: str) -> None:
        self._git, self._op, self._mirror = git, op, mirror
        self._object, self._commit, self._time, self._ref = object_id, commit, commit_time, ref
        self._shown = shown

    def write(self, target_dir: str) -> None:
        """Fills the empty `target_dir`."""
        os.chmod(target_dir, 0o755)
        subdir = clean_beneath(self._op.subdir)
        if subdir:
            tree = tempfile.mkdtemp(prefix="tree-", dir=target_dir)
            self._write_tree(tree)
            _move_children(_directory(Root(tree, hold=True), subdir), Root(target_dir, hold=True).directory(""))
            remove_path(tree)
        elif self._op.keep_git_dir:
            self._clone(target_dir)
        else:
            self._write_tree(target_dir)
        if self._op.mtime == "commit":
            _set_times(target_dir, self._time)

    def _write_tree(self, tree: str) -> None:
        """The commit's files without a .git of their own.

        A submodule keeps its .git file, as in BuildKit; it says where the submodule's repository would be had the
        whole .git been kept.
        """
        with temporary_folder("git-", os.path.dirname(self._mirror)) as git_dir:
            self._init(git_dir, "", "--bare", "--template=")
            with open(os.path.join(git_dir, "objects", "info", "alternates"), "w") as file:
                file.write(os.path.join(self._mirror, "objects") + "\n")
            self._git.run(f"checkout remote {self._shown}", "read-tree", "--reset", "-u", self._commit,
                          git_dir=git_dir, work_tree=tree)
            if self._has_submodules(git_dir, tree):
                _set_origin(git_dir, self._op.remote)
                self._update_submodules(git_dir, tree)
                _point_submodules(tree, git_dir)

    def _clone(self, target_dir: str) -> None:
        """A shallow clone as BuildKit leaves it: HEAD detached, the ref as a branch and a tag, empty reflogs."""
        git, git_dir = self._git, os.path.join(target_dir, ".git")
        self._init(git_dir, target_dir)
        git.run("set the remote", "remote", "add", "origin", self._shown, git_dir=git_dir)
        source = f"refs/builder/{self._object}"
        git.run("name the commit", "update-ref", source, self._object, git_dir=self._mirror)
        refspecs = [f"{source}:{name}" for name in self._kept_names()] or [source]
        git.run("clone the mirror", "fetch", "--quiet", "-u", "--depth=1", "--no-tags", f"file://{self._mirror}",
                *refspecs, git_dir=git_dir)
        git.run(f"checkout remote {self._shown}", "checkout", "--quiet", "--detach", self._commit, git_dir=git_dir,
                work_tree=target_dir)
        git.run("clear the reflog", "reflog", "expire", "--all", "--expire=now", git_dir=git_dir)
        os.unlink(os.path.join(git_dir, "FETCH_HEAD"))
        if self._has_submodules(git_dir, target_dir):
            self._update_submodules(git_dir, target_dir)

    def _kept_names(self) -> list[str]:
        """The refs of a kept .git: a branch has a tag of its name beside it, and a tag without a message a branch."""
        ref, is_tag = self._ref, self._object != self._commit
        if not ref or is_tag or self._op.fetch_by_commit or self._op.ref.startswith("refs/tags/"):
            return [ref] if ref else []
        for prefix in ("refs/heads/", "refs/tags/"):
            if ref.startswith(prefix):
                return [f"refs/heads/{ref.removeprefix(prefix)}", f"refs/tags/{ref.removeprefix(prefix)}"]
        return [ref]

    def _init(self, git_dir: str, work_tree: str, *args: str) -> None:
        object_format = "sha256" if len(self._commit) == 64 else "sha1"
        self._git.run("make a repository", "init", "--quiet", f"--object-format={object_format}", *args,
                      git_dir=git_dir, work_tree=work_tree)

    def _has_submodules(self, git_dir: str, tree: str) -> bool:
        """Whether there are some to fetch."""
        if not self._op.submodules:
            return False
        listed = self._git.run("list the files", "ls-files", "-z", "--stage", git_dir=git_dir, work_tree=tree)
        return listed.startswith(_GITLINK) or f"\0{_GITLINK}" in listed

    def _update_submodules(self, git_dir: str, tree: str) -> None:
        command = ("submodule", "--quiet", "update", "--init", "--recursive")
        what = f"update submodules for {self._shown}"
        try:
            self._git.run(what, *command, "--depth=1", git_dir=git_dir, work_tree=tree)
        except GitFailed as error:
            if "shallow" not in error.stderr and "--depth" not in error.stderr:
                raise
            self._git.run(what, *command, git_dir=git_dir, work_tree=tree)


def _set_origin(git_dir: str, remote: str) -> None:
    """Relative submodule URLs start from it. Written by hand: a remote with a password must not be an argument."""
    quoted = remote.replace("\\", "\\\\").replace('"', '\\"')
    with open(os.path.join(git_dir, "config"), "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'[remote "origin"]\n\turl = "{quoted}"\n')


def _point_submodules(tree: str, git_dir: str) -> None:
    """Makes the .git files, which hold a path to the vanishing `git_dir`, independent of where that was."""
    tree, real = os.path.realpath(tree), os.path.realpath(git_dir)
    for path, directory in _directories(Root(tree, hold=True)):
        if ".git" not in directory.names() or not stat.S_ISREG(directory.lstat(".git").st_mode):
            continue
        folder = os.path.join(tree, path)
        with open(directory.open(".git"), encoding="utf-8", errors="surrogateescape") as file:
            pointed = os.path.normpath(os.path.join(folder, file.read().removeprefix("gitdir: ").rstrip("\n")))
        inside = os.path.join(tree, ".git", os.path.relpath(pointed, real))
        with open(directory.open(".git", os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8",
                  errors="surrogateescape") as file:
            file.write(f"gitdir: {os.path.relpath(inside, folder)}\n")


def _directories(root: Root) -> Iterator[tuple[str, Directory]]:
    """All real directories, parents first, the root as ""."""
    pending = [""]
    while pending:
        path = pending.pop()
        directory = root.directory(path)
        yield path, directory
        pending += [f"{path}/{name}" if path else name for name in directory.names()
                    if stat.S_ISDIR(directory.lstat(name).st_mode)]


def _directory(tree: Root, subdir: str) -> Directory:
    """A sub directory none of whose components is a link. Raises InvalidSubdir."""
    seen = ""
    for name in subdir.split("/"):
        seen = os.path.join(seen, name)
        try:
            mode = tree.lstat(seen).st_mode
        except OSError as error:
            raise InvalidSubdir(subdir, f'failed to lstat "{seen}": {(error.strerror or "").lower()}') from error
        if not stat.S_ISDIR(mode):
            raise InvalidSubdir(subdir, f'git subpath "/{subdir}" contains non-directory "{seen}"')
    return tree.directory(subdir)


def _move_children(source: Directory, target: Directory) -> None:
    for name in source.names():
        os.rename(name, name, src_dir_fd=source.fd, dst_dir_fd=target.fd)


def _set_times(tree: str, seconds: int) -> None:
    for _, directory in _directories(Root(tree, hold=True)):
        for name in directory.names():
            directory.utime(name, seconds * 10**9)
        directory.utime("", seconds * 10**9)
