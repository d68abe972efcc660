"""What others have named is offered to a shell only where it is plainly a word: in bash itself, and as zsh and fish
are answered."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_completion import asked, completed, environment

TRAPS = ("$(touch${IFS}trap)", "`touch${IFS}trap`", "a;touch${IFS}trap", "a|touch${IFS}trap", "a&&touch${IFS}trap",
         "a>trap", "<(touch${IFS}trap)", "~root", "a*", "{a,b}", "!!", "'a", '"a', "a\\", "#a", "\u202egpj",
         "\x1b]0;a\x07")
"""Without spaces and slashes, so that each can be the name of anything."""
FILE_TRAPS = (*TRAPS, "two words", "line\nplain,injected", "tab\tplain", "\udcff", "=ls", "--output=x")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Beside the traps there is one name that is harmless."""
    traps = [trap for trap in TRAPS if trap[0] not in "#'\"" and trap[-1] != "\\"]
    keys = "".join(f"ARG {trap}=1\n" for trap in traps)
    copies = "".join(f"COPY --from={trap} /x /x\n" for trap in traps)
    (tmp_path / "Dockerfile").write_text(
        f"ARG good=1\n{keys}# app \x1b]0;owned\x07 \u202egpj\rplain,injected\nFROM good AS app\n{copies}")
    return tmp_path


def test_hostile_args_and_sources_are_left_out(home: Path) -> None:
    assert completed(home, "build --build-arg ") == ["good="]
    assert completed(home, "build --build-context ") == ["app=", "good="]
    assert completed(home, "build --target ") == ["app"]


def test_hostile_files_are_left_out(home: Path) -> None:
    folder = home / "folder"
    folder.mkdir()
    for name in (*FILE_TRAPS, "good"):
        (folder / name).touch()
        (folder / f"{name}.d").mkdir()
    kept = ("--output=x", "--output=x.d/", "=ls", "=ls.d/", "good", "good.d/")
    for before in ("type=local,dest=", "--file="):
        line = f"build {'-o ' if before[0] == 't' else ''}{before}folder/"
        assert completed(home, line) == [f"{before}folder/{name}" for name in kept]


@pytest.mark.parametrize("name", ["--push", "-D", "x$(id)", "a;b"])
@pytest.mark.parametrize("file", ["docker-bake.hcl", "compose.yaml"])
def test_hostile_targets_are_left_out(home: Path, file: str, name: str) -> None:
    text = f'target "{name}" {{}}\n' if file.endswith("hcl") else f'services: {{"{name}": {{build: .}}}}\n'
    (home / file).write_text(text)
    assert set(completed(home, "bake ")) <= {"default"}


def test_flags_are_offered_only_to_who_began_one(home: Path) -> None:
    (home / "docker-bake.hcl").write_text('target "--push" {}\ntarget "good" {}\n')
    assert completed(home, "bake ") == ["good"]
    assert "--push" in completed(home, "bake --pu")


def test_help_cannot_steer_the_terminal_nor_add_answers(home: Path) -> None:
    (home / "docker-bake.hcl").write_text('target "good" { description = "a\\u001b[31m\\r\\nplain,b\\u202e" }\n')
    words = {"COMP_WORDS": "builder bake g", "COMP_CWORD": "2"}
    assert asked(home, _BUILDER_COMPLETE="zsh_complete", **words) == "plain\ngood\na\\x1b[31m\\r\\nplain,b\\u202e\n"
    words["COMP_CWORD"] = "g"
    assert asked(home, _BUILDER_COMPLETE="fish_complete", **words) == "plain,good\ta\\x1b[31m\\r\\nplain,b\\u202e\n"


@pytest.mark.root
def test_hostile_names_of_builds_are_shown_and_of_images_refused(home: Path) -> None:
    context = home / "a\x1b]0;owned\x07\nplain,injected"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nLABEL a=$(id)\n")
    build = [sys.executable, "-m", "builder", "build", "-q", context.name]
    subprocess.run(build, cwd=home, env=environment(home), check=True, capture_output=True)
    words = {"COMP_WORDS": "builder builds show ", "COMP_CWORD": "3"}
    kind, identity, text = asked(home, _BUILDER_COMPLETE="zsh_complete", **words).splitlines()
    assert (kind, identity.isalnum(), text.isprintable()) == ("plain", True, True) and "injected" in text
    refused = subprocess.run([*build, "-t", "$(id)"], cwd=home, env=environment(home), capture_output=True, check=False)
    assert refused.returncode == 1 and b'invalid tag "$(id)"' in refused.stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "huge", "folder", "link to another's"])
