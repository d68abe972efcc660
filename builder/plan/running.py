"""RUN: a Run vertex over the stage's root, with what its mounts bring."""

from __future__ import annotations

import posixpath

from builder.golang.paths import clean_absolute
from builder.language.expanded import step_label
from builder.language.instructions import ExecForm, Run, Statement
from builder.language.runmounts import AnyMount, Bind, Cache, Secret, Ssh, Tmpfs, evaluate_mount, parse_device
from builder.oci import ContainerConfig
from builder.plan import vertices as v
from builder.plan.errors import EntitlementNeeded, NoDevices, PlanError
from builder.plan.scope import PROXY_ARGS
from builder.plan.stage import StagePlanner
from builder.plan.stages import Command, StageNode


class RunPlanner:
    """Plans one RUN in the stage that `planner` is at."""

    def __init__(self, planner: StagePlanner, command: Command, instruction: Run) -> None:
        self._planner = planner
        self._command = command
        self._statement: Statement = command.statement
        self._instruction = instruction
        self._files: tuple[v.InlineFile, ...] = ()
        self._label = step_label(command.statement)

    def plan(self) -> None:
        planner, instruction = self._planner, self._instruction
        settings, node = planner.options.run, planner.node
        words = self._words()
        argv = words if isinstance(instruction.command, ExecForm) else with_shell(planner.config, words)
        inputs = [] if node.root is None else [node.root]
        mounts = self._mounts(inputs)
        node.mounts += [(mount, self._statement.span) for mount in mounts]
        self._check_entitlements()
        if instruction.devices:
            raise NoDevices(parse_device(instruction.devices[0]).name, planner.location(self._statement))
        # As in BuildKit `default` is what the build's flag says, `none` included.
        own_network = "" if instruction.network == "default" else instruction.network
        masked = tuple(m.env for m in mounts if isinstance(m, v.SecretMount) and m.env)
        op = v.Run(
            argv=tuple(argv), env=tuple(f"{key}={value}" for key, value in planner.scope.env.items()),
            arg_names=tuple(dict.fromkeys(key for key, _ in planner.scope.args)),
            cwd=clean_absolute(planner.config.working_dir), has_parent=node.root is not None, user=planner.config.user,
            mounts=mounts, files=self._files,
            network=v.Network(own_network) if own_network else settings.network,
            namespace="" if own_network else settings.namespace,
            security=instruction.security or "sandbox", confinement=settings.confinement,
            extra_hosts=settings.extra_hosts, hosts_file=settings.hosts_file, dns=settings.dns,
            hostname=settings.hostname, proxy_env=self._proxy_env(), ulimits=settings.ulimits,
            shm_size=settings.shm_size, cgroup_parent=settings.cgroup_parent, limits=settings.limits)
        name = planner.step_name(self._label, masked)
        node.root = planner.add(op, tuple(inputs), name=name, statement=self._statement)
        planner.commit(f"RUN {self._history(argv)} # buildkit", layer=True)

    def _words(self) -> tuple[str, ...]:
        """The command; a lone here-document is its script, others go to the shell as written."""
        command = self._instruction.command
        if isinstance(command, ExecForm):
            return command.argv
        if not command.heredocs:
            return (command.text,)
        if not command.is_script:
            return (command.text + "".join(f"\n{h.content}{h.name}" for h in command.heredocs),)
        script = command.heredocs[0]
        if not script.body.startswith("#!"):
            return (script.body,)
        self._files = (v.InlineFile(script.name, script.body, 0o755),)
        return (f"/dev/pipes/{script.name}",)

    def _history(self, argv: tuple[str, ...]) -> str:
        """`|2 a=1 b=2 /bin/sh -c ...`: declared args with their values, then the command."""
        scope = self._planner.scope
        values: dict[str, str] = {}
        for key, value in scope.args:
            values[key] = scope.env.get(key, value or "")
        shown = [f"{key}={value}" for key, value in values.items()]
        return " ".join([f"|{len(shown)}", *shown, *argv] if shown else argv)

    def _proxy_env(self) -> tuple[str, ...]:
        given = self._planner.options.build_args
        pairs: list[str] = []
        for key in sorted(given):
            if key.lower() in PROXY_ARGS:
                pairs += [f"{key.upper()}={given[key]}", f"{key.lower()}={given[key]}"]
        return tuple(dict.fromkeys(pairs))

    def _check_entitlements(self) -> None:
        options, location = self._planner.options, self._planner.location(self._statement)
        if self._instruction.security == "insecure" and "security.insecure" not in options.allow:
            raise EntitlementNeeded("security.insecure", location)
        if self._instruction.network == "host" and "network.host" not in options.allow:
            raise EntitlementNeeded("network.host", location)

    # -- mounts --------------------------------------------------------------------------------------------------

    def _mounts(self, inputs: list[int]) -> tuple[v.Mount, ...]:
        settings = self._planner.options.run
        made: list[v.Mount] = list(settings.volumes)
        for mount, source in zip((*settings.mounts, *self._instruction.mounts), self._command.sources, strict=True):
            spec = evaluate_mount(mount, lambda word: self._planner.scope.expand(word, self._statement))
            made.append(self._mount(spec, source, inputs))
        return tuple(made)

    def _mount(self, spec: AnyMount, source: StageNode | None, inputs: list[int]) -> v.Mount:
        if source is not None and not source.planned:
            raise PlanError(f'cannot mount from stage "{spec.from_}" to "{spec.target}", stage needs to be defined '
                            "before current command", location=self._planner.location(self._statement))
        match spec:
            case Secret():
                return self._secret(spec)
            case Ssh():
                if spec.source:
                    raise PlanError("ssh does not support source")
                return v.SshMount(id=spec.id or "default", target=spec.target, required=spec.required,
                                  mode=_mode(spec, 0o600), uid=spec.uid or 0, gid=spec.gid or 0)
            case Tmpfs():
                target, origin = self._target(spec), clean_absolute(spec.source)
                if origin != "/":
                    raise PlanError(f"`{origin}` to be mounted at `{target}` was not found",
                                    location=self._planner.location(self._statement),
                                    hint="a tmpfs is empty: no source=")
                return v.TmpfsMount(target=target, size=spec.size)
            case Cache():
                return self._cache(spec, source, inputs)
            case Bind():
                return self._bind(spec, source, inputs)

    def _bind(self, spec: Bind, source: StageNode | None, inputs: list[int]) -> v.BindMount:
        target = self._target(spec)
        if source is not None:
            vertex = source.context if source.context is not None else source.root
        elif spec.from_ == "scratch":
            vertex = None
        else:
            vertex = self._planner.main_context()
        if vertex is None:
            vertex = self._planner.add(v.SourceInline(files=()), (), name="empty", statement=self._statement)
        return v.BindMount(target=target, input=_position(inputs, vertex), source=clean_absolute(spec.source),
                           readonly=spec.readonly)

    def _cache(self, spec: Cache, source: StageNode | None, inputs: list[int]) -> v.CacheMount:
        target, vertex = self._target(spec), None
        if source is not None:
            vertex = source.context if source.context is not None else source.root
        return v.CacheMount(
            target=target, id=f"{self._planner.options.cache_namespace}/{spec.id or posixpath.normpath(spec.target)}",
            sharing=v.Sharing(spec.sharing or "shared"),
            input=None if vertex is None else _position(inputs, vertex),
            source=clean_absolute(spec.source), readonly=spec.readonly, mode=spec.mode, uid=spec.uid, gid=spec.gid)

    def _secret(self, spec: Secret) -> v.SecretMount:
        identity = spec.source or spec.id or posixpath.basename(spec.target)
        if not identity:
            raise PlanError("one of source, target required")
        target = spec.target
        if spec.env == "":
            raise PlanError("invalid environment variable: name cannot be empty", hint="give the secret an env=NAME")
        if spec.env is None and not target:
            target = "/run/secrets/" + posixpath.basename(identity)
        if target:
            target = clean_absolute(posixpath.join(self._planner.config.working_dir, target))
        return v.SecretMount(id=identity, target=target, env=spec.env or "", required=spec.required,
                             mode=_mode(spec, 0o400), uid=spec.uid or 0, gid=spec.gid or 0)

    def _target(self, spec: AnyMount) -> str:
        target = posixpath.normpath(posixpath.join("/", self._planner.config.working_dir, spec.target))
        if target.strip("/") == "":
            raise PlanError(f'invalid mount target "{spec.target}"', location=self._planner.location(self._statement),
                            hint="give the mount a target=/path")
        return target


def with_shell(config: ContainerConfig, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command line under the image's SHELL."""
    return (*(config.shell or ("/bin/sh", "-c")), " ".join(words))


def _position(inputs: list[int], vertex: int) -> int:
    if vertex not in inputs[1:]:
        inputs.append(vertex)
    return inputs.index(vertex, 1) if vertex in inputs[1:] else len(inputs) - 1


def _mode(spec: Secret | Ssh, default: int) -> int:
    return default if spec.mode is None else spec.mode & 0o777
