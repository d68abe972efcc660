"""Landlock scopes: no signals to, and no abstract sockets of, processes outside of the step.

A step has a PID namespace, so it knows no process to signal; abstract sockets belong to the network, and a step that is
given the host's would reach those of desktops and daemons, which ask for no permission. Files are none of this module's
business: a ruleset that handles them would forbid mounting. Source: Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os

from builder.sandbox.runtime import kernel

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION = 1
_SCOPES_SINCE = 6
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1, 2


def has_scopes() -> bool:
    """Whether the kernel has them (6.12), and Landlock is switched on."""
    try:
        return kernel.syscall("landlock_create_ruleset", _CREATE_RULESET, None, ctypes.c_size_t(0),
                              _VERSION) >= _SCOPES_SINCE
    except OSError:
        return False


def enter_scope() -> None:
    """Puts the calling process and all that it starts into a domain of their own, for good.

    Needs CAP_SYS_ADMIN in the process's user namespace, or no_new_privs.
    """
    attributes = (ctypes.c_uint64 * 3)(0, 0, _ABSTRACT_UNIX_SOCKET | _SIGNAL)
    ruleset = kernel.syscall("landlock_create_ruleset", _CREATE_RULESET, attributes, ctypes.c_size_t(24), 0)
    try:
        kernel.syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
