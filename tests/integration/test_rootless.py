"""One Dockerfile as root, with subordinate ids and with a single id: the images are equal to the byte.

A single id is what a user without ranges in /etc/subuid has. Files of others are then recorded rather than given away.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import APPLETS, BUSYBOX
from tests.sandbox.test_rootless import ENVIRONMENT, python_of_others

pytestmark = pytest.mark.root
USER = 65534
CAPABILITY = "".join(map(chr, bytes.fromhex("0100000200040000000000000000000000000000")))


def add(tar: tarfile.TarFile, name: str, kind: bytes = tarfile.REGTYPE, *, content: bytes = b"", mode: int = 0o644,
        uid: int = 0, gid: int = 0, link: str = "", pax: dict[str, str] | None = None) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.uid, member.gid, member.linkname = kind, mode, uid, gid, link
    member.size, member.mtime, member.pax_headers = len(content), 1_600_000_000, pax or {}
    tar.addfile(member, io.BytesIO(content))


def base_tar() -> bytes:
    """A system as distributions ship it: files of group shadow, a setgid directory, capabilities, a link of a user."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "bin/busybox", content=Path(BUSYBOX).read_bytes(), mode=0o755)
        for applet in APPLETS:
            add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        add(tar, "etc", tarfile.DIRTYPE, mode=0o755)
        add(tar, "etc/shadow", content=b"root:*:\n", mode=0o640, gid=42)
        add(tar, "etc/gshadow", tarfile.LNKTYPE, link="etc/shadow", mode=0o640, gid=42)
        add(tar, "bin/chage", content=b"chage\n", mode=0o2755, gid=42)
        add(tar, "bin/ping", content=b"ping\n", mode=0o755, uid=7, pax={"SCHILY.xattr.security.capability": CAPABILITY})
        add(tar, "var/mail", tarfile.DIRTYPE, mode=0o2775, gid=8)
        add(tar, "var/cache/man", tarfile.DIRTYPE, mode=0o755, uid=6, gid=12)
        add(tar, "var/cache/man/index", content=b"x", mode=0o600, uid=6, gid=12)
        add(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)
        add(tar, "root", tarfile.DIRTYPE, mode=0o700)
    return out.getvalue()


def second_tar() -> bytes:
    """Passes through directories of others without describing them, and hides one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "var/cache/man/de/index", content=b"y", uid=6, gid=12)
        add(tar, "var/cache/man/.wh.index", mode=0)
    return out.getvalue()


DOCKERFILE = r"""
FROM base AS tools
RUN echo x > /made
FROM base AS middle
RUN echo daemon:x: >> /etc/shadow && touch /var/cache/man/new && chmod 600 /bin/ping && \
    touch /var/mail/box && mkdir /var/mail/d /opt && cat /bin/chage > /opt/chage && \
    rm -r /var/cache/man/de && mv /bin/chage /bin/renamed
COPY --chown=1000:1001 tree /srv/tree
COPY --from=tools /etc/shadow /made /copied/
COPY --from=tools /var/cache /copied/cache
COPY --from=tools /bin/ping /copied/ping
ADD --chown=3:4 archive.tar /archive/
USER 1000
WORKDIR /srv/work
USER 0
RUN echo more >> /srv/tree/file && mkdir /srv/tree/made
FROM scratch
COPY --from=middle / /
"""


class Users:
    """Builds of the same Dockerfile by different users."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        context = folder / "context"
        (context / "tree").mkdir(parents=True)
        (context / "tree" / "file").write_text("file\n")
        os.link(context / "tree" / "file", context / "tree" / "hard")
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "archive.tar").write_bytes(second_tar())
        self.base = folder / "base"
        layers = [base_tar(), second_tar()]
        self._make_layout(layers)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)

    def _make_layout(self, layers: list[bytes]) -> None:
        from images.material import Made, write_layout

        write_layout(self.base, Made(*layers, pack=lambda data: data,
                                     media_type="application/vnd.oci.image.layer.v1.tar"))

    def build(self, who: str, *args: str) -> Path:
        """Where the output of the build by `root`, `subordinate` or `single` is."""
        home = self._folder / who
        home.mkdir()
        os.chown(home, USER if who != "root" else 0, USER if who != "root" else 0)
        out = home / "out"
        argv = [python_of_others(), "-m", "builder", "--root", str(home / "state"), "build", "--progress", "plain",
                "--build-context", f"base=oci-layout://{self.base}", "--output", f"{args[0]},dest={out}", *args[1:],
                str(self._folder / "context")]
        if who != "root":
            # /etc/subuid is replaced in a mount namespace of this command only
            ids = home / "ids"
            ids.write_text(f"nobody:100000:65536\n{USER}:100000:65536\n" if who == "subordinate" else "")
            setup = 'mount --bind "$0" /etc/subuid; mount --bind "$0" /etc/subgid; exec setpriv --reuid=65534 "$@"'
            argv = ["unshare", "-m", "sh", "-c", setup, str(ids), "--regid=65534", "--clear-groups", *argv]
        done = subprocess.run(argv, capture_output=True, text=True, cwd="/", timeout=120,
                              env={**ENVIRONMENT, "HOME": str(home), "SOURCE_DATE_EPOCH": "1600000000"})
        assert done.returncode == 0, f"{who}: {done.stderr}"
        return out


@pytest.fixture
def users() -> Iterator[Users]:
    if not shutil.which("newuidmap"):
        pytest.skip("needs newuidmap (Debian: uidmap)")
    if subprocess.run(["unshare", "-U", "true"], user=USER, group=USER, extra_groups=(), check=False).returncode:
        pytest.skip("this host lets no unprivileged user have a user namespace")
    with tempfile.TemporaryDirectory(prefix="builder-rootless-") as name:
        os.chmod(name, 0o755)
        yield Users(Path(name))


def members(file: Path) -> dict[str, tuple[object, ...]]:
    with tarfile.open(file, errors="surrogateescape") as tar:
        return {m.name: (m.type, oct(m.mode), m.uid, m.gid, m.linkname, m.size, sorted(m.pax_headers.items()))
                for m in tar}


def test_files_have_their_owners_in_every_mode(users: Users) -> None:
    found = {who: members(users.build(who, "type=tar")) for who in ("root", "subordinate", "single")}
    assert found["subordinate"] == found["root"]
    assert found["single"] == found["root"]
    root = found["root"]
    assert [root[name][1:4] for name in ("etc/shadow", "opt/chage", "bin/renamed", "var/mail", "var/mail/box",
                                         "srv/tree/file", "copied/cache/man", "srv/work", "copied/ping")] == [
        ("0o640", 0, 42), ("0o644", 0, 0), ("0o2755", 0, 42), ("0o2775", 0, 8), ("0o644", 0, 8), ("0o644", 1000, 1001),
        ("0o755", 6, 12), ("0o755", 1000, 1000), ("0o755", 7, 0)]


def test_images_are_equal_to_the_byte(users: Users) -> None:
    found = {}
    for who in ("root", "subordinate", "single"):
        out = users.build(who, "type=oci,tar=false,rewrite-timestamp=true", "--target", "middle")
        found[who] = json.loads((out / "index.json").read_text())["manifests"][0]["digest"]
    assert found["subordinate"] == found["root"]
    assert found["single"] == found["root"]
