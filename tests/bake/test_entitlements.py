"""What a definition has to be granted before it may touch it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bake.cases import bake


@pytest.fixture(autouse=True)
def no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUILDX_BAKE_ENTITLEMENTS_FS", raising=False)


def refused(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
            *more: str) -> str:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "docker-bake.hcl").write_text('target "default" {\n' + text + "\n}\n")
    assert bake(work, monkeypatch, "--root", str(folder / "state"), *more) != 0
    return capsys.readouterr().err


@pytest.mark.parametrize(("text", "what", "flag"), [
    ('context = "../other"', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { x = "../other" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('dockerfile = "../other/Dockerfile"', "read access to path ../other", "--allow=fs.read=../other"),
    ('output = ["../other/new"]', "write access to path ../other", "--allow=fs.write=../other"),
    ('secret = ["id=x,src=/etc/passwd"]', "read access to path /etc/passwd", "--allow=fs.read=/etc/passwd"),
    ('ssh = ["default"]', "forwarding default SSH agent socket", "--allow=ssh"),
    ('network = "host"', "running build containers that can access host network", "--allow=network.host"),
    ('context = "../other"\noutput = ["../other"]', "read and write access to path ../other", "--allow=fs=../other"),
    ('contexts = { x = "oci-layout://../other:tag" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { x = "oci-layout://link@sha256:0" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { x = "cwd://../other" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { x = "docker-image:/../../other" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { x = "https://../../other" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('context = "https://../../other"', "read access to path ../other", "--allow=fs.read=../other"),
    ('dockerfile = "cwd://../other/Dockerfile"', "read access to path ../other", "--allow=fs.read=../other"),
    ('context = "https://h/x.git"\ndockerfile = "/etc/passwd"', "read access to path /etc/passwd",
     "--allow=fs.read=/etc/passwd"),
    ('secret = ["id=/etc/passwd"]', "read access to path /etc/passwd", "--allow=fs.read=/etc/passwd"),
    ('secret = [{ id = "/etc/passwd" }]', "read access to path /etc/passwd", "--allow=fs.read=/etc/passwd"),
    ('ssh = ["x=/etc/passwd"]', "read access to path /etc/passwd", "--allow=fs.read=/etc/passwd"),
    ('output = [{ type = "local", DEST = "../other" }]', "write access to path ../other", "--allow=fs.write=../other"),
    ('cache-to = [{ type = "local", Dest = "../other" }]', "write access to path ../other",
     "--allow=fs.write=../other"),
    ('cache-from = [{ type = "local", SRC = "../other" }]', "read access to path ../other", "--allow=fs.read=../other"),
    ('cache-to = ["type=local, dest=../other"]', "write access to path ../other", "--allow=fs.write=../other"),
    ('cache-from = [{ type = "local", "src " = "../other" }]', "read access to path ../other",
     "--allow=fs.read=../other"),
    ('ssh = ["default="]', "forwarding default SSH agent socket", "--allow=ssh"),
    ('ssh = [{ id = "default", paths = [""] }]', "forwarding default SSH agent socket", "--allow=ssh"),
    ('ssh = [{ id = "x", paths = ["./a,../other"] }]', "read access to path ../other", "--allow=fs.read=../other"),
    ('ssh = [{ id = "x=../other,y", paths = ["./a"] }]', "read access to path ../other", "--allow=fs.read=../other"),
    ('contexts = { "x=../other/a" = "./b" }', "read access to path ../other", "--allow=fs.read=../other"),
    ('network = "ns:/proc/1/ns/net"', "running build containers that can access host network", "--allow=network.host"),
    ('context = "link"', "read access to path ../other", "--allow=fs.read=../other"),
])
def test_has_to_be_granted(text: str, what: str, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "work").mkdir()
    os.symlink("../other", tmp_path / "work" / "link")
    for name in ("docker-image:", "https:"):
        (tmp_path / "work" / name).mkdir()
    shown = refused(text, tmp_path, monkeypatch, capsys)
    assert "error[bake-privileges]: additional privileges requested" in shown
    assert f"note: {what}\n" in shown
    assert f"hint: pass {flag} to grant them" in shown
    assert "additional privileges" not in refused(text, tmp_path, monkeypatch, capsys, flag)


def test_a_nul_byte_in_a_value_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    for text in ('context = "a\\u0000"', 'dockerfile = "a\\u0000"', 'tags = ["a\\u0000"]', 'output = ["a\\u0000"]',
                 'secret = ["id=a,src=b\\u0000"]', 'contexts = { x = "a\\u0000" }', 'args = { x = "a\\u0000" }'):
        shown = refused(text, tmp_path, monkeypatch, capsys)
        assert "NUL byte" in shown, shown


def test_what_the_command_line_names_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused("", tmp_path, monkeypatch, capsys, "--set", f"*.output={tmp_path}/out")
    assert "additional privileges" not in shown


def test_files_can_be_granted_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
    assert "additional privileges" not in refused('context = "../nowhere"', tmp_path, monkeypatch, capsys)
    assert "additional privileges" in refused('network = "host"', tmp_path, monkeypatch, capsys)


def test_unknown_entitlement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown entitlement key `root`" in refused("", tmp_path, monkeypatch, capsys, "--allow", "root")
