"""What git ignores and a build takes: `context ls`, its suggestions, and the warning of a build."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

FILES = ("src/a.py", "src/.env.example", "node_modules/x/y.js", "web/node_modules/z.js", "web/index.js", "a/tmp/x",
         "b/tmp/y", "b/tmp/kept", "c/tmp", ".env", "[x].log", "#y.log", "!z.log", " w.log", "deploy/server.pem",
         "public.pem")
IGNORE = "node_modules/\ntmp/\n*.log\n.env\n*.pem\n!/public.pem\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    for name in FILES:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    (context / ".gitignore").write_text(IGNORE)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /app\n")
    (context / ".dockerignore").write_text(".git\n")
    for arguments in (["init", "-q"], ["add", "."], ["add", "-f", "b/tmp/kept"]):
        subprocess.run(["git", *arguments], cwd=context, check=True, capture_output=True)
    return context


def taken(cli: Cli) -> set[str]:
    listing = json.loads(cli("context", "ls", "--json", "context").stdout)
    return {file["path"] for file in listing["takings"][0]["files"]}


def test_what_git_ignores_is_named(cli: Cli, context: Path) -> None:
    lines = cli("context", "ls", "context").stdout.splitlines()
    start = lines.index("taken, though git ignores it (`--suggest` prints lines for .dockerignore):")
    assert [line[11:] for line in lines[start + 1:lines.index("", start)]] == [
        " w.log", "!z.log", "#y.log", ".env", "[x].log", "a/tmp/ (1 file)", "b/tmp/y", "deploy/server.pem",
        "node_modules/ (1 file)", "web/node_modules/ (1 file)"]


def test_suggestions_hide_exactly_that(cli: Cli, context: Path) -> None:
    def git(*arguments: str) -> set[str]:
        return set(subprocess.run(["git", *arguments, "-z"], cwd=context, check=True, capture_output=True,
                                  text=True).stdout.split("\0"))

    before = taken(cli)
    ignored = git("ls-files", "-o", "-i", "--exclude-standard") & before
    lines = cli("context", "ls", "--suggest", "context").stdout
    assert "**/node_modules\n" in lines and "a/tmp\n" in lines
    with (context / ".dockerignore").open("a") as file:
        file.write(lines)
    assert before - taken(cli) == ignored
    assert git("ls-files") - {""} <= taken(cli)
    assert cli("context", "ls", "--suggest", "context").stdout == ""


def test_without_ignore_files_nothing_is_suggested(cli: Cli, context: Path) -> None:
    (context / ".gitignore").unlink()
    assert cli("context", "ls", "--suggest", "context").stdout == ""


def test_a_build_warns_of_secrets_that_git_ignores(cli: Cli, context: Path) -> None:
    done = cli("build", "--progress=plain", "context")
    warnings = [line for line in done.stderr.splitlines() if line.startswith(" - ")]
    assert (done.returncode, warnings) == (0, [
        f" - IgnoredSecretCopied: COPY . /app: git ignores `{path}`, which looks like a secret and is now in a layer: "
        f"to leave it out, add the line `{path}` to .dockerignore (line 2)" for path in (".env", "deploy/server.pem")])
    assert "IgnoredSecretCopied" not in cli("build", "--progress=plain", "context").stderr, "nothing was copied"
    quiet = cli("build", "-q", "--no-cache", "context")
    assert (quiet.returncode, quiet.stderr) == (0, "")


@pytest.mark.parametrize("changed", ["tracked", "hidden", "no-rules"])
def test_a_build_does_not_warn_of(cli: Cli, context: Path, changed: str) -> None:
    match changed:
        case "tracked":
            subprocess.run(["git", "add", "-f", ".env", "deploy"], cwd=context, check=True)
        case "hidden":
            (context / ".dockerignore").write_text(".git\n.env\n**/*.pem\n")
        case "no-rules":
            os.unlink(context / ".gitignore")
    assert "IgnoredSecretCopied" not in cli("build", "--progress=plain", "context").stderr
