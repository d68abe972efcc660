"""What a step cannot reach although it has the host's network: abstract sockets. And what Landlock must not break."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox.runtime import landlock
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

PROGRAM = r"""
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* `own`: parent and child meet at an abstract socket and signal each other. NAME: connects to the socket @NAME. */
int main(int count, char **words) {
    struct sockaddr_un name = {AF_UNIX, {0}};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(name.sun_path + 1, words[1], sizeof name.sun_path - 2);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(words[1]);
    if (strcmp(words[1], "own")) {
        errno = 0;
        connect(fd, (struct sockaddr *)&name, size);
        return puts(strerror(errno)) < 0;
    }
    if (bind(fd, (struct sockaddr *)&name, size) || listen(fd, 1)) return 1;
    pid_t child = fork();
    if (!child) {
        int other = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(other, (struct sockaddr *)&name, size)) return 2;
        pause();
    }
    int status, peer = accept(fd, 0, 0);
    if (peer < 0 || kill(child, SIGTERM) || waitpid(child, &status, 0) < 0) return 3;
    return puts(strsignal(WTERMSIG(status))) < 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    if not landlock.has_scopes():
        pytest.skip("this kernel has no Landlock scopes (6.12)")
    folder = tmp_path_factory.mktemp("abstract")
    (folder / "abstract.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-static", "-o", folder / "abstract", folder / "abstract.c"], check=True)
    return folder


@pytest.fixture
def listener() -> Iterator[str]:
    name = f"builder-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        yield name


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_host_s_abstract_sockets_are_out_of_reach(anyone: Runner, program: Path, listener: str, uid: int) -> None:
    ran = anyone.run(f"/abstract {listener}", layers=(program,), network="host", uid=uid, gid=uid)
    assert (ran.status, ran.out) == (0, "Operation not permitted\n")


def test_a_step_s_own_processes_reach_each_other(anyone: Runner, program: Path) -> None:
    for fields in ({}, {"uid": 1000, "gid": 1000}, {"no_new_privileges": True}, {"dropped_capabilities": ("ALL",)}):
        ran = anyone.run("/abstract own", layers=(program,), **fields)
        assert (ran.status, ran.out) == (0, "Terminated\n")


def test_files_are_moved_and_linked_as_ever(anyone: Runner) -> None:
    """Landlock refuses names that change directories where it handles files at all."""
    script = ("mkdir /a /b && echo x > /a/f && mv /a/f /b/f && ln /b/f /a/g && mv /etc/passwd /b/p && cat /a/g &&"
              "su -c 'kill -0 1' root && sleep 9 & kill $! && chroot / true")
    assert anyone.run(script).status == 0


def test_a_privileged_step_mounts(runner: Runner) -> None:
    ran = runner.run("mkdir /m && mount -t tmpfs none /m && touch /m/x && umount /m && unshare -m true",
                     privileged=True)
    assert ran.status == 0, ran.err