def test_what_is_no_dockerfile_is_not_waited_for(home: Path, kind: str) -> None:
    path = home / "Dockerfile"
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "huge":
            path.write_text("FROM scratch AS app\n" + "RUN x\n" * (1 << 20))
        case "folder":
            path.mkdir()
        case _:
            if os.geteuid() != 0:
                pytest.skip("only root can give a link away")
            (home / "theirs").mkdir()
            (home / "secret").write_text("FROM scratch AS secret\n")
            path = home / "theirs" / "Dockerfile"
            path.symlink_to(home / "secret")
            os.chown(path, 54321, 54321, follow_symlinks=False)
    assert completed(home, f"build {path.parent} --target ") == []


def test_a_definition_that_never_ends_is_given_up(home: Path) -> None:
    os.mkfifo(home / "docker-bake.hcl")
    variables = {"_BUILDER_COMPLETE": "bash_complete", "COMP_WORDS": "builder bake "}
    done = subprocess.run([sys.executable, "-m", "builder"], cwd=home, env=environment(home) | variables,
                          capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_standard_input_is_left_to_the_shell(home: Path) -> None:
    """The shell's terminal: what is typed next is not swallowed, nor waited for."""
    read, write = os.pipe()
    os.write(write, b'target "typed" {}\n')
    variables = {"_BUILDER_COMPLETE": "bash_complete", "COMP_WORDS": "builder bake -f - "}
    done = subprocess.run([sys.executable, "-m", "builder"], cwd=home, env=environment(home) | variables, stdin=read,
                          capture_output=True, timeout=60, check=True)
    assert (done.stdout, os.read(read, 100)) == (b"", b'target "typed" {}\n')
    os.close(read)
    os.close(write)


def test_the_dockerfile_is_that_of_the_build(home: Path) -> None:
    for name in ("AAA/Dockerfile", "Dockerfile.aaa"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("FROM scratch AS wrong\n")
    assert completed(home, "build --target ") == ["app"] == completed(home, "build . --target ")
    (home / "Dockerfile").rename(home / "Containerfile")
    assert completed(home, "build --target ") == ["app"]
    (home / "Containerfile").unlink()
    assert completed(home, "build --target ") == []
    (home / "-").write_text("FROM scratch AS dash\n")
    assert completed(home, "build -f - --target ") == []
    assert completed(home, "build -f Dockerfile.aaa --target ") == ["wrong"]
    assert completed(home, "build --dockerfile Dockerfile --context AAA --target ") == []
    assert completed(home, "build -f Dockerfile.aaa https://example.invalid/x.git --target ") == []


@pytest.mark.parametrize("line", [
    "build --build-arg ", "build --build-context ", "build --file=folder/", "build --output dest=folder/", "bake ",
])
@pytest.mark.parametrize("trap", ["$(touch${IFS}trap)", "`touch${IFS}trap`", "a;touch${IFS}trap", "a>trap"])
def test_a_trap_is_not_sprung_in_bash(tmp_path: Path, line: str, trap: str) -> None:
    """Typed at a prompt: the words, Tab, Enter."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "Dockerfile").write_text(f"ARG {trap}\nFROM {trap.replace('$', '')}\n")
    (tmp_path / "docker-bake.hcl").write_text(f'target "{trap.replace("$", "$$")}" {{}}\n')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / trap).touch()
    assert typed(bash, tmp_path, line) == line.split()
    assert not (tmp_path / "trap").exists()


def test_a_plain_word_is_inserted_in_bash(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "Dockerfile").write_text("ARG word\nFROM scratch AS app\n")
    assert typed(bash, tmp_path, "build --target=") == ["build", "--target=app"]
    assert typed(bash, tmp_path, "build --build-arg ") == ["build", "--build-arg", "word="]


def typed(bash: str, home: Path, line: str) -> list[str]:
    """The arguments that `builder` is run with when the line, Tab and Enter are typed at a prompt."""
    program = home / "builder"
    program.write_text(f"""#!/bin/sh
if [ "$_BUILDER_COMPLETE" ] || [ "$1" = completion ]; then exec "{sys.executable}" -m builder "$@"; fi
printf '%s\\n' "$@" >ran
""")
    program.chmod(0o755)
    ours, theirs = pty.openpty()
    rc = home / "rc"
    rc.write_text("source <(builder completion bash)\nPS1='ready>'\n")
    env = environment(home) | {"PATH": f"{home}:{os.environ['PATH']}", "TERM": "dumb", "HISTFILE": ""}
    shell = subprocess.Popen([bash, "--noprofile", "--rcfile", str(rc), "-i"], cwd=home, env=env, stdin=theirs,
                             stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        for text in (f"builder {line}\t\n", "exit\n"):
            screen = b""
            while not screen.endswith(b"ready>"):
                screen += os.read(ours, 4096)
            os.write(ours, text.encode())
        shell.wait(30)
    finally:
        shell.kill()
        os.close(ours)
    return (home / "ran").read_text().splitlines()
