"""Everything that can be wrong with what a person gives: a clear error each, a status other than 0, nothing lost."""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


def refused(builder: Command, dockerfile: str, *words: str, args: tuple[str, ...] = ()) -> str:
    """Builds, checks that it fails with all the words and without a traceback; the message."""
    done = builder.build(dockerfile, *args)
    assert done.returncode in (1, 125), done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "this is a bug" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize(("dockerfile", "words"), [
    ("FROM base\nRUNN true\nCOPPY a b\n", ("unknown instruction", "RUNN", "COPPY", "Dockerfile:2", "Dockerfile:3")),
    ("FROM base\nCOPY missing.txt /\n", ("missing.txt", "not found", "Dockerfile:2")),
    ("FROM base\nCOPY --from=nope /x /y\n", ("nope",)),
    ("FROM base AS build\nCOPY --from=biuld /x /y\n", ("biuld",)),
    ("FROM base AS build\nFROM base\nCOPY --from=biuld /x /y\n", ("there is no stage `biuld` (did you mean build?)",)),
    ("FROM base AS build\nFROM buildd\n", ("there is no stage `buildd` (did you mean build?)",)),
    ("FROM base\nUSER nobody-here\nRUN true\n", ("nobody-here", "passwd", "Dockerfile:3")),
    ("FROM base\nCOPY --chown=nobody-here Dockerfile.txt /\n", ("nobody-here", "Dockerfile:2")),
    ("FROM base\nRUN no-such-program --x\n", ("no-such-program", "exit code: 127", "Dockerfile:2")),
    ('FROM base\nRUN ["/no/such/program"]\n', ("/no/such/program",)),
    ("FROM base\nWORKDIR ${X?needed here}\n", ("needed here", "Dockerfile:2")),
    ("FROM base:Upper/Case\n", ("invalid reference",)),
    ("", ("empty",)),
    ("# only a comment\n", ("no instructions",)),
    ("RUN true\n", ("FROM",)),
    ("FROM base\nEXPOSE 99999\n", ("99999", "Dockerfile:2")),
    ("FROM base\nSTOPSIGNAL SIGNOPE\n", ("SIGNOPE", "Dockerfile:2")),
    ("FROM base AS a\nCOPY --from=b /x /\nFROM base AS b\nCOPY --from=a /x /\n", ("circular dependency",)),
])
def test_dockerfiles(builder: Command, dockerfile: str, words: tuple[str, ...]) -> None:
    (builder.context / "Dockerfile.txt").write_text("x")
    refused(builder, dockerfile, *words)


def test_an_unknown_target_is_named_with_the_nearest(builder: Command) -> None:
    refused(builder, "FROM base AS build\n", "biuld", "did you mean build?", args=("--target", "biuld"))


def test_misspelt_files_and_images_are_named_as_they_are(builder: Command) -> None:
    (builder.context / "README.md").write_text("")
    (builder.context / "Other").write_text("FROM scratch\n")
    refused(builder, "FROM scratch\nCOPY READM.md /\n", "did you mean `README.md`?")
    missing = builder.run("build", "-f", str(builder.context / "Othr"), str(builder.context))
    assert f"did you mean `{builder.context}/Other`?" in missing.stderr
    assert builder.build("FROM scratch\n", "-t", "saved", "-t", "app:latest").returncode == 0
    assert "did you mean `saved`?" in builder.run("history", "saevd").stderr
    assert "did you mean `app:latest`?" in builder.run("inspect", "app:lates").stderr


def test_a_missing_dockerfile_and_context(builder: Command) -> None:
    done = builder.run("build", str(builder.context))
    assert (done.returncode, "failed to read dockerfile" in done.stderr) == (1, True)
    done = builder.run("build", "/no/such/context")
    assert (done.returncode, "/no/such/context" in done.stderr) == (1, True)


