"""`--check`, `--call`, `lint` and `fmt` as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

DOCKERFILE = "FROM scratch as x\nCOPY greeting.txt \\\n  /\nMAINTAINER me\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "greeting.txt").write_text("hello\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def test_errors_come_after_the_findings(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text(DOCKERFILE + "VOLUME \"\"\n")
    done = cli("build", "--check", "context")
    assert done.returncode == 1
    assert done.stdout.startswith("Check complete, 2 warnings have been found!\n\nWARNING: FromAsCasing - https://")
    assert done.stdout.endswith("--------------------\n\n")
    assert done.stderr.startswith("ERROR: VOLUME specified can not be an empty string\ncontext/Dockerfile:5\n-----")
    document = json.loads(cli("build", "--call=check,format=json", "context").stdout)
    assert document["buildError"] == {
        "message": "VOLUME specified can not be an empty string",
        "location": {"ranges": [{"start": {"line": 5}, "end": {"line": 5}}]}}


def test_findings_that_are_errors(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("# check=error=true\n" + DOCKERFILE)
    done = cli("build", "--check", "context")
    assert (done.returncode, done.stderr) == (
        1, "ERROR: lint violation found for rules: FromAsCasing, MaintainerDeprecated\n\n")
    done = cli("build", "--progress=plain", "context")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "ERROR: failed to build: failed to solve: lint violation found for rules: FromAsCasing, MaintainerDeprecated\n")


def test_every_line_of_a_finding_has_a_range(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY $x \\\n  /\n")
    document = json.loads(cli("build", "--call=check,format=json", "context").stdout)
    assert document["warnings"][0]["location"]["ranges"] == [
        {"start": {"line": 2}, "end": {"line": 2}}, {"start": {"line": 3}, "end": {"line": 3}}]
    assert cli("build", "--check", "--target=nope", "context").returncode == 1


def test_sarif(cli: Cli, context: Path) -> None:
    done = cli("build", "--call=check,format=sarif", "context")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    run = document["runs"][0]
    assert document["version"] == "2.1.0"
    rule = run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]
    assert run["results"][0]["ruleId"] == rule["id"] == "FromAsCasing"
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "context/Dockerfile"}
    assert place["region"] == {"startLine": 1, "startColumn": 1, "endColumn": 18}


@pytest.mark.parametrize(("call", "status", "complaint"), [
    ("nonsense", 1, "unsupported request frontend.nonsense"),
    ("check,outline", 1, "invalid print value: check,outline"),
    ("check,a=b", 1, "invalid print field: a=b"),
    ("check,ignorestatus=x", 1, 'invalid ignorestatus print value: x: strconv.ParseBool: parsing "x": invalid syntax'),
])
def test_calls_that_there_are_not(cli: Cli, context: Path, call: str, status: int, complaint: str) -> None:
    done = cli("build", f"--call={call}", "context")
    assert (done.returncode, done.stdout) == (status, "")
    assert complaint in done.stderr


def test_calls(cli: Cli, context: Path) -> None:
    assert cli("build", "--call=check,ignorestatus=true", "context").returncode == 0
    assert cli("build", "--call=check,format=unknown", "context").stdout.startswith("Check complete, 2 warnings")
    assert cli("build", "--call=targets", "context").stdout == "TARGET      DESCRIPTION\nx (default) \n"
    assert cli("build", "--call=outline", "context").stdout == "TARGET: x\n\n"
    assert cli("build", "-f", "-", "--call=targets", "context", stdin=b"FROM scratch\n").stdout.endswith("(default) \n")


def test_lint(cli: Cli, context: Path) -> None:
    done = cli("lint", "context")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n")
    assert "context/Dockerfile:1\n" in done.stdout
    assert done.stdout.endswith("\n2 warnings found\n")
    assert cli("lint", "--rule", "StageNameCasing", "context").stdout == "No warnings found\n"
    assert "WARNING: RelativeDestination" in cli(
        "lint", "--extra", "-", stdin=b"FROM scratch\nCOPY a b\n").stdout
    assert cli("lint", "--list").stdout.splitlines()[1].startswith("StageNameCasing ")


def test_a_directory_is_searched_for_what_git_does_not_ignore(cli: Cli, context: Path) -> None:
    (context / ".gitignore").write_text("node_modules/\nDockerfile.local\n")
    (context / "web" / "node_modules" / "x").mkdir(parents=True)
    (context / ".git").mkdir()
    for name in ("Dockerfile.local", "Dockerfile.dockerignore", "api.Dockerfile", "web/Containerfile",
                 "web/Dockerfile.dev", "web/Dockerfiles", "web/node_modules/x/Dockerfile", ".git/Dockerfile"):
        (context / name).write_text("from scratch\n")
    (context / "web" / "Dockerfile").symlink_to("../Dockerfile")
    assert cli("fmt", "--check", "context").stdout.splitlines() == [
        "context/Dockerfile", "context/api.Dockerfile", "context/web/Containerfile", "context/web/Dockerfile.dev"]
    documents = json.loads(cli("lint", "--format=json", "context").stdout)
    assert [document["path"] for document in documents] == [
        "context/Dockerfile", "context/api.Dockerfile", "context/web/Containerfile", "context/web/Dockerfile.dev"]
    (context / ".gitignore").write_text("*\n")
    assert "context/Dockerfile:1\n" in cli("lint", "context").stdout, "that a build would take it, git cannot change"


def test_lint_in_other_formats(cli: Cli, context: Path) -> None:
    (context / "broken").write_text("BOGUS\n")
    documents = json.loads(cli("lint", "--format=json", "context", "context/broken").stdout)
    assert [document["path"] for document in documents] == ["context/Dockerfile", "context/broken"]
    assert documents[1]["buildError"]["message"] == "dockerfile parse error on line 1: unknown instruction: `BOGUS`"
    run = json.loads(cli("lint", "--extra", "--format=sarif", "context", "context/broken").stdout)["runs"][0]
    assert {result["level"] for result in run["results"]} == {"warning", "error"}
    assert "PipefailMissing" in {rule["id"] for rule in run["tool"]["driver"]["rules"]}


@pytest.mark.parametrize("arguments", [("--rule", "FromAsCase"), ("--format", "xml")])
def test_lint_refuses(cli: Cli, context: Path, arguments: tuple[str, ...]) -> None:
    done = cli("lint", *arguments, "context")
    assert (done.returncode, done.stdout) == (1, "")


def test_lint_tells_what_is_not_there(cli: Cli, context: Path) -> None:
    (context / "latin").write_bytes(b"FROM scratch\nLABEL a=\xe9\n")
    done = cli("lint", "missing", "context/latin", "context")
    assert done.returncode == 1
    assert "cannot read `missing`" in done.stderr and "it is not UTF-8" in done.stderr
    assert "2 warnings found" in done.stdout


def test_fix(cli: Cli, context: Path) -> None:
    file = context / "Dockerfile"
    file.chmod(0o640)
    done = cli("lint", "--fix", "context")
    assert file.read_text() == DOCKERFILE.replace(" as ", " AS ")
    assert file.stat().st_mode & 0o777 == 0o640
    assert done.stdout.startswith("--- context/Dockerfile\n+++ context/Dockerfile\n@@ -1,4 +1,4 @@\n-FROM scratch as")
    assert "WARNING: MaintainerDeprecated" in done.stdout and done.returncode == 1
    assert cli("lint", "--unsafe-fix", "context").returncode == 0
    assert 'LABEL org.opencontainers.image.authors="me"\n' in file.read_text()
    assert cli("lint", "--fix", "context").stdout == "No warnings found\n"
    assert sorted(path.name for path in context.iterdir()) == ["Dockerfile", "greeting.txt"]


def test_fmt(cli: Cli, context: Path, tmp_path: Path) -> None:
    link, file = tmp_path / "link", context / "Dockerfile"
    link.symlink_to(file)
    assert (cli("fmt", "--check", "link").returncode, cli("fmt", "--check", "link").stdout) == (1, "link\n")
    done = cli("fmt", "--diff", "link")
    assert done.returncode == 1 and "+FROM scratch AS x\n" in done.stdout
    assert file.read_text() == DOCKERFILE
    done = cli("fmt", "link")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "formatted link\n")
    assert link.is_symlink() and file.read_text() == DOCKERFILE.replace(" as ", " AS ")
    assert (cli("fmt", "context").stderr, cli("fmt", "--check", "context").returncode) == ("", 0)
    assert cli("fmt", "-", stdin=b"from scratch").stdout == "FROM scratch\n"


def test_fmt_in_a_pipe_formats_what_comes_in_and_changes_no_file(cli: Cli, context: Path, tmp_path: Path) -> None:
    here = tmp_path / "Dockerfile"
    here.write_text("from scratch\n")
    assert cli("fmt", stdin=b"from  busybox\n").stdout == "FROM busybox\n"
    checked = cli("fmt", "--check", stdin=b"from  busybox\n")
    assert (checked.returncode, checked.stdout) == (1, "<standard input>\n")
    assert "+FROM busybox" in cli("fmt", "--diff", stdin=b"from  busybox\n").stdout
    for arguments in (["fmt"], ["lint", "--fix"], ["lint", "--unsafe-fix"]):
        done = cli(*arguments, stdin=b"")
        assert (done.returncode, done.stdout) == (1, "")
        assert "only files that are named are changed" in done.stderr
    assert here.read_text() == "from scratch\n"


def test_fmt_leaves_a_broken_file_alone(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("from scratch\nBOGUS\n")
    done = cli("fmt", "context")
    assert done.returncode == 1 and "unknown instruction" in done.stderr
    assert (context / "Dockerfile").read_text() == "from scratch\nBOGUS\n"


def test_a_build_for_several_platforms_tells_its_findings_once(cli: Cli, context: Path) -> None:
    done = cli("build", "--progress=plain", "--platform=linux/amd64,linux/arm64", "context")
    assert (done.returncode, done.stderr.count(" - MaintainerDeprecated: ")) == (0, 1)


def test_what_can_be_said_without_the_registry_is_said(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM nosuch.invalid/app:1\nCOPY Dockerfile /\nrun echo $X\n")
    checked = cli("build", "--check", "context")
    assert checked.returncode == 1
    assert "ConsistentInstructionCasing" in checked.stdout
    assert "UndefinedVar" not in checked.stdout, "the image may define it"
    assert checked.stderr.startswith("note: what only its image can tell is not checked: `nosuch.invalid/app:1`: "
                                     "cannot reach registry `nosuch.invalid`: ")
    listed = cli("context", "ls", "context")
    assert (listed.returncode, listed.stdout.splitlines()[0][:16]) == (0, "COPY Dockerfile ")
    drawn = cli("graph", "context")
    assert drawn.returncode == 0
    assert "unknown" in drawn.stdout
    last = cli("build", "context").stderr.splitlines()[-1]
    assert last.startswith("ERROR: failed to build: failed to solve: `nosuch.invalid/app:1`: cannot reach registry ")


def test_the_hint_for_a_missing_dockerfile_names_no_ignore_file(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").unlink()
    (context / ".dockerignore").touch()
    assert "dockerignore" not in cli("build", "context").stderr
