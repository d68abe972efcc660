"""The built-in runtime as a Sandbox: nothing to install, a few milliseconds a step.

Where the kernel refuses the overlay, as it does on network file systems and on overlays, layers are copied instead.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from builder.sandbox.apparmor import chosen_profile
from builder.sandbox.attachment import Session, SetupFailed
from builder.sandbox.container import Container, Exit, Output
from builder.sandbox.launch import SpawnerProcess


class BuiltinSandbox:
    """A Sandbox (see `container`)."""

    def __init__(self, state_dir: str, *, userxattr: bool) -> None:
        self._spawner = SpawnerProcess(state_dir, userxattr=userxattr)
        self._userxattr = userxattr
        self._copies = False
        self._root = os.path.dirname(os.path.abspath(state_dir))
        self.note: Callable[[str], None] = lambda text: None

    def prepare(self) -> None:
        self._spawner.start()

    def run(self, container: Container, output: Output, stdin: BinaryIO | None = None) -> Exit:
        if not self._copies:
            try:
                return self._run(container, output, stdin)
            except SetupFailed as error:
                # The program has not been started, so nothing happens twice.
                if not error.overlay_refused or not container.root.work:
                    raise
                self._say_that_it_copies(error)
        from builder.sandbox.nooverlay import run_copied

        return run_copied(lambda plain: self._run(plain, output, stdin), container, userxattr=self._userxattr)

    def _say_that_it_copies(self, error: SetupFailed) -> None:
        if not self._copies:  # several steps may meet it at once
            self._copies = True
            self.note(f"overlayfs does not work in `{self._root}` ({error.reason}): every step runs on a copy of its "
                      "layers, which is slow; a state folder on a file system of a disk (--root) is better")

    def _run(self, container: Container, output: Output, stdin: BinaryIO | None) -> Exit:
        document = msgspec.to_builtins(container, builtin_types=(bytes,))
        document["apparmor"] = chosen_profile(container.apparmor)
        if container.seccomp_profile:
            from builder.sandbox.seccomp.filter import compile_profile

            document["seccomp_filter"] = compile_profile(container.seccomp_profile, os.uname().machine)
        with Session(container, output, stdin) as session:
            return self._spawner.run(marshal.dumps(document), session)

    def close(self) -> None:
        self._spawner.close()