def archive(*members: tuple[str, bytes, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            tar.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


def test_a_broken_archive(builder: Command) -> None:
    whole = archive(("a", tarfile.REGTYPE, "x" * 100_000))
    (builder.context / "broken.tar").write_bytes(whole[:50_000])
    refused(builder, "FROM base\nADD broken.tar /\n", "broken.tar", "Dockerfile:2")


def test_hostile_archives_stay_inside(builder: Command) -> None:
    outside = builder.context.parent / "outside"
    outside.mkdir()
    (builder.context / "climb.tar").write_bytes(archive(("../../../escaped", tarfile.REGTYPE, "climbed"),
                                                        ("/absolute", tarfile.REGTYPE, "rooted")))
    (builder.context / "link.tar").write_bytes(archive(("out", tarfile.SYMTYPE, str(outside)),
                                                       ("out/file", tarfile.REGTYPE, "written outside")))
    out = builder.files("FROM scratch\nADD climb.tar /in/\n")
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == ["in/absolute", "in/escaped"]
    builder.build("FROM scratch\nADD link.tar /in/\n")
    assert list(outside.iterdir()) == []
    assert not os.path.lexists("/escaped")


def test_symlinks_of_an_image_do_not_lead_out(builder: Command) -> None:
    outside = builder.context.parent / "outside"
    outside.mkdir()
    (builder.context / "f").write_text("f")
    dockerfile = f"FROM base AS a\nRUN ln -s {outside} /out && ln -s ../../../../../..{outside} /climb\n"
    out = builder.files(dockerfile + "COPY f /out/\nCOPY f /climb/\nFROM scratch\nCOPY --from=a /out/ /copied/\n")
    assert list(outside.iterdir()) == []
    assert (out / "copied" / "f").read_text() == "f"


def test_an_unreadable_file_of_the_context(builder: Command) -> None:
    """As a user who may not read it: root may read everything."""
    (builder.context / "secret").write_text("x")
    os.chmod(builder.context / "secret", 0o000)
    argv = builder.argv(*builder.build_args("FROM scratch\nCOPY . /\n"), str(builder.context))
    for path in (builder.context, *builder.context.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    state = builder.context.parent / "user-state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    argv[argv.index("--root") + 1] = str(state / "root")
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *argv],
                          capture_output=True, text=True, env={**os.environ, "HOME": str(state)})
    assert done.returncode == 1
    assert "secret" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_registry(builder: Command) -> None:
    refused(builder, "FROM 127.0.0.1:9/nothing:1\n", "127.0.0.1:9", "Dockerfile:1")


class _LyingRegistry(http.server.BaseHTTPRequestHandler):
    """Serves a manifest whose content is not what its digest says."""

    def do_GET(self) -> None:
        body = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Docker-Content-Digest", "sha256:" + "0" * 64)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def lying_registry() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _LyingRegistry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_digest_that_does_not_match(builder: Command, lying_registry: str) -> None:
    refused(builder, f"FROM {lying_registry}/x@sha256:{'1' * 64}\n", "digest")
    refused(builder, f"FROM {lying_registry}/x:1\n", "digest")


def test_a_damaged_blob_is_not_passed_on(builder: Command, tmp_path: Path) -> None:
    dockerfile = "FROM base\nRUN dd if=/dev/urandom of=/x bs=1M count=2\n"
    assert builder.build(dockerfile, "-t", "x").returncode == 0
    blobs = sorted((builder.root / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest = blobs[-1]
    largest.chmod(0o600)
    with largest.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    done = builder.run("save", "-o", str(tmp_path / "out.tar"), "x")
    assert done.returncode == 1
    assert "digest" in done.stderr or "damaged" in done.stderr
    assert not (tmp_path / "out.tar").exists()
    mended = builder.build(dockerfile, "-t", "x")
    assert mended.returncode == 0, mended.stderr
    assert "\n#4 CACHED" in mended.stderr
    assert builder.run("save", "-o", str(tmp_path / "out.tar"), "x").returncode == 0


def test_a_full_disk_loses_nothing(builder: Command, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=True)
    try:
        builder.root = small / "state"
        assert builder.build("FROM base\nRUN echo kept > /kept\n", "-t", "kept").returncode == 0
        message = refused(builder, "FROM base\nRUN dd if=/dev/urandom of=/big bs=1M count=40\n")
        assert "No space left" in message or "no space" in message or "full" in message
        again = builder.build("FROM base\nRUN echo kept > /kept\n", "-t", "kept")
        assert again.returncode == 0, again.stderr
        assert "RUN echo kept > /kept\n#4 CACHED" in again.stderr
        checked = builder.run("fsck")
        assert checked.returncode == 0, checked.stdout
    finally:
        subprocess.run(["umount", str(small)], check=True)
