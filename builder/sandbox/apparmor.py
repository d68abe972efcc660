"""Which AppArmor profile a step is started in, if this machine has any; `runtime.step` starts it.

Unless a build names another one it is Docker's, `docker-default`, where that is loaded, else the like of it from here.
"""

from __future__ import annotations

import functools

from builder.errors import UsageError

UNCONFINED = "unconfined"
_DOCKER, _OWN = "docker-default", "builder-default"

_PROFILE = """
profile builder-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send, receive) peer=builder-default,
  ptrace (trace, read, tracedby, readby) peer=builder-default,
  deny mount,
  deny /proc/* w,
  deny /proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny /proc/{sysrq-trigger,kcore} rwklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
"""
"""In the language of apparmor.d(5): no mounts, no writing to the kernel's file systems but one's own processes.

The patterns are those that every container's profile has: AppArmor cannot say "all but", and 1-9 begin process ids.
"""


class NoAppArmor(UsageError):
    code = "no-apparmor"

    def __init__(self, name: str, path: str) -> None:
        super().__init__(f"there is no AppArmor profile `{name}`: AppArmor is not enabled on this machine",
                         cause=f"`{path}` does not say Y", hint="leave it out, or say apparmor=unconfined")


class UnknownAppArmorProfile(UsageError):
    code = "apparmor-profile"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no AppArmor profile `{name}`", cause="it is not loaded",
                         hint="load it with `apparmor_parser`; `aa-status` lists what is loaded")


@functools.cache
def default_profile(sys_dir: str = "/sys", proc_dir: str = "/proc") -> str:
    """The profile for steps that name none; "" where there is none to enter.

    None in a user namespace, which may load no profile, and where this process is confined itself, as in a container:
    who is confined may not choose another profile for its children. Loads our own where Docker's is missing.
    """
    if not is_enabled(sys_dir):
        return ""
    own = _read(f"{proc_dir}/self/attr/apparmor/current") or _read(f"{proc_dir}/self/attr/current")
    if own.strip("\n\0") != UNCONFINED or _read(f"{proc_dir}/self/uid_map").split() != ["0", "0", "4294967295"]:
        return ""
    loaded = _loaded(sys_dir)
    if _DOCKER in loaded:
        return _DOCKER
    return _OWN if _OWN in loaded or _load(sys_dir) else ""


def _load(sys_dir: str) -> bool:
    """Whether our own profile is there now; apparmor_parser, which compiles it, may be missing."""
    import shutil
    import subprocess

    parser = shutil.which("apparmor_parser") or shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    if parser is None:
        return False
    subprocess.run([parser, "--replace", "--skip-cache"], input=_PROFILE.encode(), stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    return _OWN in _loaded(sys_dir)


def chosen_profile(name: str) -> str:
    """What a container's `apparmor` stands for on this machine; "" for no profile."""
    return "" if name == UNCONFINED else name or default_profile()


def is_enabled(sys_dir: str = "/sys") -> bool:
    return _read(f"{sys_dir}/module/apparmor/parameters/enabled").startswith("Y")


def check_profile(name: str, sys_dir: str = "/sys") -> None:
    """Raises NoAppArmor, or UnknownAppArmorProfile where this user may see which profiles are loaded."""
    if not is_enabled(sys_dir):
        raise NoAppArmor(name, f"{sys_dir}/module/apparmor/parameters/enabled")
    loaded = _loaded(sys_dir)
    if loaded and name not in loaded:
        raise UnknownAppArmorProfile(name)


def _loaded(sys_dir: str) -> set[str]:
    """The names of the loaded profiles; empty where this user may not see them."""
    lines = _read(f"{sys_dir}/kernel/security/apparmor/profiles").splitlines()
    return {line.rpartition(" (")[0] for line in lines}


def _read(path: str) -> str:
    """The file's text; "" where there is none for this user, as in many containers."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
