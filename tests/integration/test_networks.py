"""What steps reach and what they do not: real builds as root and as a user, beside a machine made of namespaces.

Each test has a machine of its own: a network namespace with a loopback, an address, a second one, and a way to a server
outside. A build started in it takes it for the host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox.networks.inside import in_namespace
from builder.sandbox.networks.nat import Nat
from builder.sandbox.networks.pasta import Pasta
from tests.integration.conftest import Command
from tests.integration.machine import (
    HERE,
    OUTSIDE,
    SECOND,
    USER,
    Machine,
    datagram,
    drop_what_is_forwarded,
    echoing,
    heard,
    run,
    settled,
)
from tests.sandbox.test_rootless import ENVIRONMENT, python_of_others

pytestmark = pytest.mark.root

HAS_PASTA = shutil.which("pasta") is not None
needs_pasta = pytest.mark.skipif(not HAS_PASTA, reason="pasta is not installed (Debian: passt)")
@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for tool in ("ip", "nft", "nsenter", "setpriv"):
        assert shutil.which(tool), f"these tests need `{tool}`"
    name, outside = f"m{os.getpid()}", f"o{os.getpid()}"
    with contextlib.ExitStack() as stack:
        for space in (name, outside):
            run("ip", "netns", "add", space)
            stack.callback(run, "ip", "netns", "del", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", outside)
        for space, link, address in ((name, "out0", f"{HERE}/24"), (outside, "eth0", f"{OUTSIDE}/24")):
            run("ip", "-n", space, "addr", "add", address, "dev", link)
            run("ip", "-n", space, "link", "set", link, "up")
        run("ip", "-n", name, "addr", "add", f"{SECOND}/32", "dev", "lo")
        run("ip", "-n", name, "route", "add", "default", "via", OUTSIDE)
        made = Machine(name, tmp_path)
        for space in (name, outside):
            stack.enter_context(echoing(f"/run/netns/{space}", made.port))
        yield made


@pytest.fixture
def open_builder(base: Path) -> Iterator[Command]:
    """One in a folder that other users get to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(base, f"{folder}/base")
        yield Command(Path(folder), Path(folder) / "base")


