"""`builder build` from the outside: what is on which stream, what is in which file, and the exit status."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from builder.cli.main import main
from tests.cli.conftest import ROOT, Cli

SCRATCH = "FROM scratch\nCOPY greeting.txt /\nLABEL a=b\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(SCRATCH)
    (folder / "greeting.txt").write_text("hello\n")
    return folder


def test_the_result_alone_is_on_standard_output(cli: Cli, context: Path) -> None:
    loud = cli("build", "--progress", "plain", "-t", "app", "context")
    assert (loud.returncode, loud.stdout) == (0, "")
    quiet = cli("build", "-q", "-t", "app", "context")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", quiet.stdout)
    silent = cli("build", "--progress", "none", "context")
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


def test_plain_progress_is_the_default_without_a_terminal(cli: Cli, context: Path) -> None:
    first, second = cli("build", "context"), cli("build", "--progress", "tty", "context")
    assert first.stderr.startswith('#0 building with "builtin" runtime\n\n#1 [internal] load build definition from ')
    assert re.search(r"(?m)^#\d+ \[1/1\] COPY greeting.txt /\n#\d+ DONE \d\.\ds$", first.stderr)
    assert re.search(r"(?m)^#\d+ \[1/1\] COPY greeting.txt /\n#\d+ CACHED$", second.stderr)
    (context / "greeting.txt").write_text("changed\n")
    assert re.search(r"(?m)^#\d+ miss: .*greeting\.txt", cli("build", "context").stderr)


def test_files_beside_the_image(cli: Cli, context: Path, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("old")
    done = cli("build", "-q", "--iidfile", "iid", "--metadata-file", "meta.json", "-t", "app:x", "context")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "iid").read_text() + "\n" == done.stdout
    metadata = json.loads((tmp_path / "meta.json").read_text())
    assert metadata["image.name"] == "docker.io/library/app:x"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", metadata["containerimage.digest"])
    left = {path.name for path in tmp_path.iterdir()} - {".cache"}
    assert left == {"context", "iid", "meta.json", "state"}


def test_a_tar_on_standard_output(cli: Cli, context: Path, tmp_path: Path) -> None:
    assert cli("build", "-o", "-", "context").stdout.startswith("greeting.txt\0")
    assert cli("build", "-o", "out", "context").returncode == 0
    assert (tmp_path / "out" / "greeting.txt").read_text() == "hello\n"


def test_a_dockerfile_from_standard_input(cli: Cli, context: Path, tmp_path: Path) -> None:
    done = cli("build", "-f", "-", "-o", "type=tar,dest=x.tar", "context",
               stdin=b"FROM scratch\nCOPY greeting.txt /renamed\n")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == ["renamed"]


def test_a_context_from_an_archive_keeps_its_owners(cli: Cli, context: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in (("Dockerfile", b"FROM scratch\nCOPY f /f\n"), ("f", b"x")):
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid = len(text), 5, 6
            tar.addfile(member, io.BytesIO(text))
    done = cli("build", "-o", "type=tar,dest=x.tar", "-", stdin=stream.getvalue())
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert [(member.name, member.uid, member.gid) for member in tar] == [("f", 5, 6)]


def test_a_mistake_in_the_dockerfile(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPPY greeting.txt /\n")
    done = cli("build", "--progress", "plain", "context")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "Dockerfile:2\n--------------------\n   1 |     FROM scratch\n   2 | >>> COPPY greeting.txt /\n   3 |     \n"
        "--------------------\nhint: did you mean `COPY`?\nERROR: failed to build: failed to solve: "
        "dockerfile parse error on line 2: unknown instruction: `COPPY`\n")
    quiet = cli("build", "-q", "context")
    assert (quiet.returncode, quiet.stdout) == (1, "")
    assert quiet.stderr == """\
error[unknown-instruction]: unknown instruction: `COPPY`
 --> Dockerfile:2:1
  |
2 | COPPY greeting.txt /
  | ^^^^^
