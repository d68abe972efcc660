"""OCI runtimes (runc) as sandboxes."""

from __future__ import annotations

from typing import BinaryIO

from builder.errors import SandboxError
from builder.sandbox.container import Container, Exit, Output


class OciSandbox:
    """Runs containers through an OCI runtime's command."""

    def __init__(self, runtime: str, state_dir: str, *, userxattr: bool) -> None:
        raise SandboxError(f"the runtime `{runtime}` is not supported yet")

    def run(self, container: Container, output: Output, stdin: BinaryIO | None = None) -> Exit:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