def build(builder: Command, machine: Machine, script: str, *args: str, pasta: bool = True, user: bool = False,
          resolver: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`script` as a RUN on busybox; what it writes to /out is `result`'s."""
    out = builder.context.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    (builder.context / "script").write_text(script)
    argv = builder.build_args("FROM base\nCOPY script /script\nRUN busybox sh /script\n", "--no-cache", "--output",
                              str(out), *args)
    folder = builder.context.parent
    if user:
        builder.root.mkdir(exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
    command = builder.argv(*argv, str(builder.context))
    if user:
        path = f"PYTHONPATH={ENVIRONMENT['PYTHONPATH']}"
        command = ["/usr/bin/env", path, "HOME=/", python_of_others(), *command[1:]]
    return subprocess.run(machine.argv(*command, pasta=pasta, user=user, resolver=resolver), capture_output=True,
                          text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL)


def result(builder: Command, machine: Machine, script: str, *args: str, pasta: bool = True, user: bool = False,
           resolver: Path | None = None) -> str:
    done = build(builder, machine, script, *args, pasta=pasta, user=user, resolver=resolver)
    assert done.returncode == 0, done.stderr
    return (builder.context.parent / "out" / "out").read_text()


def asks(address: str, port: int) -> str:
    """Waits a little before it ends its side: old versions of pasta lose what comes after that."""
    return f"busybox sleep 1 | busybox timeout 5 busybox nc -w 2 {address} {port} | head -n 1"


def hello(address: str, port: int) -> str:
    return f"echo $({asks(address, port)}) >> /out\n"


def test_root_goes_out_without_pasta_and_reaches_nothing_here(builder: Command, machine: Machine) -> None:
    before = machine.links()
    (builder.context / "other").write_text("")
    script = (f"cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' ' | sort > /out\n{hello(OUTSIDE, machine.port)}"
              + "".join(hello(address, machine.port) for address in ("127.0.0.1", HERE, SECOND, "::1", "10.0.0.1"))
              + "gateway=$(busybox ip route | busybox awk '/default/ { print $3 }')\n"
              + hello("$gateway", machine.port) + "busybox grep -c @builder /proc/net/unix >> /out || true\n")
    seen = result(builder, machine, script, pasta=False).splitlines()
    assert seen == ["eth0", "lo", f"hello ::ffff:{HERE}", "", "", "", "", "", "", "0"]
    settled(lambda: machine.links() == before and machine.rules() == "")
    assert machine.forwards() == "0", "as it was before"


def test_udp_goes_out_too(machine: Machine) -> None:
    network = in_namespace(machine.path, lambda: Nat(reaches_host=False))
    try:
        assert in_namespace(network.path, lambda: _ask(OUTSIDE, machine.port)) == b"hello\n"
        with pytest.raises(OSError, match="refused"):
            in_namespace(network.path, lambda: _ask(HERE, machine.port))
    finally:
        in_namespace(machine.path, network.close)


def _ask(address: str, port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((address, port))
        for _ in range(10):
            # Datagrams may be lost while links that have just been made come up.
            with contextlib.suppress(TimeoutError):
                client.send(b"?")
                return client.recv(100)
        return b""


@pytest.mark.parametrize("pasta", [False, pytest.param(True, marks=needs_pasta)])
def test_who_asks_for_it_reaches_the_host(builder: Command, machine: Machine, pasta: bool) -> None:
    if pasta:
        drop_what_is_forwarded(machine)
    seen = result(builder, machine, f"{asks('here', machine.port)} > /out", "--add-host", "here=host-gateway",
                  pasta=pasta)
    assert seen.startswith("hello")


CLOSED = ("127.0.0.1", HERE, SECOND, "::1")


@needs_pasta
@pytest.mark.parametrize("user", [False, True])
def test_pasta_leads_out_and_to_nothing_here(open_builder: Command, machine: Machine, user: bool) -> None:
    """As root where a firewall drops what is forwarded, which the build finds out; as a user everywhere."""
    drop_what_is_forwarded(machine)
    script = "".join(hello(address, machine.port) for address in (OUTSIDE, *CLOSED))
    script += "busybox grep -c @builder /proc/net/unix >> /out || true\n"
    seen = result(open_builder, machine, script, user=user).splitlines()
    assert seen == [f"hello ::ffff:{HERE}", *[""] * len(CLOSED), "0"]


@needs_pasta
def test_no_packet_of_its_own_making_leads_a_step_to_the_host_through_pasta(machine: Machine) -> None:
    """Routes are no obstacle to these: root in a step may write whole frames, and packets of IP; anybody may name the
    interface with a link-local address.
    """
    run("ip", "-n", machine.name, "addr", "add", "fd00::77/64", "dev", "out0", "nodad")
    run("ip", "-n", machine.name, "addr", "add", "fe80::77/64", "dev", "out0", "nodad")
    run("ip", "-n", machine.name, "-6", "route", "add", "default", "via", "fd00::1", "dev", "out0")
    closed = ("127.0.0.1", "127.1.2.3", "0.0.0.0", HERE, SECOND, "::1", "::", "fd00::77", "fe80::77", "ff02::1")
    port = machine.port + 1
    here, outside = heard(machine.path, port), heard(f"/run/netns/o{os.getpid()}", port)

    def attack() -> None:
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        frames.bind(("out0", 0x88b5))  # what the kernel is to take them for
        for bypass in (0, 1):
            frames.setsockopt(263, 20, bypass)  # SOL_PACKET, PACKET_QDISC_BYPASS
            for address in (*closed, OUTSIDE):
                is_ipv6 = ":" in address
                kind = b"\x86\xdd" if is_ipv6 else b"\x08\0"
                packet = datagram("fd00::78" if is_ipv6 else HERE, address, port)
                with contextlib.suppress(OSError):
                    frames.send(b"\xff" * 6 + b"\2\0\0\0\0\1" + kind + packet)
        with frames, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as packets:
            for address in (HERE, SECOND, "127.0.0.1"):
                with contextlib.suppress(OSError):
                    packets.sendto(datagram(HERE, address, port), (OUTSIDE, 0))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            for address in ("fe80::77", "ff02::1"):
                with contextlib.suppress(OSError):
                    plain.sendto(address.encode(), (address, port, 0, socket.if_nametoindex("out0")))

    network = in_namespace(machine.path, lambda: Pasta(reaches_host=False))
    try:
        in_namespace(network.path, attack)
        assert in_namespace(network.path, lambda: _ask(OUTSIDE, machine.port)) == b"hello\n"
        assert (outside(), here()) == ({OUTSIDE}, set())
    finally:
        in_namespace(machine.path, network.close)


@pytest.mark.parametrize("user", [False, True])
def test_without_a_way_out_there_is_none_and_the_build_says_so_once(open_builder: Command, machine: Machine,
                                                                    user: bool) -> None:
    drop_what_is_forwarded(machine)
    script = f"cat /proc/net/route | wc -l > /out\n{hello('127.0.0.1', machine.port)}{hello(OUTSIDE, machine.port)}"
    done = build(open_builder, machine, script, pasta=False, user=user)
    assert done.returncode == 0, done.stderr
    assert (open_builder.context.parent / "out" / "out").read_text() == "1\n\n\n"
    assert done.stderr.count("steps have no network: ") == 1
    assert "pasta is not installed (Debian: passt); install pasta (Debian: passt), or give them the host's with " \
        "`--network host`" in done.stderr
    if not user:
        assert "the firewall of this machine drops what is forwarded" in done.stderr
    failed = build(open_builder, machine, "false", pasta=False, user=user)
    assert failed.returncode == 1 and "note: the step had no network: " in failed.stderr
    refused = build(open_builder, machine, "true", "--network", "private", pasta=False, user=user)
    assert refused.returncode == 1 and "steps cannot have a network of their own: " in refused.stderr
    quiet = build(open_builder, machine, "echo > /out", "--network", "none", pasta=False, user=user)
    assert quiet.returncode == 0 and "steps have no network" not in quiet.stderr


@pytest.mark.parametrize("pasta", [False, pytest.param(True, marks=needs_pasta)])
def test_an_oci_runtime_joins_the_same_networks(builder: Command, machine: Machine, pasta: bool) -> None:
    if shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("needs runc")
    if pasta:
        drop_what_is_forwarded(machine)
    script = "".join(hello(address, machine.port) for address in (OUTSIDE, *CLOSED))
    seen = result(builder, machine, script, "--runtime", "runc", pasta=pasta).splitlines()
    assert seen == [f"hello ::ffff:{HERE}", *[""] * len(CLOSED)]


def test_steps_that_run_together_do_not_reach_each_other(builder: Command, machine: Machine) -> None:
    """One listens on all of its addresses, and leaves them where the other one reads them."""
    cache = "--mount=type=cache,target=/shared,id=shared"
    (builder.context / "script").write_text("")
    dockerfile = f"""\
FROM base AS listener
RUN {cache} busybox ip -o -4 addr show eth0 | busybox awk '{{ print $4 }}' | busybox cut -d/ -f1 > /shared/new; \
    mv /shared/new /shared/address; (echo mine | busybox nc -l -p 4002) & \
    for i in $(seq 200); do [ -e /shared/done ] && break; busybox usleep 50000; done; echo > /l
FROM base AS caller
RUN {cache} for i in $(seq 200); do [ -e /shared/address ] && break; busybox usleep 50000; done; \
    (busybox nc -w 2 $(cat /shared/address) 4002; echo "status $?") > /out 2>&1; touch /shared/done
FROM scratch
COPY --from=listener /l /
COPY --from=caller /out /
"""
    out = builder.context.parent / "out"
    argv = builder.build_args(dockerfile, "--output", str(out), "--jobs", "2")
    done = subprocess.run(machine.argv(*builder.argv(*argv, str(builder.context)), pasta=False), capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "mine" not in (out / "out").read_text() and "status 1" in (out / "out").read_text()


@pytest.mark.parametrize("pasta", [False, pytest.param(True, marks=needs_pasta)])
def test_a_name_server_on_the_loopback_is_asked_for_steps(builder: Command, machine: Machine, tmp_path: Path,
                                                          pasta: bool) -> None:
    if pasta:
        drop_what_is_forwarded(machine)
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    server = in_namespace(machine.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 53))
    server.settimeout(20)
    thread = threading.Thread(target=_answer_names, args=(server,))
    thread.start()
    seen = result(builder, machine, "busybox nslookup -type=a name.example > /out", pasta=pasta, resolver=resolver)
    thread.join()
    server.close()
    assert "192.0.2.99" in seen


def _answer_names(server: socket.socket) -> None:
    """Says to one query that the name has the address 192.0.2.99."""
    query, client = server.recvfrom(512)
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + bytes((192, 0, 2, 99))
    server.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:] + answer, client)


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_killed_build_leaves_nothing(builder: Command, machine: Machine, whole_group: bool) -> None:
    before = machine.links()
    (builder.context / "script").write_text("")
    argv = machine.argv(*builder.argv(*builder.build_args("FROM base\nRUN busybox sleep 60\n"), str(builder.context)),
                        pasta=False)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdout=quiet, stderr=quiet, start_new_session=True) as running:
        settled(lambda: "builder-" in machine.rules())
        settled(lambda: machine.forwards() == "1")
        # `nsenter`, `unshare` and `sh` have become the build.
        os.killpg(running.pid, signal.SIGKILL) if whole_group else os.kill(running.pid, signal.SIGKILL)
    settled(lambda: machine.links() == before and machine.rules() == "")
    settled(lambda: machine.forwards() == "0")