hint: did you mean `COPY`?
ERROR: failed to build: failed to solve: dockerfile parse error on line 2: unknown instruction: `COPPY`
"""


def test_raw_json_is_json_up_to_the_error(cli: Cli, context: Path) -> None:
    lines = cli("build", "--progress", "rawjson", "context").stderr.splitlines()
    assert {key for line in lines for key in json.loads(line)} >= {"vertexes"}


def test_findings_are_told_at_the_end(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch as x\nCOPY greeting.txt /\n")
    found = " - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n"
    assert cli("build", "--progress", "plain", "context").stderr.endswith(
        "\n 1 warning found (use --debug to expand):\n" + found)
    assert "More info: https://docs.docker.com/go/dockerfile/rule/from-as-casing/\nDockerfile:1\n" in cli(
        "build", "--progress", "plain", "--debug", "context").stderr


def test_check(cli: Cli, context: Path) -> None:
    assert (cli("build", "--check", "context").stdout, cli("build", "--check", "context").returncode) == (
        "Check complete, no warnings found.\n", 0)
    (context / "Dockerfile").write_text("FROM scratch as x\n")
    done = cli("build", "--check", "context")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == """\
Check complete, 1 warning has been found!

WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/
'as' and 'FROM' keywords' casing do not match
context/Dockerfile:1
--------------------
   1 | >>> FROM scratch as x
   2 |     {}
--------------------
""".format("")
    document = json.loads(cli("build", "--call", "check,format=json", "context").stdout)
    assert document["warnings"][0]["location"] == {"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}
    assert document["sources"][0]["filename"] == "Dockerfile"


@pytest.mark.parametrize(("what", "words"), [("ast", "(dockerfile"), ("plan", "output "), ("keys", "#2 (identified")])
def test_print(cli: Cli, context: Path, what: str, words: str) -> None:
    done = cli("build", "--print", what, "context")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert cli("build", "--print", "nonsense", "context").returncode == 1


def test_images_of_the_store(cli: Cli, context: Path, tmp_path: Path) -> None:
    """The way of an image through the other commands."""
    image = cli("build", "-q", "-t", "app:dev", "context").stdout.strip()
    assert cli("images", "-q", "--no-trunc").stdout.strip() == image
    assert cli("tag", "app:dev", "localhost:5000/other:1").returncode == 0
    assert set(cli("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()) == {
        "app:dev", "localhost:5000/other:1"}
    assert cli("inspect", "-f", "{{.Config.Labels.a}} {{len .RootFS.Layers}}", "app:dev").stdout == "b 1\n"
    assert cli("history", "--format", "{{.CreatedBy}}", "app:dev").stdout.splitlines()[0] == "LABEL a=b"
    assert cli("save", "-o", "x.tar", "app:dev").returncode == 0
    assert cli("rmi", "app:dev").stdout.startswith("Untagged: app:dev\n")
    assert cli("load", "-i", "x.tar").stdout == "Loaded image: app:dev\n"
    assert cli("inspect", "nope").stdout == "[]\n" and cli("inspect", "nope").returncode == 1
    assert cli("why", "--all").stdout.count("\n\n") == 1
    assert cli("builds", "-q").stdout.count("\n") == 1
    assert cli("fsck").stdout == "no damage found\n"
    assert cli("du", "--format", "{{.Type}}").returncode == 0
    assert cli("prune", "-f").stdout.splitlines()[-1].startswith("Total:")
    assert cli("images", "-q", "--no-trunc", "app").stdout.strip() == image


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_says_so(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """The build waits for its context on standard input, which never ends."""
    command = [sys.executable, "-m", "builder", "--root", str(tmp_path / "state"), "build", "--progress", "plain", "-"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=_hear_interrupts) as build:
        assert build.stdin is not None and build.stderr is not None
        first = build.stderr.readline()
        build.send_signal(number)
        rest = build.stderr.read()
        assert build.wait(20) == status
    assert first == b'#0 building with "builtin" runtime\n'
    assert rest.endswith(b"builder: interrupted\n") and b"Traceback" not in rest


def _hear_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("setting", "instruction", "told"), [
    ("1", "MAINTAINER me", True), ("1", "ENV A=1", False), ("0", "MAINTAINER me", False),
])
def test_findings_in_the_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, instruction: str,
                                  told: bool) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUILDER_ROOT", str(tmp_path / "state"))
    monkeypatch.setenv("BUILDX_METADATA_WARNINGS", setting)
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{instruction}\n")
    assert main(["build", "--metadata-file", "meta.json", "."]) == 0
    assert ("buildx.build.warnings" in json.loads((tmp_path / "meta.json").read_text())) is told
