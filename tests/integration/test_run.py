"""RUN to the full: mounts, secrets, agents, networks, rights and limits, through the command."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


def prints(builder: Command, run: str, *args: str, before: str = "", env: dict[str, str] | None = None) -> str:
    """What a RUN writes to /out, which stands for its redirected output."""
    out = builder.context.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    argv = builder.build_args(f"FROM base\n{before}RUN {run}\n", "--no-cache", "--output", str(out), *args)
    done = builder.run(*argv, str(builder.context), env=env)
    assert done.returncode == 0, done.stderr
    return (out / "out").read_text()


def fails(builder: Command, run: str, *args: str) -> str:
    done = builder.build(f"FROM base\nRUN {run}\n", *args)
    assert done.returncode != 0
    return done.stderr


# -- order of mounts ---------------------------------------------------------------------------------------------------


def test_what_is_mounted_outside_is_mounted_first(builder: Command) -> None:
    (builder.context / "f").write_text("seen")
    assert prints(builder, "--mount=source=f,target=/a/b/f --mount=type=tmpfs,target=/a cp /a/b/f /out") == "seen"


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_secret_from_an_unset_variable_is_empty(builder: Command) -> None:
    run = "--mount=type=secret,id=s,required stat -c %s /run/secrets/s > /out"
    assert prints(builder, run, "--secret", "id=s,env=NOT_SET_AT_ALL") == "0\n"


def test_secrets_do_not_show_in_logs(builder: Command) -> None:
    secret = builder.context.parent / "secret"
    secret.write_text("hunter2-and/more\n")
    dockerfile = """\
FROM base
RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S set -x; cat /run/secrets/s; echo "[$S]"
RUN --mount=type=secret,id=s,env=S echo hunter2-; for part in hun ter2 -and /more; do echo -n $part; sleep 0.05; \\
    done; echo; echo "$S" >&2; exit 3
