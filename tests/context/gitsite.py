"""Repositories of every kind on real servers, and what checking them out gives."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from builder.context.git import GitAccess, fetch_git, resolve_git
from builder.plan.vertices import SourceGit

from .servers import COMMIT_TIME, FileServer, git

FILES = {
    "README": "f 644 second", "link": "l README", "dirlink": "l d", "outside": "l /etc", "bin": "d 755",
    "bin/tool": "f 755 #!/bin/sh", "d": "d 755", "d/e": "d 755", "d/e/f.txt": "f 644 inner",
}
FIRST = {**FILES, "README": "f 644 first"}


class Site:
    """Repositories of every kind, and where they are served."""

    def __init__(self, root: Path, http: FileServer, daemon: str) -> None:
        self.root, self.http, self.daemon = root, http, daemon
        self.base = f"{http.url}/git"
        self.repo = f"{self.base}/repo.git"

    def make(self) -> None:
        work = str(self.root / "work")
        git("init", "-q", "-b", "main", work)
        write(work, {"README": "first\n", "bin/tool": "#!/bin/sh\n", "d/e/f.txt": "inner\n"})
        os.chmod(f"{work}/bin/tool", 0o755)
        for name, target in (("link", "README"), ("dirlink", "d"), ("outside", "/etc")):
            os.symlink(target, f"{work}/{name}")
        self.first = commit(work, "one")
        for args in (("tag", "v1"), ("tag", "-a", "-m", "annotated", "signed"), ("branch", "side"), ("branch", "v2")):
            git(*args, cwd=work)
        self.tag = git("rev-parse", "signed", cwd=work)
        write(work, {"README": "second\n"})
        self.second = commit(work, "two", COMMIT_TIME + 1000)
        git("tag", "v2", cwd=work)
        git("update-ref", "refs/pull/7/head", self.first, cwd=work)
        self.serve(work, "repo.git")

    def serve(self, work: str, name: str) -> None:
        git("clone", "-q", "--mirror", work, str(self.root / name))


def commit(work: str, message: str, time: int = COMMIT_TIME) -> str:
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", message, cwd=work, time=time)
    return git("rev-parse", "HEAD", cwd=work)


def write(folder: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checkout(op: SourceGit, access: GitAccess, target: Path) -> dict[str, str]:
    target.mkdir(mode=0o700)
    fetch_git(op, resolve_git(op, access), str(target), access)
    return listing(target)


def listing(tree: Path) -> dict[str, str]:
    """Kind, mode and text of everything in a tree but what is in a .git folder."""
    found = {}
    for folder, folders, files in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
        for name in (*folders, *files):
            path = Path(folder, name)
            found[str(path.relative_to(tree))] = _describe(path)
    return found


def _describe(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"l {os.readlink(path)}"
    return f"d {mode & 0o7777:o}" if stat.S_ISDIR(mode) else f"f {mode & 0o7777:o} {path.read_text().strip()}"
