"""Streams that cannot be written, and terminals that what is shown must not steer."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from builder.solver import events
from builder.ui.plain import Plain
from builder.ui.text import visible
from builder.ui.tty import Live
from tests.cli.conftest import ROOT

HOSTILE = "\x1b]0;title\x07\x1b]52;c;eA==\x07\x1b[2J\x1b[1;1H\x1bPq\x1b\\\x9b5n\u202e\x08\r"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """`$B` is the command."""
    environment = {**os.environ, "BUILDER_ROOT": str(folder / "state"), "HOME": str(folder), "PYTHONPATH": str(ROOT),
                   "B": f"{sys.executable} -m builder"}
    return subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, timeout=120,
                          check=False)


@pytest.mark.parametrize(("where", "flags"), [
    ("2>&-", ""), ("2>/dev/full", ""), ("2>/dev/full", "--progress=rawjson"), (">&-", "-q"), (">/dev/full", "-q"),
    (">&- 2>&- <&-", ""), ("2>&1 >/dev/full | :", "--progress=plain"),
])
def test_a_build_that_cannot_be_shown_is_built(context: Path, tmp_path: Path, where: str, flags: str) -> None:
    done = shell(f"$B build {flags} -t app context {where}", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert shell("$B inspect app", tmp_path).returncode == 0


def test_no_file_takes_the_number_of_a_closed_stream(context: Path, tmp_path: Path) -> None:
    shell("$B build -t app context >&- 2>&- <&-", tmp_path)
    assert shell("$B fsck", tmp_path).returncode == 0


@pytest.mark.parametrize("command", ["images", "inspect app", "why", "--help"])
def test_a_command_that_cannot_say_what_it_does_still_does_it(context: Path, tmp_path: Path, command: str) -> None:
    shell("$B build -t app context", tmp_path)
    for where in ("2>&-", "2>/dev/full", ">&-", "<&-"):
        assert shell(f"$B {command} {where}", tmp_path).returncode == 0, where
    lost = shell(f"$B {command} >/dev/full", tmp_path)
    assert lost.returncode == 1, "what was asked for is lost"
    assert b"no space left on device" in lost.stderr
    assert b"Traceback" not in lost.stderr


def test_an_error_that_cannot_be_shown_is_still_a_status(context: Path, tmp_path: Path) -> None:
    for where in ("2>&-", "2>/dev/full"):
        assert shell(f"$B build --nope . {where}", tmp_path).returncode == 125
        assert shell(f"$B nope {where}", tmp_path).returncode == 1


@pytest.mark.parametrize("name", ["iidfile", "iidfile-raw", "digest-file"])
def test_an_old_id_does_not_outlive_a_build_that_fails(context: Path, tmp_path: Path, name: str) -> None:
    assert shell(f"$B build --{name} id context", tmp_path).returncode == 0
    assert (tmp_path / "id").read_text()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY nope /\n")
    assert shell(f"$B build --nope --{name} id context", tmp_path).returncode == 125
    assert (tmp_path / "id").exists(), "as with docker: not before the flags are read"
    assert shell(f"$B build --{name} id context", tmp_path).returncode == 1
    assert not (tmp_path / "id").exists()


def test_metadata_of_an_earlier_build_stay_as_with_docker(context: Path, tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("old")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY nope /\n")
    shell("$B build --metadata-file metadata context", tmp_path)
    assert (tmp_path / "metadata").read_text() == "old"


@pytest.mark.parametrize(("text", "shown"), [
    ("plain\ttext\n", "plain\ttext\n"), ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"), ("a\r\nb", "a\r\nb"),
    ("\x1b[2Jx", "\\x1b[2Jx"), ("\x1b]0;t\x07", "\\x1b]0;t\\x07"), ("a\rb", "a\\rb"), ("\x9b31m", "\\x9b31m"),
    ("\x1b[?25l", "\\x1b[?25l"), ("\x1b[31", "\\x1b[31"), ("\u202eabc", "\\u202eabc"), ("é日", "é日"),
])
def test_what_a_terminal_is_given(text: str, shown: str) -> None:
    assert visible(text) == shown


def read_all(terminal: int) -> bytes:
    data = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            data += piece
    except OSError:
        pass  # the other end is closed
    return data


@pytest.mark.parametrize("view", [Plain, Live])
def test_the_output_of_a_step_cannot_steer_the_terminal(view: type[Plain | Live]) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        progress = view(stream)
        for event in (
                events.VertexNamed(time=1.0, vertex=1, name=f"RUN {HOSTILE}"),
                events.VertexStarted(time=1.0, vertex=1, why=f"changed {HOSTILE}"),
                events.VertexProgress(time=1.0, vertex=1, item=HOSTILE, current=1, total=1, done=True),
                events.WarningRaised(time=1.0, vertex=1, rule="", message=HOSTILE),
                events.VertexLog(time=1.5, vertex=1, stream=1, data=f"\x1b[32mfine\x1b[0m {HOSTILE}\n".encode()),
                events.VertexFailed(time=2.0, vertex=1, error=f"failed {HOSTILE}")):
            progress.handle(event)
        progress.close()
    shown = read_all(ours).decode()
    assert "fine" in shown
    for sequence in ("\x1b]", "\x1b[2J", "\x1b[1;1H", "\x1bP", "\x9b", "\u202e", "\x08", "\x07"):
        assert sequence not in shown


def on_terminal(arguments: list[str], folder: Path) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "BUILDER_ROOT": str(folder / "state"), "HOME": str(folder), "PYTHONPATH": str(ROOT),
                   "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-m", "builder", *arguments], cwd=folder, env=environment,
                          stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = read_all(ours).decode()
    assert process.returncode in (0, 1, 125)
    return shown


def test_what_images_say_of_themselves_cannot_steer_the_terminal(context: Path, tmp_path: Path) -> None:
    (context / f"{HOSTILE.replace('/', '')}.txt").write_text(HOSTILE)
    (context / "Dockerfile").write_text(f'FROM scratch\nLABEL a="{HOSTILE}"\nCOPY . /\n', newline="")
    assert shell("$B build -t app context", tmp_path).returncode == 0
    everything = "".join(on_terminal(arguments, tmp_path) for arguments in (
        ["build", "--no-cache", "context"], ["build", "--progress=plain", "--no-cache", "context"],
        ["inspect", "app"], ["inspect", "--format", "{{.Config.Labels.a}}", "app"], ["history", "--no-trunc", "app"],
        ["ls", "app:/"], ["context", "ls", "context"],
        ["cat", f"app:/{HOSTILE.replace('/', '')}.txt"], ["why", "--all"],
        ["images", "--format", "{{.Repository}}"], ["inspect", f"nope{HOSTILE}"], [HOSTILE], ["build", f"--{HOSTILE}"]))
    for sequence in ("\x1b]", "\x1b[2J", "\x1b[1;1H", "\x1bP", "\x9b", "\u202e", "\x08", "\x07"):
        assert sequence not in everything


def test_elsewhere_the_bytes_are_the_images(context: Path, tmp_path: Path) -> None:
    (context / "a").write_bytes(HOSTILE.encode())
    (context / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    shell("$B build -t app context", tmp_path)
    assert shell("$B cat app:/a", tmp_path).stdout == HOSTILE.encode()