"""
    done = builder.build(dockerfile, "--secret", f"id=s,src={secret}")
    assert done.returncode == 1
    assert "hunter2-and" not in done.stderr
    assert done.stderr.count("***") >= 6
    assert " hunter2-\n" in done.stderr, "what only begins like the secret is shown"
    logs = "".join(path.read_text(errors="replace") for path in (builder.root / "logs").rglob("*.log"))
    assert "hunter2-and" not in logs
    assert "***" in logs


def test_a_secret_that_is_too_short_to_be_told_from_text_is_shown(builder: Command) -> None:
    done = builder.run(*builder.build_args("FROM base\nRUN --mount=type=secret,id=s,env=S echo value=$S\n",
                                           "--secret", "id=s,env=SHORT"), str(builder.context), env={"SHORT": "abc"})
    assert "value=abc\n" in done.stderr


# -- cache mounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "options", "owner"), [
    ("/home/app/.cache/deep", "", "1000:1000:755"), ("/home/app", "", "1000:1000:755"), ("/cache", "", "0:0:755"),
    ("/home/app/x", ",uid=5,mode=700", "5:0:700"), ("/home/app/y", ",uid=0,gid=0", "0:0:755"),
])
def test_a_cache_belongs_to_who_has_its_target(builder: Command, target: str, options: str, owner: str) -> None:
    before = "RUN chown 1000:1000 /home/app\n"
    assert prints(builder, f"--mount=type=cache,target={target}{options} stat -c %u:%g:%a {target} > /out",
                  before=before) == f"{owner}\n"


def test_a_cache_that_is_mounted_twice_is_taken_once(builder: Command) -> None:
    assert prints(builder, "--mount=type=cache,id=c,target=/a,sharing=locked "
                           "--mount=type=cache,id=c,target=/b,sharing=locked echo x > /a/f && cat /b/f > /out") == "x\n"


def test_steps_that_lock_the_same_caches_do_not_wait_for_each_other(builder: Command) -> None:
    stages = "".join(
        f"FROM base AS s{n}\nRUN --mount=type=cache,id={first},target=/1,sharing=locked "
        f"--mount=type=cache,id={second},target=/2,sharing=locked sleep 0.1; echo {n} > /f{n}\n"
        for n, (first, second) in enumerate([("a", "b"), ("b", "a")] * 3))
    copies = "".join(f"COPY --from=s{n} /f{n} /\n" for n in range(6))
    done = builder.build(f"{stages}FROM scratch\n{copies}")
    assert done.returncode == 0, done.stderr


def test_namespaces_separate_caches(builder: Command) -> None:
    run = "--mount=type=cache,target=/c ls /c > /out; touch /c/seen"
    assert prints(builder, run, "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one") == ""
    assert prints(builder, run, "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=two") == ""
    assert prints(builder, run, "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one") == "seen\n"


# -- other mounts ------------------------------------------------------------------------------------------------------


def test_bind_mounts(builder: Command) -> None:
    (builder.context / "f").write_text("context\n")
    before = "RUN echo base > /b\nFROM base AS s\nRUN mkdir /d && echo stage > /d/g\nFROM base\n"
    assert prints(builder, "--mount=target=/ctx --mount=from=s,source=d,target=/st,rw --mount=from=base,target=/im "
                           "cat /ctx/f /st/g > /out; echo changed > /st/g; cat /st/g >> /out; touch /ctx/x || "
                           "test -e /im/bin/sh && echo read-only >> /out",
                  before=before) == "context\nstage\nchanged\nread-only\n"


def test_tmpfs_of_a_size(builder: Command) -> None:
    assert prints(builder, "--mount=type=tmpfs,target=/t,size=64k dd if=/dev/zero of=/t/f bs=1k count=100 2>/dev/null; "
                           "stat -c %s /t/f > /out") == "65536\n"


def test_mounts_and_volumes_for_all_steps(builder: Command, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "f").write_text("from the host\n")
    args = ("-v", f"{tmp_path}/host:/v", "-v", f"{tmp_path}/host:/r:ro", "--mount", "type=tmpfs,target=/t")
    run = ("cat /v/f > /out; touch /r/no || echo read-only >> /out; echo kept > /v/new; "
           "grep -c ' /t ' /proc/mounts >> /out")
    assert prints(builder, run, *args) == "from the host\nread-only\n1\n"
    assert (tmp_path / "host" / "new").read_text() == "kept\n"
    assert "there is no `/nowhere` on this machine" in fails(builder, "true", "-v", "/nowhere:/x")
    assert "both paths must be absolute" in fails(builder, "true", "-v", "name:/x")


# -- agents ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name, phrase in (("plain", ""), ("locked", "passphrase")):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", name, "-f", str(tmp_path / name)],
                       check=True, stdin=subprocess.DEVNULL)
    return tmp_path


def test_a_step_may_use_keys_but_not_change_them(builder: Command, keys: Path) -> None:
    os.chmod(keys / "plain", 0o644)
    ssh_add = _runnable("ssh-add")
    out = prints(builder, f"--mount=type=ssh {ssh_add} -l > /out; {ssh_add} -D; {ssh_add} -x; {ssh_add} -l >> /out; "
                          "stat -c %u:%a $SSH_AUTH_SOCK >> /out",
                 "-v", "/:/host:ro", "--ssh", f"default={keys}/plain")
    first, second, socket = out.splitlines()
    assert first == second
    assert first.split()[2:] == ["plain", "(ED25519)"]
    assert socket == "0:600"


def test_agents_that_cannot_be(builder: Command, keys: Path) -> None:
    def complaint(ssh: str) -> str:
        argv = builder.build_args("FROM base\nRUN --mount=type=ssh,required true\n", "--ssh", ssh)
        return builder.run(*argv, str(builder.context), env={"SSH_AUTH_SOCK": ""}).stderr

    assert "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set" in complaint("default")
    assert f"there is no `{keys}/none`" in complaint(f"default={keys}/none")
    assert f"cannot use `{keys}/locked` as an ssh key" in complaint(f"default={keys}/locked")
    assert "unset ssh forward key default" in complaint(f"other={keys}/plain")


def _runnable(program: str) -> str:
    """A command line that runs the host's program with the host's libraries at /host."""
    path = shutil.which(program)
    assert path is not None
    lines = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split()
    loader = os.path.realpath(next(word for word in lines if word.startswith("/") and "ld-" in word))
    folders = ":".join(sorted({f"/host{os.path.dirname(os.path.realpath(w))}" for w in lines if w.startswith("/")}))
    return f"/host{loader} --library-path {folders} /host{os.path.realpath(path)}"


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server on this machine's loopback."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def listens(port: int, address: str = "127.0.0.1") -> str:
    return f"nc -w 2 {address} {port} < /dev/null > /dev/null 2>&1; echo $? > /out"


def test_networks(builder: Command, port: int) -> None:
    assert prints(builder, listens(port), "--network", "host") == "0\n"
    assert prints(builder, listens(port), "--network", "none") == "1\n"
    assert prints(builder, listens(port)) == prints(builder, listens(port), "--network", "private") == "1\n"
    alone = "wc -l < /proc/net/route > /out"
    assert prints(builder, f"--network=default {alone}", "--network", "none") == "1\n", "the flag's, as in BuildKit"
    assert prints(builder, f"--network=none {listens(port)}", "--network", "host") == "1\n"
    assert prints(builder, f"--network=host {listens(port)}", "--network", "none", "--allow", "network.host") == "0\n"
    assert prints(builder, listens(port), "--network", "ns:/proc/self/ns/net") == "0\n"
    assert "granting entitlement network.host is not allowed" in fails(builder, "--network=host true")
    assert "there is no file `/nowhere`" in fails(builder, "true", "--network", "ns:/nowhere")


def test_hosts_and_dns(builder: Command) -> None:
    hosts = prints(builder, "cat /etc/hosts > /out", "--add-host", "db:10.0.0.5", "--add-host", "six=[::1]",
                   "--network", "host", "--add-host", "me=host-gateway", "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box")
    assert hosts == ("127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.5\tdb\n::1\tsix\n"
                     "127.0.0.1\tme\n")
    assert prints(builder, "cat /etc/resolv.conf > /out", "--dns", "10.0.0.1,10.0.0.2", "--dns-search", "a.example",
                  "--dns-option", "ndots:2") == (
        "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example\noptions ndots:2\n")
    assert prints(builder, "cat /etc/hosts > /out", "--no-hosts", before="COPY hosts /etc/hosts\n") == "own\n" \
        if (builder.context / "hosts").write_text("own\n") else False
    assert prints(builder, "cat /etc/resolv.conf > /out", "--dns", "none",
                  before="COPY hosts /etc/resolv.conf\n") == "own\n"
    assert "`x` is not an IP address" in fails(builder, "true", "--dns", "x")
    assert "cannot be used with other DNS settings" in fails(builder, "true", "--dns", "none", "--dns", "10.0.0.1")
    assert "invalid IP address in add-host: `x`" in fails(builder, "true", "--add-host", "a:x")


# -- rights and limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "mask"), [
    ((), "a80425fb"), (("--cap-drop", "ALL"), "0"), (("--cap-drop", "CAP_MKNOD"), "a00425fb"),
    (("--cap-add", "sys_ptrace"), "a80c25fb"), (("--cap-drop", "ALL", "--cap-add", "CHOWN"), "1"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else None)
def test_capabilities(builder: Command, args: tuple[str, ...], mask: str) -> None:
    with open("/proc/self/status") as file:
        held = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))
    found = prints(builder, "grep -E '^Cap(Eff|Bnd)' /proc/self/status | cut -f 2 > /out", *args).split()
    assert found == [f"{int(mask, 16) & held:016x}"] * 2


def test_security_options(builder: Command) -> None:
    status = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | cut -f 2 > /out"
    assert prints(builder, status) == "0\n2\n"
    assert prints(builder, status, "--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges") == (
        "1\n0\n")
    keys = "wc -c < /proc/keys > /out; cat /proc/uptime | wc -c >> /out"
    hidden, shown = prints(builder, keys).split()
    assert (hidden, shown != "0") == ("0", True)
    shown, hidden = prints(builder, keys, "--security-opt", "unmask=/proc/keys", "--security-opt",
                           "mask=/proc/uptime").split()
    assert (hidden, shown != "0") == ("0", True)
    assert "the seccomp profile `/x.json` cannot be used" in fails(builder, "true", "--security-opt", "seccomp=/x.json")
    assert "it needs a value" in fails(builder, "true", "--security-opt", "seccomp=")
    assert "unknown capability `FOO`" in fails(builder, "true", "--cap-add", "foo".upper())


def test_a_seccomp_profile(builder: Command) -> None:
    """Its content decides whether a step runs again, not where it lies."""
    first, second = (builder.context.parent / name for name in ("first.json", "second.json"))
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
        {"names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    ]}
    first.write_text(json.dumps(document))
    second.write_text(json.dumps(document, indent=2))

    def build(profile: Path, *args: str) -> str:
        done = builder.build("FROM base\nRUN mkdir /x; mknod /y p; date > /out\n", *args,
                             "--security-opt", f"seccomp={profile}", "--security-opt", "apparmor=unconfined")
        assert done.returncode == 0, done.stderr
        return done.stderr

    said = build(first)
    assert "can't create directory '/x': Read-only file system" in said
    assert "mknod: /y: Operation not permitted" in said
    assert "miss:" not in build(second)
    assert 'miss: --cap-add "SYS_ADMIN" was added; --security-opt seccomp changed' in build(
        second, "--cap-add", "SYS_ADMIN")
    document["syscalls"] = []
    second.write_text(json.dumps(document))
    said = build(second)
    assert 'miss: --cap-add "SYS_ADMIN" was removed; --security-opt seccomp changed' in said
    assert "create directory" not in said


@pytest.mark.skipif(os.path.exists("/sys/module/apparmor"), reason="has AppArmor")
def test_an_apparmor_profile_where_there_is_none(builder: Command) -> None:
    said = fails(builder, "echo was run", "--security-opt", "apparmor=mine")
    assert "there is no AppArmor profile `mine`: AppArmor is not enabled on this machine" in said
    assert "/sys/module/apparmor/parameters/enabled" in said and "apparmor=unconfined" in said and "was run" not in said


def test_insecure_steps_need_to_be_allowed(builder: Command) -> None:
    run = "--security=insecure grep ^CapEff /proc/self/status | cut -f 2 > /out"
    assert "granting entitlement security.insecure is not allowed" in fails(builder, run)
    assert prints(builder, run, "--allow", "security.insecure") != prints(builder, run.partition(" ")[2])


def test_limits(builder: Command) -> None:
    assert prints(builder, "ulimit -n > /out", "--ulimit", "nofile=100:200") == "100\n"
    assert prints(builder, "stat -f -c '%b %s' /dev/shm > /out", "--shm-size", "1m").split()[0] == "256"
    assert "the limit of memory and swap together is lower" in fails(builder, "true", "-m", "2g", "--memory-swap", "1g")
    assert "a limit of memory and swap needs one of memory" in fails(builder, "true", "--memory-swap", "1g")


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="reads a group of version 1")
def test_memory_is_limited_and_running_out_of_it_is_said(builder: Command) -> None:
    own = "cat /sys/fs/cgroup/memory$(grep :memory: /proc/self/cgroup | cut -d : -f 3)/memory.limit_in_bytes"
    fallback = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert prints(builder, f"({own} || {fallback}) > /out", "--memory", "64m") == f"{64 << 20}\n"
    eat = "busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'"
    assert "note: out of memory: the kernel killed a process of this step, whose limit is 32 MiB" in fails(
        builder, eat, "--memory", "32m")


@pytest.mark.parametrize(("run", "one", "other"), [
    ("stat -f -c %b /dev/shm", "--shm-size=1m", "--shm-size=2m"),
    ("sh -c 'ulimit -n'", "--ulimit=nofile=100", "--ulimit=nofile=200"),
    ("cat /etc/resolv.conf", "--dns-option=ndots:1", "--dns-option=ndots:2"),
    ("grep CapBnd /proc/self/status", "--cap-drop=CHOWN", "--cap-drop=MKNOD"),
    ("(cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max)", "--pids-limit=100", "--pids-limit=-1"),
], ids=["shm", "ulimit", "dns", "capabilities", "tasks"])
def test_a_build_with_another_setting_never_takes_the_old_result(builder: Command, run: str, one: str,
                                                                 other: str) -> None:
    dockerfile = f"FROM base\nRUN {run} > /out\n"
    seen = [(builder.files(dockerfile, flag) / "out").read_text() for flag in (one, other)]
    assert seen[0] != seen[1]
    assert "#4 CACHED" not in builder.build(dockerfile).stderr, "without the flag it is a third step"
    assert "#4 CACHED" in builder.build(dockerfile, other).stderr


def test_a_step_that_prints_without_end_fills_neither_disk_nor_memory(builder: Command) -> None:
    dockerfile = "FROM base\nRUN dd if=/dev/zero bs=1M count=40 2>/dev/null; echo; echo done > /out\n"
    done = builder.run(*builder.build_args(dockerfile, "--output", str(builder.context.parent / "out")),
                       str(builder.context), env={"BUILDKIT_STEP_LOG_MAX_SIZE": str(1 << 20)})
    assert done.returncode == 0, done.stderr[-2000:]
    assert (builder.context.parent / "out" / "out").read_text() == "done\n", "the step itself went on"
    logs = list((builder.root / "logs").rglob("*.log"))
    assert [1 << 20 < path.stat().st_size < (1 << 20) + 100 for path in logs] == [True]
    assert "[output clipped, log limit 1MiB reached]" in done.stderr
    assert builder.run("logs", "RUN").stdout.endswith("\n[output clipped, log limit 1MiB reached]\n")


def test_a_failed_step_shows_the_end_of_its_output_even_if_it_was_clipped(builder: Command) -> None:
    dockerfile = "FROM base\nRUN dd if=/dev/zero bs=1k count=9 2>/dev/null; echo; echo the reason; exit 3\n"
    done = builder.run(*builder.build_args(dockerfile), str(builder.context),
                       env={"BUILDKIT_STEP_LOG_MAX_SIZE": "1000"})
    assert done.returncode == 1
    assert "[output clipped, log limit 1000B reached]" in done.stderr
    assert "the reason" in done.stderr.partition("[output clipped")[2]
