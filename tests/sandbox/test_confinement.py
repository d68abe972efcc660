"""Processes under seccomp profiles of people's own, and AppArmor where there is none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox.apparmor import NoAppArmor, UnknownAppArmorProfile, check_profile, default_profile
from builder.sandbox.attachment import SetupFailed
from builder.sandbox.spec import oci_config
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

SHELL = (
    "access arch_prctl brk clone clone3 close dup dup2 dup3 execve exit exit_group faccessat faccessat2 fcntl fork "
    "fstat futex getcwd getegid geteuid getgid getpid getppid getrandom getuid ioctl lseek mmap mprotect munmap "
    "newfstatat open openat pipe pipe2 poll ppoll prlimit64 read readlink readlinkat rseq rt_sigaction rt_sigprocmask "
    "rt_sigreturn set_robust_list set_tid_address stat statx uname vfork wait4 write writev"
)
"""What a static shell needs: nothing of what makes a container, such as chdir, setresuid or capset."""


def profile(default: str = "SCMP_ACT_ALLOW", *rules: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"defaultAction": default, "syscalls": rules, **fields})


def rule(*names: str, action: str = "SCMP_ACT_ERRNO", **fields: Any) -> dict[str, Any]:
    return {"names": names, "action": action, **fields}


def test_a_call_is_refused_with_its_number(anyone: Runner) -> None:
    for fields, number in (({}, errno.EPERM), ({"errnoRet": errno.EROFS}, errno.EROFS)):
        ran = anyone.run("echo in > /file && mkdir /folder", seccomp_profile=profile(
            "SCMP_ACT_ALLOW", rule("mkdir", "mkdirat", **fields)))
        assert os.strerror(number) in ran.err
        assert (ran.status, ran.written()) == (1, {"file"})


def test_a_call_is_refused_for_its_argument(anyone: Runner) -> None:
    refuse = rule("socket", errnoRet=errno.EAFNOSUPPORT, args=[{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}])
    ran = anyone.run("ip link show lo && ifconfig lo", seccomp_profile=profile("SCMP_ACT_ALLOW", refuse),
                     network="none")
    assert "LOOPBACK" in ran.out
    assert os.strerror(errno.EAFNOSUPPORT) in ran.err and ran.status == 1


@pytest.mark.parametrize("fields", [
    {}, {"uid": 1000, "gid": 1000}, {"cwd": "/made/here"}, {"no_new_privileges": True},
    {"dropped_capabilities": ("ALL",)}, {"added_capabilities": ("ALL",)},
], ids=lambda fields: "-".join(fields) or "plain")
def test_only_what_the_step_itself_needs_has_to_be_allowed(runner: Runner, fields: dict[str, Any]) -> None:
    text = profile("SCMP_ACT_ERRNO", rule(*SHELL.split(), action="SCMP_ACT_ALLOW"), defaultErrnoRet=errno.EXDEV)
    script = "echo said; grep -E '^(Cap|Seccomp:|NoNew)' /proc/self/status; mkdir x"
    ran, usual = runner.run(script, seccomp_profile=text, **fields), runner.run(script, **fields)
    assert ran.out == usual.out and ran.out.startswith("said\nCapInh")
    assert os.strerror(errno.EXDEV) in ran.err and ran.status == 1


def test_killed_processes(anyone: Runner) -> None:
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"):
        text = profile("SCMP_ACT_ALLOW", rule("mkdir", "mkdirat", action=action))
        ran = anyone.run("(mkdir /x); echo $?; mkdir /x", seccomp_profile=text)
        assert (ran.out, ran.status, ran.written()) == (f"{128 + signal.SIGSYS}\n", 128 + signal.SIGSYS, set())
    text = profile("SCMP_ACT_ALLOW", rule("mkdir", "mkdirat", action="SCMP_ACT_LOG"))
    assert anyone.run("mkdir /x", seccomp_profile=text).written() == {"x"}


def test_a_profile_that_lets_nothing_start(runner: Runner) -> None:
    ran = runner.run("true", seccomp_profile=profile("SCMP_ACT_ALLOW", rule("execve")))
    assert (ran.status, ran.err) == (255, "exec /bin/sh: operation not permitted\n")
    ran = runner.run("true", seccomp_profile=profile("SCMP_ACT_KILL_PROCESS"))
    assert ran.status == 128 + signal.SIGSYS
    assert runner.run("echo still here").out == "still here\n"


def test_privileged_steps_have_none(runner: Runner) -> None:
    text = profile("SCMP_ACT_ALLOW", rule("mkdir", "mkdirat"))
    assert runner.run("mkdir /x", seccomp_profile=text, privileged=True).written() == {"x"}


def test_oci_runtimes_are_handed_it(runner: Runner) -> None:
    text = profile("SCMP_ACT_ALLOW", rule("mkdir"))
    container = runner.container("true", seccomp_profile=text, apparmor="mine")
    config = oci_config(container, binds_dir="/b", cgroups_path="/c", rootless=False)
    assert config["linux"]["seccomp"] == json.loads(text)
    assert config["process"]["apparmorProfile"] == "mine"
    plain = oci_config(runner.container("true", privileged=True, apparmor="mine"), binds_dir="/b", cgroups_path="/c",
                       rootless=False)
    assert "apparmorProfile" not in plain["process"] and "seccomp" not in plain["linux"]


# -- AppArmor ----------------------------------------------------------------------------------------------------------


def test_apparmor_profiles_must_be_there(tmp_path: Path) -> None:
    """A tree like the kernel's stands for machines with AppArmor."""
    switch = tmp_path / "module/apparmor/parameters/enabled"
    switch.parent.mkdir(parents=True)
    for text in (None, "N\n"):
        if text is not None:
            switch.write_text(text)
        with pytest.raises(NoAppArmor, match="there is no AppArmor profile `mine`: AppArmor is not enabled"):
            check_profile("mine", str(tmp_path))
    switch.write_text("Y\n")
    check_profile("mine", str(tmp_path))
    profiles = tmp_path / "kernel/security/apparmor/profiles"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("my own (complain)\nmine (enforce)\n")
    for name in ("mine", "my own"):
        check_profile(name, str(tmp_path))
    with pytest.raises(UnknownAppArmorProfile, match="there is no AppArmor profile `min`"):
        check_profile("min", str(tmp_path))


