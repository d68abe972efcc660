"""Programs, their input and output, and how they end."""

from __future__ import annotations

import io
import os
import pty
import threading
from pathlib import Path

import pytest

from builder.sandbox.attachment import SetupFailed
from builder.sandbox.container import Bind, File, Rlimit
from tests.sandbox.conftest import PATH, Runner

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("script", "status"), [
    ("exit 0", 0), ("exit 1", 1), ("exit 255", 255), ("nosuch", 127), ("/etc/passwd", 126),
    ("sh -c 'kill -9 $$'; exit $?", 137), ("sh -c 'kill -TERM $$'; exit $?", 143), ("kill -9 $$; exit 5", 5),
])
def test_status(runner: Runner, script: str, status: int) -> None:
    assert runner.run(script).status == status


@pytest.mark.parametrize(("argv", "status", "said"), [
    (("echo", "$HOME", "a b"), 0, ""),
    (("nosuch",), 127, 'exec: "nosuch": executable file not found in $PATH'),
    (("passwd-file",), 127, 'exec: "passwd-file": executable file not found in $PATH'),
    (("",), 127, 'exec: "": executable file not found in $PATH'),
    (("/nosuch",), 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
    (("/etc",), 126, 'exec: "/etc": is a directory'),
    (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
    (("/text",), 255, "exec /text: exec format error"),
    (("/orphan",), 255, "exec /orphan: no such file or directory"),
])
def test_program(runner: Runner, argv: tuple[str, ...], status: int, said: str) -> None:
    below = runner.layer({"text": "echo hi\n", "orphan": "#!/no/interpreter\n", "bin/passwd-file": "x"})
    for name in ("text", "orphan"):
        (below / name).chmod(0o755)
    ran = runner.run("", layers=(below,), argv=argv)
    assert (ran.status, ran.err.strip()) == (status, said)
    assert ran.out == ("$HOME a b\n" if argv[0] == "echo" else "")


def test_environment_is_what_was_given(runner: Runner) -> None:
    ran = runner.run("", argv=("env",), env=(f"PATH={PATH}", "A=1=2", "EMPTY=", "Ü=ß", "A=3"))
    assert set(ran.out.splitlines()) == {f"PATH={PATH}", "A=3", "EMPTY=", "Ü=ß", "HOME=/root"}


@pytest.mark.parametrize(("entry", "status", "said"), [
    ("novalue", 0, "novalue="),
    ("=x", 1, "invalid environment variable: name cannot be empty"),
    ("", 1, "invalid environment variable: name cannot be empty"),
    ("==", 1, "invalid environment variable: name cannot be empty"),
    ("A=b\0c", 1, 'invalid environment variable "A": contains nul byte (\\x00)'),
    ("A\0B=c", 1, 'invalid environment variable "A\\x00B": contains nul byte (\\x00)'),
])
def test_an_image_may_have_any_environment(runner: Runner, entry: str, status: int, said: str) -> None:
    ran = runner.run("", argv=("env",), env=(f"PATH={PATH}", entry))
    assert ran.status == status
    assert said in (ran.out + ran.err).splitlines()


def test_an_argument_with_a_nul_byte_starts_nothing(runner: Runner) -> None:
    ran = runner.run("", argv=("echo", "a\0b"))
    assert (ran.status, ran.err.strip()) == (255, "exec: an argument contains a nul byte")


@pytest.mark.parametrize(("env", "uid", "home"), [
    ((), 0, "/root"), (("HOME=",), 0, ""), (("HOME=/mine",), 0, "/mine"), ((), 12, "/h"), ((), 99, "/"),
    ((), 13, ""), ((), 14, ""),
])
def test_home_follows_passwd_unless_given(runner: Runner, env: tuple[str, ...], uid: int, home: str) -> None:
    below = runner.layer({"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:12:12::/h:\n"
                                        "homeless:x:13:13:::\nshort:x:14\n"})
    assert runner.run("echo $HOME", layers=(below,), env=(f"PATH={PATH}", *env), uid=uid).out.strip() == home


def test_streams_are_told_apart_and_arrive_early(runner: Runner) -> None:
    order: list[tuple[int, bytes]] = []
    gate = runner.fresh("gate")
    container = runner.container("echo out; echo err >&2; while [ ! -e /gate/go ]; do sleep 0.01; done; echo late",
                                 mounts=(Bind(target="/gate", source=str(gate)),))

    def output(stream: int, data: bytes) -> None:
        order.append((stream, data))
        if len(order) == 2:
            (gate / "go").touch()

    assert runner.sandbox.run(container, output).status == 0
    assert sorted(order[:2]) == [(1, b"out\n"), (2, b"err\n")] and order[2:] == [(1, b"late\n")]


def test_large_output_is_whole(runner: Runner) -> None:
    ran = runner.run("i=0; while [ $i -lt 40000 ]; do echo line number $i of many; i=$((i+1)); done; echo end >&2")
    assert ran.out.count("\n") == 40000 and ran.out.endswith("line number 39999 of many\n") and ran.err == "end\n"


def test_output_of_the_last_moment_is_kept(runner: Runner) -> None:
    for _ in range(10):
        assert len(runner.run("head -c 60000 /dev/zero | tr '\\0' x").out) == 60000


def test_background_processes_end_with_the_first_one(runner: Runner) -> None:
    ran = runner.run("sleep 1000 & (setsid sleep 1000 &) ; echo done")
    assert (ran.status, ran.out) == (0, "done\n")


def test_input_is_empty_by_default_and_a_pipe(runner: Runner) -> None:
    assert runner.run("cat; [ -p /dev/stdin ] && echo pipe").out == "pipe\n"


def test_input(runner: Runner) -> None:
    assert runner.run("wc -c", stdin=io.BytesIO(b"x" * 300_000)).out.strip() == "300000"
    with open("/etc/hostname", "rb") as file:
        expected = file.read()
        file.seek(0)
        assert runner.run("cat", stdin=file).out.encode() == expected


def test_what_the_caller_passes_on_stays_whose_it_is(runner: Runner, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    terminals = pty.openpty()
    for path in (tmp_path / "fifo", os.ttyname(terminals[1])):
        with open(os.open(path, os.O_RDWR | os.O_NOCTTY), "rb", buffering=0) as stdin:
            assert runner.run("true", stdin=stdin, uid=1000).status == 0
            assert os.fstat(stdin.fileno()).st_uid == 0
    reader, writer = os.pipe()
    os.close(writer)
    with open(reader, "rb", buffering=0) as stdin:
        assert runner.run("cat /dev/stdin", stdin=stdin, uid=1000).status == 0, "a pipe can be opened"
    for end in terminals:
        os.close(end)


def test_terminal(runner: Runner) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"typed\n")
    with open(reader, "rb", buffering=0) as stdin:
        ran = runner.run("tty; test -t 0 && read line && echo got $line; stat -c %F /dev/console; exit 3",
                         terminal=True, stdin=stdin)
    os.close(writer)
    assert ran.status == 3 and ran.err == ""
    lines = [line for line in ran.out.replace("\r", "").splitlines() if line != "typed"]
    assert lines == ["/dev/pts/0", "got typed", "character special file"]


def test_limits_are_lowered_where_they_cannot_rise(runner: Runner) -> None:
    ran = runner.run("ulimit -n; ulimit -Hn; ulimit -c", rlimits=(Rlimit("nofile", 100, 200), Rlimit("core", 0, -1)))
    assert ran.out.split() == ["100", "200", "0"]
    assert runner.run("true", rlimits=(Rlimit("nofile", 1 << 30, 1 << 30),)).status == 0
    with pytest.raises(SetupFailed, match="unknown limit `nonsense`"):
        runner.run("true", rlimits=(Rlimit("nonsense", 1, 1),))


def test_an_exception_of_the_caller_ends_the_container(runner: Runner) -> None:
    class Stop(Exception):
        pass

    def output(stream: int, data: bytes) -> None:
        raise Stop

    with pytest.raises(Stop):
        runner.sandbox.run(runner.container("echo now; sleep 1000"), output)
    assert runner.run("echo next").out == "next\n"


def test_several_threads(runner: Runner) -> None:
    results: dict[int, str] = {}

    def work(number: int) -> None:
        ran = runner.start(containers[number])
        results[number] = f"{ran.status} {ran.out}"

    containers = [runner.container(f"cat /n; hostname; exit {n}", hostname=f"h{n}",
                                   mounts=(File(target="/n", content=b"%d " % n),)) for n in range(8)]
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: f"{n} {n} h{n}\n" for n in range(8)}
