"""A container for an OCI runtime: root and mounts put in place as a bundle, then the runtime in this process.

The runtime is process 1 of its PID namespace, with a /proc to match, and everything that it and the bundle need lies in
the private tmpfs of this mount namespace.
"""

from __future__ import annotations

import _socket
import os

from builder.sandbox.runtime import kernel, landlock, step
from builder.sandbox.runtime.mounts import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from builder.sandbox.runtime.host import Host
    from builder.sandbox.runtime.wire import ContainerDocument, RuntimeDocument

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def run(container: ContainerDocument, host: Host, control: _socket.socket, stdio: tuple[int, int, int],
        log: int) -> NoReturn:
    """Becomes the runtime, which logs to `log`, where it has said why when the container could not be made."""
    try:
        runtime = container["oci"]
        kernel.unshare(kernel.CLONE_NEWNS)
        os.umask(0)
        _mount_proc()
        tree = Tree(host, container, own_view_of_sys=True, group=None)
        tree.prepare()
        tree.expose(f"{host.scratch_dir}/binds")
        for number, listener in tree.listeners:
            step.send(control, ("socket", number), listener.fileno())
        with open(f"{host.scratch_dir}/config.json", "wb") as file:
            file.write(runtime["config"])
        os.umask(0o022)
        step.connect(container, control, stdio)
        os.set_inheritable(log, True)
        if host.has_scopes and not container["privileged"]:
            landlock.enter_scope()
        os.execve(runtime["command"], _arguments(runtime, host.scratch_dir, log), _ENVIRONMENT)
    except OSError as error:
        step.send(control, ("error", error.errno or 0, error.strerror or str(error), error.filename or ""))
    except BaseException as error:
        step.send(control, ("bug", f"{type(error).__name__}: {error}"))
    os._exit(step.NOT_STARTED)


def _arguments(runtime: RuntimeDocument, scratch_dir: str, log: int) -> list[str]:
    logging = ("--log", f"/proc/self/fd/{log}", "--log-format", "json")
    return [runtime["command"], "--root", f"{scratch_dir}/state", *logging, "run", "--bundle", scratch_dir,
            runtime["name"]]


def _mount_proc() -> None:
    proc = kernel.new_filesystem("proc", (("source", "proc"),))
    spot = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    kernel.attach(proc, spot)
    os.close(spot)
    os.close(proc)