PARSER = """#!/bin/sh
cat > "{folder}/parsed"
echo "builder-default (enforce)" >> "{folder}/sys/kernel/security/apparmor/profiles"
"""
"""Stands for apparmor_parser, which tells the kernel."""


@pytest.mark.parametrize(("enabled", "current", "users", "loaded", "parser", "chosen"), [
    (None, "unconfined", "0 0 4294967295", "docker-default", True, ""),
    ("N", "unconfined", "0 0 4294967295", "docker-default", True, ""),
    ("Y", "unconfined", "0 0 4294967295", "docker-default", True, "docker-default"),
    ("Y", "unconfined", "0 0 4294967295", "builder-default", False, "builder-default"),
    ("Y", "unconfined", "0 0 4294967295", "other", True, "builder-default"),
    ("Y", "unconfined", "0 0 4294967295", "other", False, ""),
    ("Y", "docker-default (enforce)", "0 0 4294967295", "docker-default", True, ""),
    ("Y", "unconfined", "0 100000 65536", "docker-default", True, ""),
], ids=["absent", "off", "docker's", "ours", "loads ours", "no parser", "in a container", "in a user namespace"])
def test_the_usual_apparmor_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: str | None, current: str,
                                    users: str, loaded: str, parser: bool, chosen: str) -> None:
    """Trees like the kernel's stand for machines with AppArmor: what is decided, not what the kernel makes of it."""
    for name, text in (("sys/kernel/security/apparmor/profiles", f"{loaded} (enforce)\n"),
                       ("proc/self/attr/apparmor/current", f"{current}\n"), ("proc/self/uid_map", users),
                       *((("sys/module/apparmor/parameters/enabled", f"{enabled}\n"),) if enabled else ())):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if parser:
        (tmp_path / "apparmor_parser").write_text(PARSER.format(folder=tmp_path))
        (tmp_path / "apparmor_parser").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if parser else str(tmp_path))
    if not parser and any(shutil.which("apparmor_parser", path=path) for path in ("/usr/sbin", "/sbin")):
        pytest.skip("has an apparmor_parser")
    assert default_profile(str(tmp_path / "sys"), str(tmp_path / "proc")) == chosen
    parsed = tmp_path / "parsed"
    assert parsed.exists() == (loaded == "other" and parser)
    if parsed.exists():
        assert parsed.read_text().strip().startswith("profile builder-default ") and "deny mount," in parsed.read_text()


def test_an_apparmor_profile_that_cannot_be_entered(runner: Runner) -> None:
    with pytest.raises(SetupFailed, match="start in the AppArmor profile `builder-has-none`"):
        runner.run("true", apparmor="builder-has-none")