def test_builds_at_the_same_time_share_what_they_switched_on(builder: Command, machine: Machine) -> None:
    """The one that ends last switches it off."""
    def opened() -> list[Nat]:
        first, second = Nat(reaches_host=False), Nat(reaches_host=False)
        first.close()
        return [second]

    left = in_namespace(machine.path, opened)
    assert machine.forwards() == "1"
    in_namespace(machine.path, left[0].close)
    assert machine.forwards() == "0"


def test_what_arrives_from_outside_is_not_handed_on(machine: Machine) -> None:
    """While steps have networks, the machine is a router for them alone."""
    run("ip", "-n", machine.name, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    run("ip", "-n", machine.name, "addr", "add", "198.18.5.1/24", "dev", "lan0")
    for link in ("lan0", "lan1"):
        run("ip", "-n", machine.name, "link", "set", link, "up")
    network = in_namespace(machine.path, lambda: Nat(reaches_host=False))
    try:
        assert machine.forwards() == "1"
        rules = machine.rules()
        assert 'meta nfproto ipv4 iifname "out0" oifname != "builder-*" drop' in rules
        assert 'meta nfproto ipv4 iifname "lan0" oifname != "builder-*" drop' in rules
        assert "flags owner" in rules
    finally:
        in_namespace(machine.path, network.close)


def test_run_has_the_same_default(builder: Command, machine: Machine) -> None:
    made = builder.build("FROM base\n", "-t", "image")
    assert made.returncode == 0, made.stderr
    script = f"{asks('127.0.0.1', machine.port)}; {asks(OUTSIDE, machine.port)}; echo done"

    def said(*args: str) -> subprocess.CompletedProcess[str]:
        argv = builder.argv("run", *args, "image", "sh", "-c", script)
        return subprocess.run(machine.argv(*argv, pasta=False), capture_output=True, text=True, timeout=60)

    assert said().stdout.splitlines() == [f"hello ::ffff:{HERE}", "done"]
    assert len(said("--network", "host").stdout.splitlines()) == 3
    assert said("--network", "none").stdout == "done\n"
    drop_what_is_forwarded(machine)
    alone = said()
    assert alone.stdout == "done\n" and "warning: steps have no network: " in alone.stderr


def test_doctor_says_what_steps_will_get(builder: Command, machine: Machine) -> None:
    def line(*, pasta: bool) -> str:
        said = run(*machine.argv(*builder.argv("doctor"), pasta=pasta))
        return next(text for text in said.splitlines() if "network of steps" in text)

    assert line(pasta=False).startswith("ok") and "translated by the kernel" in line(pasta=False)
    drop_what_is_forwarded(machine)
    assert line(pasta=False).startswith("no") and "install pasta (Debian: passt)" in line(pasta=False)
    if HAS_PASTA:
        assert line(pasta=True).startswith("ok") and "through pasta" in line(pasta=True)
