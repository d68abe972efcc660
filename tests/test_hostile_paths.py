"""No room touches files that come from outside by a path of this machine: contexts, layers, archives and what steps
wrote are opened beneath `builder.rooted` alone.

Every call by path in the rooms that deal with such files is listed below with what makes its path harmless.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "builder"
ROOMS = ("layer", "context", "inspection", "solver", "images", "remotecache", "containers", "sandbox/nooverlay.py")

BY_PATH = frozenset({
    "access", "chdir", "chmod", "chown", "fwalk", "getxattr", "lchmod", "lchown", "link", "listdir", "listxattr",
    "lstat", "makedirs", "mkdir", "mkfifo", "mknod", "open", "readlink", "remove", "removedirs", "removexattr",
    "rename", "renames", "replace", "rmdir", "scandir", "setxattr", "stat", "statvfs", "symlink", "truncate",
    "unlink", "utime", "walk",
})
"""Functions of `os` that take a path."""
OF_PATHS = frozenset({"exists", "getmtime", "getsize", "isdir", "isfile", "islink", "ismount", "lexists", "realpath",
                      "samefile"})
"""Functions of `os.path` that look at files."""
AT = frozenset({"dir_fd", "src_dir_fd", "dst_dir_fd"})
DESCRIPTORS = frozenset({"fd", "target", "target_fd", "source", "file", "a.fd", "b.fd", "directory.fd"})
"""What calls on descriptors say."""

OWN = "the store's own, out of anybody's reach (store/exposure.py)"
USER = "the user named it"
TOP = "the top of a tree, in the store or in a folder made for it; the content is opened beneath"
SCRATCH = "in a new folder of builder's own, under a name of its own"
MIRROR = "a mirror of git's, which builder owns and configures (context/gitmirror.py)"
KERNEL = "the kernel's"
HARMLESS = {
    "context/checkout.py": {
        "open(os.path.join(git_dir, 'config'), 'a', encoding='utf-8', errors='surrogateescape')": MIRROR,
        "open(os.path.join(git_dir, 'objects', 'info', 'alternates'), 'w')": MIRROR,
        "os.chmod(target_dir, 493)": TOP,
        "os.path.realpath(git_dir)": SCRATCH,
        "os.path.realpath(tree)": TOP,
        "os.unlink(os.path.join(git_dir, 'FETCH_HEAD'))": MIRROR,
        "tempfile.mkdtemp(prefix='tree-', dir=target_dir)": SCRATCH,
    },
    "context/gitignore.py": {"os.readlink(f'/proc/self/fd/{folder.fd}')": KERNEL},
    "context/git.py": {"os.makedirs(access.cache_dir, mode=448, exist_ok=True)": OWN},
    "context/gitmirror.py": {
        "os.lstat(self.path)": MIRROR,
        "os.open(f'{self.path}.lock', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 384)": MIRROR,
        "os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)": MIRROR,
        "os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 384)": MIRROR,
        "os.path.exists(os.path.join(self.path, 'shallow'))": MIRROR,
        "os.path.lexists(self.path)": MIRROR,
        "os.rename(scratch, path)": MIRROR,
        "os.rename(staging, self.path)": MIRROR,
        "os.unlink(os.path.join(self.path, name))": MIRROR,
        "tempfile.mkdtemp(prefix='new-', dir=self._cache_dir)": MIRROR,
    },
    "context/httpsource.py": {
        "os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)": SCRATCH,
        "os.unlink(self._path)": SCRATCH,
        "os.utime(self._path, (file.mtime, file.mtime))": SCRATCH,
    },
    "context/local.py": {
        "os.open(path, os.O_RDONLY | os.O_CLOEXEC)": USER, "os.readlink(f'/proc/self/fd/{folder.fd}')": KERNEL,
    },
    "context/objectstore.py": {"open(target_file, 'wb')": SCRATCH},
    "context/remotecontext.py": {
        "open(path, 'rb')": SCRATCH, "open(path, 'wb')": SCRATCH, "os.path.exists(path)": SCRATCH,
        "os.unlink(path)": SCRATCH, "shutil.copyfileobj(stream, file)": "two open files",
    },
    "solver/busyfiles.py": {"os.mkdir(folder)": SCRATCH},
    "solver/steplogs.py": {"open(path, 'ab', buffering=0)": OWN},
    "solver/ops/execmounts.py": {
        "os.chmod(path, mode)": TOP, "os.chown(path, uid, gid)": TOP, "os.path.exists(socket)": USER,
    },
    "images/outfile.py": {
        "os.path.exists(dest)": USER, "os.path.isdir(dest)": USER,
        "os.path.isdir((parent := os.path.dirname(os.path.realpath(dest))))": USER, "os.path.realpath(dest)": USER,
    },
    "images/rootfs.py": {"os.stat(path)": TOP},
    "images/tarball.py": {
        "open(self._store.blob_path(digest), 'rb', buffering=0)": OWN,
    },
    "images/layerblobs.py": {"open(staged.path, 'wb')": OWN},
    "images/push.py": {"open(store.blob_path(blob.digest), 'rb', buffering=0)": OWN},
    "images/load.py": {"open(store.blob_path(digest), 'rb')": OWN},
    "inspection/shell.py": {"os.path.realpath(build.context)": USER},
    "layer/comparing.py": {"os.open(one, DIRECTORY)": TOP, "os.open(other, DIRECTORY)": TOP},
    "layer/copylayer.py": {
        "os.makedirs(os.path.dirname(path), exist_ok=True)": SCRATCH,
        "open(path, 'x', encoding='utf-8', errors='surrogateescape', newline='')": SCRATCH,
    },
    "layer/newfiles.py": {"open('/proc/self/status', 'rb')": KERNEL},
    "layer/overlay.py": {
        "os.setxattr(path, f'{xattr_prefix}.overlay.opaque', b'y')": "a descriptor, but in tests",
        "os.setxattr(path, OWNER_XATTR, b'%d:%d' % (uid, gid))": "a descriptor, but in tests",
    },
    "layer/memberpaths.py": {"os.open(root_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)": TOP},
    "layer/view.py": {"open('/proc/self/uid_map', encoding='ascii')": KERNEL},
    "layer/walk.py": {"os.open(layer_dir, DIRECTORY)": TOP},
    "sandbox/nooverlay.py": {
        "os.mkdir(copies_dir, 448)": SCRATCH, "os.mkdir(top_dir, 493)": SCRATCH,
        "os.open(mount.source, os.O_PATH)": USER,
    },
}


def calls_by_path(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and _is_by_path(node):
            yield ast.unparse(node)


def _is_by_path(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    room, _, function = name.rpartition(".")
    if room in ("shutil", "glob", "tempfile"):
        return function != "which"
    first = ast.unparse(call.args[0]) if call.args else ""
    if name == "open":
        return not first.endswith(("fd", ".open()", "()")) and ".open(" not in first and "open_" not in first
    if room == "os.path":
        return function in OF_PATHS
    if room != "os" or function not in BY_PATH:
        return False
    return not (AT & {keyword.arg for keyword in call.keywords} or first in DESCRIPTORS)


def _files() -> list[Path]:
    found = [PACKAGE / room for room in ROOMS if room.endswith(".py")]
    return found + [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_touched_by_path_is_known_to_be_harmless(path: Path) -> None:
    allowed = HARMLESS.get(str(path.relative_to(PACKAGE)), {})
    found = set(calls_by_path(path))
    assert sorted(found - allowed.keys()) == [], "open it beneath builder.rooted, or say here why its path is harmless"
    assert sorted(allowed.keys() - found) == [], "no longer called: take it off the list"


def test_the_tables_name_what_exists() -> None:
    assert [name for name in (*ROOMS, *HARMLESS) if not (PACKAGE / name).exists()] == []


def test_the_check_sees_calls_by_path(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("os.open(path, 0)\nopen(entry.path)\nos.path.isdir(x)\nshutil.rmtree(x)\nos.scandir(top)\n"
                      "os.open(name, 0, dir_fd=fd)\nos.stat(a.fd)\nopen(fd, 'rb')\nopen(entry.open(), 'rb')\n")
    assert sorted(calls_by_path(source)) == ["open(entry.path)", "os.open(path, 0)", "os.path.isdir(x)",
                                             "os.scandir(top)", "shutil.rmtree(x)"]
