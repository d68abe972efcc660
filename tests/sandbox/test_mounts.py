"""Mounts of each kind, hostile targets, and that none of them leaves a trace."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from builder.sandbox.attachment import SetupFailed
from builder.sandbox.container import Bind, ContainerMount, File, Overlay, OverlayMount, Socket, Tmpfs
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

HOSTS = (File(target="/etc/hosts", content=b"127.0.0.1 here\n", mode=0o644),
         File(target="/etc/resolv.conf", content=b"nameserver 192.0.2.1\n", mode=0o644))


def test_files_leave_nothing(runner: Runner) -> None:
    secret = File(target="/run/secrets/key", content=b"s\x00cret\n", mode=0o400, uid=5, gid=6)
    ran = runner.run("cat /etc/hosts; stat -c '%a %u %g %s' /run/secrets/key; ls -d /run/secrets; cat /etc/passwd",
                     mounts=(*HOSTS, secret))
    assert ran.out.splitlines()[:3] == ["127.0.0.1 here", "400 5 6 7", "/run/secrets"]
    assert ran.written() == set()


def test_large_files_arrive_whole(runner: Runner) -> None:
    content = os.urandom(1 << 20)
    ran = runner.run("wc -c < /big", mounts=(File(target="/big", content=content),))
    assert ran.out.strip() == str(1 << 20)


def test_the_image_s_own_file_is_hidden_and_kept(runner: Runner) -> None:
    below = runner.layer({"etc/hosts": "image\n"})
    ran = runner.run("cat /etc/hosts; echo x > /etc/hosts; rm -f /etc/hosts", layers=(below,), mounts=HOSTS)
    assert ran.out == "127.0.0.1 here\n"
    assert "Read-only file system" in ran.err
    assert ran.written() == set()


def test_stubs_keep_the_attributes_and_times_of_what_is_above(runner: Runner) -> None:
    below = runner.layer({"etc/other": "x", "opt/": ""})
    os.chown(below / "etc", 12, 13)
    (below / "etc").chmod(0o751)
    os.utime(below / "etc", (1_000_000, 1_000_000))
    ran = runner.run("stat -c '%a %u %g %Y' /etc /opt; cat /etc/other; touch /etc/new", layers=(below,), mounts=HOSTS)
    assert ran.out.splitlines()[0] == "751 12 13 1000000"
    assert ran.out.endswith("x")
    assert ran.written() == {"etc", "etc/new"}
    status = (ran.upper / "etc").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o751, 12, 13)


def test_stub_where_a_layer_removed_the_file(runner: Runner) -> None:
    lower, upper = runner.layer({"etc/hosts": "old"}), runner.layer({"etc/": "", "srv/x": "y"})
    os.mknod(upper / "etc" / "hosts", 0o020000, 0)
    os.setxattr(upper / "srv", "trusted.overlay.opaque", b"y")
    ran = runner.run("cat /etc/hosts", layers=(lower, upper), mounts=(*HOSTS, Tmpfs(target="/srv/deep/down")))
    assert ran.out == "127.0.0.1 here\n" and ran.written() == set()


def test_bind(runner: Runner, tmp_path: Path) -> None:
    source = runner.layer({"sub/file": "inside"})
    mounts = (Bind(target="/ro/deep", source=str(source)), Bind(target="/one", source=str(source / "sub" / "file")),
              Bind(target="/rw", source=str(source), readonly=False))
    ran = runner.run("cat /ro/deep/sub/file /one; echo w > /ro/deep/new; echo w > /rw/new", mounts=mounts)
    assert ran.out == "insideinside" and "Read-only file system" in ran.err
    assert (source / "new").read_text() == "w\n"
    assert ran.written() == set()


def test_overlay_mount_with_subpath(runner: Runner) -> None:
    lower, upper = runner.layer({"a/f": "1", "a/g": "2"}), runner.layer({"a/f": "3", "link": "-> /a/f"})
    overlay = Overlay(lowers=(str(lower), str(upper)))
    mounts = (OverlayMount(target="/whole", overlay=overlay), OverlayMount(target="/dir", overlay=overlay, subpath="a"),
              OverlayMount(target="/file", overlay=overlay, subpath="/link"))
    ran = runner.run("cat /whole/a/f /dir/f /dir/g /file; touch /dir/x", mounts=mounts)
    assert ran.out == "3323" and "Read-only file system" in ran.err
    assert ran.written() == set()


def test_writable_overlay_mount_writes_elsewhere(runner: Runner) -> None:
    upper = runner.fresh("other")
    overlay = Overlay(lowers=(str(runner.layer({"f": "1"})),), upper=str(upper), work=str(runner.fresh("work")))
    ran = runner.run("echo 2 > /m/f; cat /m/f", mounts=(OverlayMount(target="/m", overlay=overlay, readonly=False),))
    assert ran.out == "2\n" and ran.written() == set()
    assert (upper / "f").read_text() == "2\n"


def test_tmpfs(runner: Runner) -> None:
    ran = runner.run("stat -c %a /t; df -k /t | tail -1; touch /t/x; ls /t", mounts=(Tmpfs(target="/t", size=1 << 20),))
    assert ran.out.split()[:3] == ["1777", "tmpfs", "1024"]
    assert ran.written() == set()


def test_mounts_inside_mounts(runner: Runner) -> None:
    inner = runner.layer({"deep": "bound"})
    mounts = (Tmpfs(target="/c"), File(target="/c/d/e", content=b"x"), Bind(target="/c/b", source=str(inner)))
    ran = runner.run("cat /c/d/e /c/b/deep", mounts=mounts)
    assert ran.out == "xbound" and ran.written() == set()


def test_many_layers(runner: Runner) -> None:
    layers = tuple(runner.layer({f"l{number}": "x"}) for number in range(130))
    assert runner.run("ls / | grep -c '^l[0-9]'", layers=layers).out.strip() == "130"


def test_an_image_may_have_one_layer_twice(runner: Runner) -> None:
    twice = runner.layer({"a": "first", "b": "first"})
    between = runner.layer({"a": "second", "c": "second"})
    ran = runner.run("cat /a /b /c", layers=(twice, between, twice))
    assert ran.out == "firstfirstsecond"


def test_an_overlay_of_nothing_is_an_empty_directory(runner: Runner) -> None:
    ran = runner.run("ls -A /m; touch /m/x", mounts=(OverlayMount(target="/m", overlay=Overlay(lowers=())),))
    assert ran.out == "" and "Read-only file system" in ran.err


def test_long_names(runner: Runner) -> None:
    deep = runner.fresh("deep") / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / "found").write_text("x")
    assert runner.run("cat /found", layers=(deep,)).out == "x"


@pytest.mark.parametrize(("link", "target", "seen"), [
    ("-> ../../../../outside", "/way/file", "/outside/file"),
    ("-> /outside", "/way/file", "/outside/file"),
    ("-> /proc/self/root/outside", "/way/file", "/outside/file"),
    ("-> /nowhere/yet", "/way/file", "/nowhere/yet/file"),
    ("-> loop", "/loop/file", None),
])
def test_targets_never_leave_the_root(runner: Runner, tmp_path: Path, link: str, target: str, seen: str | None) -> None:
    name = "loop" if link == "-> loop" else "way"
    below = runner.layer({name: link, "outside/": ""})
    mount = File(target=target, content=b"mounted")
    if seen is None:
        with pytest.raises(SetupFailed):
            runner.run("true", layers=(below,), mounts=(mount,))
    else:
        ran = runner.run(f"cat {seen}", layers=(below,), mounts=(mount,))
        # What leads through /proc is known only once that is mounted, too late for a stub layer.
        assert ran.out == "mounted" and ran.written() == ({"outside", "outside/file"} if "proc" in link else set())
    assert not os.path.lexists("/outside") and not os.path.lexists("/nowhere")


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_system_mounts_do_not_follow_the_image(runner: Runner, name: str) -> None:
    below = runner.layer({name: "-> /etc"})
    with pytest.raises(SetupFailed, match=f"`/{name}` in the image is not a directory"):
        runner.run("true", layers=(below,))


def _mounts() -> list[tuple[ContainerMount, str]]:
    empty = Overlay(lowers=("/",))
    return [
        (Bind(target="/x", source="/no/such/source"), "bind mount source `/no/such/source`: No such file"),
        (OverlayMount(target="/x", overlay=empty, subpath="/no/such"), "`/no/such`: No such file"),
        (Bind(target="/proc/x", source="/etc"), "inside /proc"),
        (Bind(target="/", source="/etc"), "it is the root"),
        (File(target="/etc", content=b""), "cannot mount a file over `/etc`, which is a directory"),
        (Tmpfs(target="/etc/passwd"), "cannot mount a directory over `/etc/passwd`, which is a file"),
    ]


@pytest.mark.parametrize(("mount", "words"), _mounts())
def test_refused(runner: Runner, mount: ContainerMount, words: str) -> None:
    with pytest.raises(SetupFailed) as caught:
        runner.run("true", mounts=(mount,))
    assert words in caught.value.message


def test_socket_is_relayed_and_the_host_s_own_untouched(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "agent"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"answer to " + connection.recv(100))

    threading.Thread(target=answer, daemon=True).start()
    before = path.stat()
    client = "import socket as s; c = s.socket(s.AF_UNIX); c.connect('/run/agent'); c.send(b'q'); print(c.recv(99))"
    python = host_python()
    mounts = (Socket(target="/run/agent", source=str(path), uid=7, gid=8),
              *(Bind(target=folder, source=folder) for folder in python[1]))
    script = f"stat -c '%a %u %g' /run/agent; {python[0]} -c \"{client}\""
    ran = runner.run(script, mounts=mounts)
    server.close()
    assert ran.out.splitlines() == ["600 7 8", "b'answer to q'"]
    assert (path.stat().st_uid, path.stat().st_mode) == (before.st_uid, before.st_mode)


def host_python() -> tuple[str, tuple[str, ...]]:
    """An interpreter of the host that works when these directories are bound into a container."""
    import sys

    prefix = os.path.realpath(sys.base_prefix)
    folders = {prefix, *(d for d in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") if os.path.isdir(d))}
    program = os.path.realpath(sys.executable)
    if not any(program.startswith(f"{folder}/") for folder in folders):
        folders.add(os.path.dirname(program))
    return program, tuple(sorted(folders))
