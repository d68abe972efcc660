"""Sandboxes: where a step's processes run, cut off from the host but for what they are given.

`container` says what can be asked for; `open_sandbox` gives something that runs it. This module imports nothing when it
is imported, as a no-op build runs no step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.sandbox.container import Sandbox


def open_sandbox(*, runtime: str = "builtin", state_dir: str, xattr: str = "trusted") -> Sandbox:
    """A sandbox to be closed by the caller; nothing is started before the first `prepare` or `run`.

    `runtime` is `builtin`, or an OCI runtime: `runc`, `crun` or the path of one. `state_dir` is a directory of the
    caller's own, made if missing; nothing but empty directories stays in it. `xattr` says how layer directories mark
    opaque ones: `trusted` as root, `user` in a user namespace.
    """
    import os

    if os.geteuid() != 0:
        from builder.sandbox.rootless import NeedsRoot

        raise NeedsRoot
    if runtime == "builtin":
        from builder.sandbox.builtin import BuiltinSandbox

        return BuiltinSandbox(state_dir, userxattr=xattr == "user")
    from builder.sandbox.ociruntime import OciSandbox

    return OciSandbox(runtime, state_dir, userxattr=xattr == "user")
