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

NETWORK = "network"
"""Where in the scratch directory the file of the container's network namespace is."""
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def run(container: ContainerDocument, host: Host, control: _socket.socket, stdio: tuple[int, int, int],
        log: int) -> NoReturn:
    """Becomes the runtime, which logs to `log`, where it has said why when the container could not be made."""
    try:
        runtime = container["oci"]
        kernel.unshare(kernel.CLONE_NEWNS)
        os.umask(0)
        network = _open_network(container["network"])
        _mount_proc()
        tree = Tree(host, container, sys_template="", group=None)
        tree.prepare()
        tree.expose(f"{host.scratch_dir}/binds")
        if network >= 0:
            _expose_network(network, f"{host.scratch_dir}/{NETWORK}")
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


def _open_network(value: str) -> int:
    """A mount of the network namespace's file, which the /proc to come does not have; -1 where none is given."""
    if value in ("host", "none"):
        return -1
    return kernel.clone_mount(value, recursive=False)


def _expose_network(mount: int, path: str) -> None:
    spot = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o400)
    kernel.attach(mount, spot)
    os.close(spot)
    os.close(mount)


def _mount_proc() -> None:
    proc = kernel.new_filesystem("proc", (("source", "proc"),))
    spot = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    kernel.attach(proc, spot)
    os.close(spot)
    os.close(proc)
