"""Completion as a shell asks for it, and in bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

DOCKERFILE = """\
ARG VERSION=1
FROM scratch AS base
ARG MODE
COPY file /file
# app what is shipped
FROM base AS app
COPY --from=base /file /copy
COPY --from=docs /x /x
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Dockerfile").write_text("FROM scratch AS elsewhere\n")
    (tmp_path / "docker-bake.hcl").write_text('target "site" {}\ngroup "all" { targets = ["site"] }\n')
    (tmp_path / "config.json").write_text('{"auths": {"registry.example": {}}}')
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("BUILD", "DOCKER", "PYTHON", "COMP"))}
    return kept | {"HOME": str(home), "DOCKER_CONFIG": str(home), "BUILDER_ROOT": str(home / "state"),
                   "PYTHONPATH": str(ROOT)}


def asked(home: Path, **variables: str) -> str:
    done = subprocess.run([sys.executable, "-m", "builder"], cwd=home, env=environment(home) | variables,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def completed(home: Path, line: str) -> list[str]:
    """The words that bash is offered for the last one of the line."""
    answer = asked(home, _BUILDER_COMPLETE="bash_complete", COMP_WORDS=f"builder {line}")
    return [each.removeprefix("plain,") for each in answer.splitlines()]


@pytest.mark.parametrize(("line", "words"), [
    ("bui", ["build", "builds"]), ("builds ", ["show", "profile"]), ("image l", ["ls", "list", "load"]),
    ("sys", ["system"]), ("system ", ["df"]), ("help logi", ["login"]), ("completion ", ["bash", "zsh", "fish"]),
    ("build --ta", ["--tag", "--target"]), ("buildx build --targ", ["--target"]), ("--ver", ["--version"]),
    ("build --progress r", ["rawjson"]), ("build --progress=r", ["--progress=rawjson"]),
    ("build --pull=ne", ["--pull=newer", "--pull=never"]), ("build --push=", ["--push=true", "--push=false"]),
    ("build --platform linux/amd64,linux/arm6", ["linux/amd64,linux/arm64"]),
    ("build --output type=ta", ["type=tar"]), ("build -o type=local,de", ["type=local,dest="]),
    ("build -o type=local,dest=ot", ["type=local,dest=other/"]), ("build -qo type=ta", ["type=tar"]),
    ("build --target ", ["base", "app"]), ("build --target e", []), ("build --target=a", ["--target=app"]),
    ("build other --target ", ["elsewhere"]), ("build -f other/Dockerfile --target e", ["elsewhere"]),
    ("build --build-arg ", ["VERSION=", "MODE="]), ("build --build-context d", ["docs="]),
    ("build --build-context docs=", ["docs=other/"]), ("build --cap-add NET_A", ["NET_ADMIN"]),
    ("bake ", ["all", "site"]), ("logout ", ["registry.example"]), ("lint --rule Stage", ["StageNameCasing"]),
    ("build --file=Do", ["--file=Dockerfile"]), ("build --file ", ["file,"]), ("build ", ["dir,"]),
    ("completion bash ", []), ("run image --", []), ("nope ", []), ("build --nope ", []), ("build - --target ", []),
    ("build missing --target ", []), ("images ", []), ("debug @", []),
])
def test_what_may_be_meant(home: Path, line: str, words: list[str]) -> None:
    assert completed(home, line) == words
    assert not (home / "state").exists()


def test_hidden_flags_are_not_offered(home: Path) -> None:
    offered = completed(home, "build --")
    assert "--tag" in offered and "--help" in offered and "--root" in offered
    assert "--compress" not in offered and "--userns" not in offered


@pytest.mark.root
def test_images_builds_and_steps_of_the_state_folder(home: Path) -> None:
    build = [sys.executable, "-m", "builder", "build", "-q", "-t", "app:dev", "--target", "base", "."]
    subprocess.run(build, cwd=home, env=environment(home), check=True, capture_output=True)
    assert completed(home, "run a") == ["app:dev"]
    identity, = completed(home, "builds show ")
    assert completed(home, "why --build ") == [identity]
    steps = completed(home, "debug @")
    assert steps[-1] == "@last-failed" and steps[:-1] and all(step[1:].isdecimal() for step in steps[:-1])
    assert completed(home, f"cat {identity}:") == [f"{identity}:{step[1:]}" for step in steps[:-1]]
    assert completed(home, f"--root {home / 'empty'} run a") == [] and not (home / "empty").exists()


def test_zsh_and_fish_get_the_help_too(home: Path) -> None:
    words = {"COMP_WORDS": "builder build --target ap"}
    assert asked(home, _BUILDER_COMPLETE="zsh_complete", COMP_CWORD="3", **words) == "plain\napp\nwhat is shipped\n"
    assert asked(home, _BUILDER_COMPLETE="fish_complete", COMP_CWORD="ap", **words) == "plain,app\twhat is shipped\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(home: Path, shell: str) -> None:
    done = subprocess.run([sys.executable, "-m", "builder", "completion", shell], env=environment(home),
                          capture_output=True, text=True, check=True)
    assert f"{shell}_complete" in done.stdout and "_builder_completion" in done.stdout
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True)


def test_a_shell_without_completion_is_an_error(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "builder", "completion", "ksh"], env=environment(home),
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error[usage]: no completion for the shell `ksh`\nhint: use bash, zsh, fish\n"


@pytest.mark.parametrize(("line", "word", "words"), [
    ("builder build --progress r", "r", ["rawjson"]), ("builder build --output type=ta", "ta", ["tar"]),
    ("builder build --output=type=ta", "ta", ["tar"]), ("builder build --target=", "", ["base", "app"]),
])
def test_bash_replaces_the_part_of_a_word_that_it_completes(home: Path, line: str, word: str, words: list[str]) -> None:
    """As bash calls the function: with the line, and what is behind the last `=` or `:` as the word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = home / "builder"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m builder "$@"\n')
    program.chmod(0o755)
    commands = f"""
        source <("{program}" completion bash)
        COMP_LINE='{line}' COMP_POINT={len(line)}
        _builder_completion '{program}' '{word}' ''
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "--norc", "-c", commands], cwd=home, env=environment(home), capture_output=True,
                          text=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == (words, "")


def test_fish_keeps_what_is_behind_a_comma(home: Path) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not installed")
    program = home / "builder"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m builder "$@"\n')
    program.chmod(0o755)
    asks = "complete -C 'builder build -o type=local,de'; complete -C 'builder ls -'"
    done = subprocess.run([fish, "--no-config", "-c", f"builder completion fish | source; {asks}"], cwd=home,
                          env=environment(home) | {"PATH": f"{home}:{os.environ['PATH']}"}, capture_output=True,
                          text=True, check=True)
    assert done.stdout.splitlines()[0] == "type=local,dest="
    assert any(line.startswith("--root\t") and line.endswith("else ~/.local/share/builder)")
               for line in done.stdout.splitlines())
