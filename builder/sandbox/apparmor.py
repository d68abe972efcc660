"""Whether a step can be started in an AppArmor profile of this machine; `runtime.step` does it."""

from __future__ import annotations

from builder.errors import UsageError


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


def check_profile(name: str, sys_dir: str = "/sys") -> None:
    """Raises NoAppArmor, or UnknownAppArmorProfile where this user may see which profiles are loaded."""
    switch = f"{sys_dir}/module/apparmor/parameters/enabled"
    if not _read(switch).startswith("Y"):
        raise NoAppArmor(name, switch)
    lines = _read(f"{sys_dir}/kernel/security/apparmor/profiles").splitlines()
    if lines and name not in {line.rpartition(" (")[0] for line in lines}:
        raise UnknownAppArmorProfile(name)


def _read(path: str) -> str:
    """The file's text; "" where there is none for this user, as in many containers."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
