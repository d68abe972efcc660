"""Debugging on a real terminal: keys are typed into tmux, and what is on its screen is what a person would see."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Command

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.root, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]

MENDABLE = "FROM base\nRUN test -e /fix || { echo half > /half; exit 3; }\nRUN cat /fix > /seen\n"


class Terminal:
    """A shell in a tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        subprocess.run([*self._tmux, "new-session", "-d", "-x", "150", "-y", "50", "/bin/sh"], check=True,
                       env=environment)
        self.wait_for("#")

    def type(self, text: str, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", "-l", text], check=True)
        subprocess.run([*self._tmux, "send-keys", *(keys or ("Enter",))], check=True)

    def press(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def screen(self) -> str:
        return subprocess.run([*self._tmux, "capture-pane", "-p", "-J", "-S", "-200"], check=True, capture_output=True,
                              text=True).stdout.rstrip()

    def wait_for(self, text: str, *, times: int = 1) -> str:
        """The screen once `text` is on it so many times."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if (screen := self.screen()).count(text) >= times:
                return screen
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} on the screen:\n{self.screen()}")

    def resize(self, columns: int, rows: int) -> None:
        subprocess.run([*self._tmux, "resize-window", "-x", str(columns), "-y", str(rows)], check=True)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


def start(builder: Command, terminal: Terminal, dockerfile: str, *flags: str) -> None:
    arguments = [word for word in builder.build_args(dockerfile, *flags) if word not in ("--progress", "plain")]
    terminal.type(shlex.join(builder.argv(*arguments, str(builder.context))) + "; echo status=$?")


def enter(builder: Command, terminal: Terminal, dockerfile: str, *flags: str) -> None:
    """Until there is a shell in the step that failed."""
    start(builder, terminal, dockerfile, "--on-error=debug", *flags)
    terminal.wait_for("A shell in its container")


def test_entered_changed_by_hand_left_and_gone_on_from(builder: Command, terminal: Terminal) -> None:
    start(builder, terminal, MENDABLE, "--on-error=debug", "-t", "mended")
    terminal.wait_for("A shell in its container, with the files as it left them.")
    terminal.type("cat /half && tty && echo by hand > /fix && echo term=$TERM")
    screen = terminal.wait_for("\nterm=")
    assert "/dev/pts/0\n" in screen
    assert "\nterm=\n" not in screen
    terminal.type("exit")
    terminal.wait_for("What now? [r]etry the step, [c]ontinue with the files as they are, [d]ebug again, [s]top?")
    terminal.type("d")
    terminal.wait_for("A shell in its container", times=2)
    terminal.type("cat /fix /half")
    terminal.wait_for("by hand\nhalf\n")
    terminal.press("C-d")
    terminal.wait_for("What now?", times=2)
    terminal.type("c")
    screen = terminal.wait_for("status=0")
    assert "FINISHED" in screen
    assert "1 warning found" in screen
    assert builder.run("cat", "mended:/seen").stdout == "by hand\n"


def test_stopped(builder: Command, terminal: Terminal) -> None:
    enter(builder, terminal, MENDABLE, "--progress=plain")
    terminal.type("touch /looked; exit 5")
    terminal.wait_for("What now?")
    terminal.type("s")
    screen = terminal.wait_for("status=1")
    assert "did not complete successfully: exit code: 3" in screen
    terminal.type("stty -a | tr ' ' '\\n' | grep -x echo && echo sane")
    terminal.wait_for("echo\nsane")
    assert builder.run("ls", "@last-failed", "/").stdout.split().count("looked") == 1


def test_how_the_shell_was_left_does_not_matter(builder: Command, terminal: Terminal) -> None:
    enter(builder, terminal, MENDABLE, "--debug-then=stop")
    terminal.type("no-such-command")
    terminal.wait_for("not found")
    terminal.type("exit")
    assert "no shell" not in terminal.wait_for("status=1")


def test_an_image_without_a_shell(builder: Command, terminal: Terminal) -> None:
    dockerfile = "FROM scratch\nCOPY --from=base /bin/busybox /program\nRUN [\"/program\", \"false\"]\nCOPY here /\n"
    (builder.context / "here").write_text("")
    start(builder, terminal, dockerfile, "--on-error=debug")
    screen = terminal.wait_for("What now? [r]etry the step, [c]ontinue with the files as they are, [s]top?")
    assert "Its image has no shell, so it cannot be entered.\n" in screen
    assert "A shell in its container" not in screen
    terminal.type("r")
    terminal.wait_for("What now?", times=2)
    terminal.type("c")
    terminal.wait_for("status=0")


def test_the_window_changes_its_size_and_a_command_is_interrupted(builder: Command, terminal: Terminal) -> None:
    enter(builder, terminal, MENDABLE, "--debug-then=stop")
    terminal.type("stty size")
    terminal.wait_for("\n50 150\n")
    terminal.resize(90, 30)
    terminal.type("stty size")
    terminal.wait_for("\n30 90\n")
    terminal.type("echo asl''eep; sleep 600")
    terminal.wait_for("\nasleep")
    terminal.press("C-c")
    terminal.type("echo interrupted=$?; exit")
    terminal.wait_for("\ninterrupted=130\n")
    terminal.wait_for("status=1")


def test_closing_the_terminal_ends_the_build(builder: Command, terminal: Terminal) -> None:
    enter(builder, terminal, MENDABLE)
    assert builder.run("builds", "--format", "{{.Status}}").stdout == "running\n"
    terminal.close()
    deadline = time.monotonic() + 20
    while (state := builder.run("builds", "--format", "{{.Status}}").stdout) == "running\n":
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    assert state in ("failed\n", "cancelled\n"), "it has ended by itself, whichever it noticed first"


def test_other_steps_are_silent_meanwhile_and_end(builder: Command, terminal: Terminal) -> None:
    dockerfile = ("FROM base AS other\nRUN sleep 1; echo noise; echo other > /other\n" + MENDABLE
                  + "COPY --from=other /other /\n")
    enter(builder, terminal, dockerfile, "--progress=plain")
    terminal.type("sleep 2; echo x > /fix; exit")
    screen = terminal.wait_for("What now?")
    assert "noise\n" not in screen.partition("A shell in its container")[2]
    terminal.type("c")
    assert "noise" in terminal.wait_for("status=0").partition("What now?")[2]


def test_ctrl_c_at_the_question_ends_the_build(builder: Command, terminal: Terminal) -> None:
    enter(builder, terminal, MENDABLE)
    terminal.type("exit")
    terminal.wait_for("What now?")
    terminal.press("C-c")
    terminal.wait_for("status=130")


def test_a_shell_in_a_recorded_step(builder: Command, terminal: Terminal) -> None:
    assert builder.build(MENDABLE).returncode == 1
    terminal.type(shlex.join(builder.argv("debug")) + "; echo status=$?")
    terminal.wait_for("what you change here is thrown away")
    terminal.type("cat /half; exit 4")
    screen = terminal.wait_for("status=4")
    assert "half\n" in screen
    terminal.type(shlex.join(builder.argv("debug", "--before", "@last-failed", "ls", "/half")) + "; echo status=$?")
    terminal.wait_for("status=1")
