"""What every step sees, as BuildKit has it: file systems, device nodes, hidden paths, capabilities.

Both runtimes read these tables: the built-in one acts on them, `builder.sandbox.spec` writes them down for runc.
Sources: containerd's default spec (pkg/oci), BuildKit's executor/oci and util/entitlements/security.
"""

from __future__ import annotations

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)
"""Every capability, at the index that is its number."""

DEFAULT_CAPABILITIES = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEV_SIZE = "65536k"

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("tty", 5, 0), ("random", 1, 8), ("urandom", 1, 9))
"""Character devices below /dev, mode 0666."""

DEVICE_LINKS = (
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
)

PRIVILEGED_DEVICES = (
    ("kmsg", 1, 11), ("cuse", 10, 203), ("fuse", 10, 229), ("kvm", 10, 232), ("net/tun", 10, 200),
    ("loop-control", 10, 237),
)
"""Further character devices of --security=insecure."""

PRIVILEGED_LOOPS = 8
"""How many loop devices above the first free one --security=insecure gets."""


def lowered(soft: int, hard: int, highest: int) -> tuple[int, int]:
    """The nearest limits to (soft, hard) under `highest`, for who may not raise limits; -1 is none."""
    if highest >= 0 and (hard < 0 or hard > highest):
        hard = highest
    if hard >= 0 and (soft < 0 or soft > hard):
        soft = hard
    return soft, hard


def granted(added: tuple[str, ...], dropped: tuple[str, ...]) -> frozenset[str]:
    """The capabilities of a step that asked for changes to the usual ones."""
    names = frozenset(CAPABILITIES) if "ALL" in added else DEFAULT_CAPABILITIES
    if "ALL" in dropped:
        names = frozenset()
    return (names | frozenset(added) - {"ALL"}) - frozenset(dropped)


def hidden(usual: tuple[str, ...], unmasked: tuple[str, ...]) -> tuple[str, ...]:
    """The usual paths without those that are not to be hidden (or read-only)."""
    return () if "ALL" in unmasked else tuple(path for path in usual if path not in unmasked)


def names_of(mask: int) -> tuple[str, ...]:
    """The capabilities that these bits stand for, those unknown here left out."""
    return tuple(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)


def mask_of(names: frozenset[str]) -> int:
    """The bits that stand for these capabilities."""
    return sum(1 << number for number, name in enumerate(CAPABILITIES) if name in names)
