"""The built-in runtime as a Sandbox: nothing to install, a few milliseconds a step."""

from __future__ import annotations

import marshal
from typing import BinaryIO

import msgspec

from builder.sandbox.container import Container, Exit, Output
from builder.sandbox.launch import SpawnerProcess
from builder.sandbox.session import Session


class BuiltinSandbox:
    """A Sandbox (see `container`)."""

    def __init__(self, state_dir: str, *, userxattr: bool) -> None:
        self._spawner = SpawnerProcess(state_dir, userxattr=userxattr)

    def run(self, container: Container, output: Output, stdin: BinaryIO | None = None) -> Exit:
        document = marshal.dumps(msgspec.to_builtins(container, builtin_types=(bytes,)))
        with Session(container, output, stdin) as session:
            return self._spawner.run(document, session)

    def close(self) -> None:
        self._spawner.close()
