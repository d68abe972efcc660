"""Platform names and how they match, as containerd/platforms has them."""

from __future__ import annotations

import os
import re

from builder.errors import UsageError
from builder.oci import Platform

_ARCH = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i486": "386", "i686": "386",
    "armhf": "arm", "armel": "arm", "ppc64el": "ppc64le",
}
_PART = r"[A-Za-z0-9_.-]+"
_KNOWN_OS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
    "openbsd", "plan9", "solaris", "windows", "zos"})
_KNOWN_ARCH = frozenset({
    "386", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "loong64", "mips", "mips64", "mips64le",
    "mips64p32", "mips64p32le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc",
    "sparc64", "wasm"})


def parse_platform(text: str) -> Platform:
    """`os/arch[/variant]`, or one of its parts alone, normalised. Raises UsageError."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(_PART, part) for part in parts):
        raise UsageError(f"`{text}` is not a platform", hint="write it as os/arch or os/arch/variant: linux/arm64")
    if len(parts) == 1:
        word = parts[0].lower()
        if word in _KNOWN_OS:
            return normalize(Platform(host_platform().architecture, word))
        platform = normalize(Platform(word))
        if platform.architecture not in _KNOWN_ARCH:
            raise UsageError(f"`{text}`: unknown operating system or architecture",
                             hint="write it as os/arch or os/arch/variant: linux/arm64")
        return platform
    variant = parts[2] if len(parts) == 3 else ""
    return normalize(Platform(parts[1], parts[0], variant))


def normalize(platform: Platform) -> Platform:
    """The canonical spelling: `x86_64` is amd64, no variant for arm64 v8 and amd64 v1, v7 for a bare arm."""
    arch = _ARCH.get(platform.architecture.lower(), platform.architecture.lower())
    variant = platform.variant.lower()
    if platform.architecture.lower() == "armel" and not variant:
        variant = "v6"
    if (arch == "arm64" and variant in {"8", "v8"}) or (arch == "amd64" and variant == "v1"):
        variant = ""
    elif arch == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return Platform(arch, platform.os.lower(), variant, platform.os_version, platform.os_features)


def host_platform() -> Platform:
    """What this machine runs natively."""
    system = os.uname()
    machine = system.machine.lower()
    if machine.startswith("armv"):
        return Platform("arm", "linux", machine[3:5])
    return Platform(_ARCH.get(machine, machine))


def match_order(wanted: Platform) -> list[Platform]:
    """Platforms that an image for `wanted` may have, best first: what containerd's `platforms.Only` accepts.

    Older variants of an architecture run too, and the 32-bit architecture after all of them.
    """
    wanted = normalize(wanted)
    match wanted.architecture:
        case "amd64":
            names = [("amd64", v) for v in _down(wanted.variant, ("v4", "v3", "v2", ""))] + [("386", "")]
        case "arm":
            names = [("arm", v) for v in _down(wanted.variant, ("v8", "v7", "v6", "v5"))]
        case "arm64":
            names = [("arm64", v) for v in _arm64_versions(wanted.variant)]
            names += [("arm", v) for v in ("v8", "v7", "v6", "v5")]
        case other:
            names = [(other, wanted.variant)]
    return [Platform(arch, wanted.os, variant) for arch, variant in names]


def _down(variant: str, newest_first: tuple[str, ...]) -> tuple[str, ...]:
    return newest_first[newest_first.index(variant):] if variant in newest_first else (variant,)


def _arm64_versions(variant: str) -> list[str]:
    """v9.n runs v9.0 to v9.n and v8.0 to v8.(n+5); "" is v8 (v8.0)."""
    major, _, minor = (variant.removeprefix("v") or "8").partition(".")
    if major not in {"8", "9"} or not (minor or "0").isdecimal():
        return [variant]
    newest = int(minor or 0)
    eights = newest + 5 if major == "9" else newest
    nines = [f"v9.{n}" if n else "v9" for n in range(newest, -1, -1)] if major == "9" else []
    return nines + [f"v8.{n}" if n else "" for n in range(eights, -1, -1)]
