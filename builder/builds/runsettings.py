"""What a caller asks for all RUN steps, from the command line's notations to values."""

from __future__ import annotations

import os

import msgspec

from builder.builds.networking import HostEntry, NetworkMode, check_address
from builder.builds.options import BuildOptions, value_of
from builder.errors import UsageError
from builder.golang.size import parse_size
from builder.language.runmounts import RunMount
from builder.plan.planoptions import RunSettings
from builder.plan.ulimit import Ulimit
from builder.plan.vertices import Confinement, Dns, HostMount, Limits

_VALUED = ("seccomp", "apparmor", "mask", "unmask")
_UNCONFINED = frozenset({"label=disable", "label:disable", "systempaths=default"})
"""Ask for what steps have anyway."""


class UnknownSecurityOption(UsageError):
    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"--security-opt `{text}`: {why}",
                         hint="choose one of seccomp=FILE, seccomp=unconfined, apparmor=NAME, no-new-privileges, "
                              "mask=PATHS, unmask=PATHS and unmask=ALL")


def run_settings(options: BuildOptions) -> RunSettings:
    """Raises UsageError for values that make no sense."""
    mode = value_of(NetworkMode, options.network)
    hosts = [value_of(HostEntry, given) for given in options.add_hosts]
    return RunSettings(
        network=mode.network, namespace=mode.namespace,
        extra_hosts=tuple((host.name, host.address) for host in hosts),
        hosts_file=not options.no_hosts, dns=_dns(options),
        hostname=options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
        ulimits=tuple(value_of(Ulimit, given) for given in options.ulimits), shm_size=options.shm_size,
        cgroup_parent=options.cgroup_parent, limits=_limits(options.resources), confinement=_confinement(options),
        volumes=tuple(map(_volume, options.volumes)), mounts=tuple(map(_mount, options.mounts)))


def _mount(text: str) -> RunMount:
    """Without variables all that is wrong with it is said here: no RUN is to be blamed for that."""
    from builder.language.runmounts import InvalidMount, evaluate_mount, parse_mount

    try:
        mount = parse_mount(text)
        if "$" not in text:
            evaluate_mount(mount)
    except InvalidMount as error:
        raise UsageError(f"--mount `{text}`: {error.message}", hint=error.hint) from None
    return mount


def _dns(options: BuildOptions) -> Dns:
    if "none" in options.dns and (len(options.dns) > 1 or options.dns_search or options.dns_options):
        raise UsageError("--dns none cannot be used with other DNS settings")
    for address in options.dns if options.dns != ("none",) else ():
        check_address(address, f"--dns: `{address}` is not an IP address")
    return Dns(servers=options.dns, search=options.dns_search, options=options.dns_options)


def _limits(resources: dict[str, str]) -> Limits:
    values: dict[str, int | str] = {}
    for name, text in resources.items():
        field = name.replace("-", "_")
        if field not in Limits.__struct_fields__:
            raise UsageError(f"unknown resource `{name}`")
        values[field] = text if field.startswith("cpuset") else _amount(name, text)
    limits = msgspec.convert(values, Limits)
    if limits.memory_swap and not limits.memory:
        raise UsageError("a limit of memory and swap needs one of memory", hint="set `--memory` too")
    if 0 < limits.memory_swap < limits.memory:
        raise UsageError("the limit of memory and swap together is lower than that of memory alone")
    return limits


def _amount(name: str, text: str) -> int:
    try:
        return int(text) if text.removeprefix("-").isdecimal() or not name.startswith("memory") else parse_size(text)
    except ValueError:
        raise UsageError(f"invalid value `{text}` for {name}") from None


def _confinement(options: BuildOptions) -> Confinement:
    added, dropped = tuple(map(_capability, options.cap_add)), tuple(map(_capability, options.cap_drop))
    seccomp, no_new_privileges, apparmor = "builtin", False, ""
    masked: list[str] = []
    unmasked: list[str] = []
    for text in options.security_opts:
        name, _, value = text.partition("=")
        match name:
            case "seccomp" if value:
                seccomp = value
            case "apparmor" if value:
                apparmor = value
            case "no-new-privileges" if value in ("", "true", "false"):
                no_new_privileges = value != "false"
            case "mask" | "unmask" if value:
                (masked if name == "mask" else unmasked).extend(_kernel_paths(text, value))
            case _ if text not in _UNCONFINED:
                raise UnknownSecurityOption(text, "steps have no SELinux label to change" if name == "label"
                                            else "it needs a value" if name in _VALUED else "there is no such option")
    if apparmor:
        apparmor = _apparmor(apparmor)
    return Confinement(
        added=added, dropped=dropped, seccomp=seccomp != "unconfined",
        seccomp_profile=_seccomp_profile(seccomp, added, dropped), apparmor=apparmor,
        no_new_privileges=no_new_privileges, masked=tuple(masked), unmasked=tuple(unmasked))


def _apparmor(name: str) -> str:
    """The profile, which must exist; "" where being unconfined changes nothing."""
    from builder.sandbox.apparmor import UNCONFINED, check_profile, is_enabled

    if name == UNCONFINED:
        return UNCONFINED if is_enabled() else ""
    check_profile(name)
    return name


def _seccomp_profile(value: str, added: tuple[str, ...], dropped: tuple[str, ...]) -> str:
    """What the file says for steps with these rights; "" for the usual profile, and for none."""
    if value in ("builtin", "unconfined"):
        return ""
    from builder.sandbox.runtime.facts import granted
    from builder.sandbox.seccomp.userprofile import load_profile

    return load_profile(value, granted(added, dropped))


def _kernel_paths(text: str, value: str) -> list[str]:
    """The paths of mask= and unmask=: only the kernel's own file systems have anything to hide."""
    if text == "unmask=ALL":
        return ["ALL"]
    paths = [os.path.normpath(path) for path in value.split(":")]
    for path in paths:
        if not path.startswith(("/proc/", "/sys/")):
            raise UnknownSecurityOption(text, f"`{path}` is not below /proc or /sys")
    return paths


def _capability(text: str) -> str:
    from builder.sandbox.runtime.facts import CAPABILITIES

    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        raise UsageError(f"unknown capability `{text}`")
    return name


def _volume(text: str) -> HostMount:
    source, _, rest = text.partition(":")
    target, _, words = rest.partition(":")
    readonly = False
    for word in words.split(",") if words else ():
        if word not in ("ro", "rw", "z", "Z", "rprivate", "private", "rbind"):
            raise UsageError(f"--volume `{text}`: the option `{word}` is not supported",
                             hint="choose one of ro and rw; z, Z, private and rprivate change nothing here")
        readonly = word == "ro" or (readonly and word != "rw")
    if not target.startswith("/") or not source.startswith("/"):
        raise UsageError(f"--volume `{text}`: both paths must be absolute", hint="write it as /host/path:/path[:ro]")
    if not os.path.exists(source):
        raise UsageError(f"--volume `{text}`: there is no `{source}` on this machine")
    return HostMount(target=os.path.normpath(target), source=source, readonly=readonly)
