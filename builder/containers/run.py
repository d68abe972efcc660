"""`run`: a container of an image for the length of one command; its writes are thrown away."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from builder.errors import ImageError
from builder.layer.users import resolve_user
from builder.layer.view import MergedView
from builder.oci import ImageConfig
from builder.sandbox.container import Bind, Container, ContainerMount, Exit, Output, Overlay, Sandbox
from builder.solver.networkmodes import StepNetwork
from builder.solver.ops.etcfiles import etc_files
from builder.solver.ops.exec import DEFAULT_PATH
from builder.store import Store
from builder.store.layers import LayerId


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The fields carry the meaning of docker run's flags of the same names."""

    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    hostname: str = ""
    network: str = "default"
    """As of RUN steps: default, private, host or none."""
    volumes: tuple[tuple[str, str, bool], ...] = ()
    """Host path, path in the container, read-only."""
    read_only: bool = False
    terminal: bool = False
    privileged: bool = False
    pids_limit: int = 0


def run_image(store: Store, sandbox: Sandbox, layers: tuple[LayerId, ...], image: ImageConfig, options: RunOptions,
              network: StepNetwork, output: Output, stdin: BinaryIO | None = None) -> Exit:
    """Runs to the end and returns how it ended. Raises ImageError when there is nothing to run."""
    config = image.config
    argv = _argv(image, options)
    dirs = [store.layer_dir(layer) for layer in layers]
    identity = resolve_user(options.user or config.user, MergedView(dirs))
    hostname = options.hostname or "builder"
    env = _merged((*(config.env or (DEFAULT_PATH,)), f"HOSTNAME={hostname}", *options.env), f"HOME={identity.home}")
    mounts: list[ContainerMount] = etc_files(hostname, private=network.private)
    mounts += [Bind(target=target, source=source, readonly=readonly, recursive=True)
               for source, target, readonly in options.volumes]
    with store.stage_layer() as writes:
        container = Container(
            root=Overlay(lowers=tuple(dirs), upper=writes.diff, work=writes.work), argv=argv, env=env,
            cwd=options.workdir or config.working_dir or "/", uid=identity.uid, gid=identity.gid,
            groups=identity.groups, mounts=tuple(mounts), network=network.value, hostname=hostname,
            privileged=options.privileged, readonly_root=options.read_only, terminal=options.terminal,
            pids_limit=options.pids_limit)
        return sandbox.run(container, output, stdin)


def _argv(image: ImageConfig, options: RunOptions) -> tuple[str, ...]:
    config = image.config
    entrypoint = config.entrypoint or ()
    command = options.command or config.cmd or ()
    if options.entrypoint is not None:
        entrypoint = (options.entrypoint,) if options.entrypoint else ()
        command = options.command
    argv = (*entrypoint, *command)
    if not argv:
        raise ImageError("no command specified", hint="the image has no CMD; name one after the image")
    return argv


def _merged(pairs: tuple[str, ...], default_home: str) -> tuple[str, ...]:
    """Later values of a name win; HOME is added where nothing sets it."""
    merged = {pair.split("=", 1)[0]: pair for pair in (default_home, *pairs)}
    return tuple(merged.values())
