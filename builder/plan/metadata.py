"""Instructions that make no file: they change the image's config, its history and the variables that follow."""

from __future__ import annotations

import posixpath
import re

from builder.golang.numbers import parse_integer
from builder.golang.paths import clean_absolute
from builder.language import instructions as i
from builder.language.instructions import Statement
from builder.lint import rules
from builder.oci import Healthcheck
from builder.plan import goformat
from builder.plan.errors import PlanError
from builder.plan.ports import PortSpec
from builder.plan.running import with_shell
from builder.plan.scope import NOT_IN_ENVIRONMENT
from builder.plan.stage import StagePlanner
from builder.plan.vertices import MakeDirectory
from builder.source import Span

_SECRET_WORD = r"(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)"
_SIGNALS = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    *(f"RTMIN+{number}" for number in range(1, 16)), *(f"RTMAX-{number}" for number in range(1, 15))})
_HARMLESS_WORD = r"(?i)(?:_|^)(?:public|file|version)(?:_|$)"


class MetadataPlanner:
    """Remembers, over one stage, what later instructions of the same kind override."""

    def __init__(self, planner: StagePlanner) -> None:
        self._planner = planner
        self._last: dict[str, Span] = {}
        self._positions: dict[str, int] | None = None
        """Where each variable is in the config's list; None before the first ENV."""

    def plan(self, statement: Statement) -> None:
        """Applies one instruction other than FROM, RUN, COPY and ADD. Raises DockerfileError."""
        planner = self._planner
        match statement.instruction:
            case i.Arg():
                self._arg(statement, statement.instruction)
            case i.Env():
                self._env(statement, statement.instruction)
            case i.Label():
                self._label(statement, statement.instruction)
            case i.Workdir(path=path):
                self._workdir(statement, planner.scope.expand(path, statement))
            case i.User(user=user):
                name = planner.scope.expand(user, statement)
                planner.change(user=name)
                planner.commit(f"USER {name}")
            case i.Cmd() | i.Entrypoint():
                self._command(statement, statement.instruction)
            case i.Volume(paths=paths):
                self._volume(tuple(planner.scope.expand(path, statement) for path in paths))
            case i.Expose(ports=ports):
                self._expose(statement, [word for port in ports for word in planner.scope.expand_many(port)])
            case i.StopSignal(signal=name):
                self._stop_signal(planner.scope.expand(name, statement))
            case i.Shell(argv=argv):
                planner.change(shell=argv)
                planner.commit(f"SHELL {goformat.plain_list(argv)}")
            case i.HealthcheckNone():
                self._healthcheck(statement, Healthcheck(test=("NONE",)))
            case i.HealthcheckCmd():
                self._healthcheck(statement, _healthcheck(statement.instruction))
            case i.Onbuild(expression=expression):
                planner.change(on_build=(*(planner.config.on_build or ()), expression))
            case i.Maintainer(name=name):
                planner.node.author = name
                planner.commit(f"MAINTAINER {name}")
            case _:
                raise AssertionError(statement.instruction)

    def _arg(self, statement: Statement, instruction: i.Arg) -> None:
        planner, shown = self._planner, []
        for pair in instruction.pairs:
            self._warn_secret("ARG", pair.key, statement)
            if pair.key in planner.options.build_args:
                value: str | None = planner.options.build_args[pair.key]
            elif pair.default is not None:
                value = planner.scope.expand(pair.default, statement)
            else:
                value = planner.global_args.get(pair.key)
            if value is not None and pair.key not in NOT_IN_ENVIRONMENT:
                planner.scope.set(pair.key, value)
            planner.scope.args.append((pair.key, value))
            shown.append(pair.key if value is None else f"{pair.key}={value}")
        planner.commit("ARG " + " ".join(shown))

    def _env(self, statement: Statement, instruction: i.Env) -> None:
        planner = self._planner
        pairs = self._pairs(statement, instruction.pairs)
        env = list(planner.config.env or ())
        if self._positions is None:
            self._positions = {entry.split("=", 1)[0]: at for at, entry in reversed(list(enumerate(env)))}
        for key, value in pairs:
            self._warn_secret("ENV", key, statement)
            planner.scope.set(key, value)
            position = self._positions.setdefault(key, len(env))
            env[position:position + 1] = [f"{key}={value}"]
        planner.change(env=tuple(env))
        planner.commit(" ".join(["ENV", *(f"{key}={value}" for key, value in pairs)]))

    def _label(self, statement: Statement, instruction: i.Label) -> None:
        planner = self._planner
        pairs = self._pairs(statement, instruction.pairs)
        planner.change(labels={**(planner.config.labels or {}), **dict(pairs)})
        planner.commit(" ".join(["LABEL", *(f"{key}={value}" for key, value in pairs)]))

    def _pairs(self, statement: Statement, pairs: tuple[i.Pair, ...]) -> list[tuple[str, str]]:
        expand = self._planner.scope.expand
        expanded = [(expand(pair.key, statement), expand(pair.value, statement)) for pair in pairs]
        for pair in pairs:
            if pair.legacy:
                self._planner.linter.report(rules.LEGACY_KEY_VALUE_FORMAT, statement.span, statement.keyword,
                                            comments=statement.comments)
        return expanded

    def _workdir(self, statement: Statement, path: str) -> None:
        planner, node = self._planner, self._planner.node
        if not node.workdir_set and not path.startswith("/"):
            planner.linter.report(rules.WORKDIR_RELATIVE_PATH, statement.span, path, comments=statement.comments)
        node.workdir_set = True
        # as BuildKit has it: only a relative path is cleaned
        relative = posixpath.join("/", planner.config.working_dir, path)
        working_dir = path if path.startswith("/") else clean_absolute(relative)
        planner.change(working_dir=working_dir)
        if working_dir != "/":
            op = MakeDirectory(path=clean_absolute(working_dir), user=planner.config.user, created=planner.epoch)
            inputs = () if node.root is None else (node.root,)
            node.root = planner.add(op, inputs, name=planner.step_name(statement.text), statement=statement)
        planner.commit(f"WORKDIR {working_dir}", layer=working_dir != "/")

    def _command(self, statement: Statement, instruction: i.Cmd | i.Entrypoint) -> None:
        planner = self._planner
        keyword = "CMD" if isinstance(instruction, i.Cmd) else "ENTRYPOINT"
        self._warn_repeated(keyword, statement)
        if isinstance(instruction.command, i.ExecForm):
            argv = instruction.command.argv
        else:
            if not planner.config.shell:
                planner.linter.report(rules.JSON_ARGS_RECOMMENDED, statement.span, statement.keyword,
                                      comments=statement.comments)
            argv = with_shell(planner.config, (instruction.command.text,))
        if keyword == "CMD":
            planner.change(cmd=argv, args_escaped=True)
        else:
            planner.change(entrypoint=argv)
            if "CMD" not in self._last:
                planner.change(cmd=None)
        planner.commit(f"{keyword} {goformat.quoted_list(argv)}")

    def _volume(self, paths: tuple[str, ...]) -> None:
        if "" in paths:
            raise PlanError("VOLUME specified can not be an empty string")
        planner = self._planner
        planner.change(volumes={**(planner.config.volumes or {}), **{path: {} for path in paths}})
        planner.commit(f"VOLUME {goformat.plain_list(paths)}")

    def _expose(self, statement: Statement, words: list[str]) -> None:
        planner = self._planner
        ports: list[str] = []
        for word in words:
            spec = PortSpec(word)
            ports += spec.ports
            if spec.protocol != spec.protocol.lower():
                planner.linter.report(rules.EXPOSE_PROTO_CASING, statement.span, word, comments=statement.comments)
            if spec.host_ip or spec.host_port:
                planner.linter.report(rules.EXPOSE_INVALID_FORMAT, statement.span, word, comments=statement.comments)
        planner.change(exposed_ports={**(planner.config.exposed_ports or {}), **{port: {} for port in ports}})
        planner.commit(f"EXPOSE {goformat.plain_list(ports)}")

    def _stop_signal(self, name: str) -> None:
        if not _is_signal(name):
            raise PlanError(f"invalid signal: {name}", hint="a name such as SIGTERM, or a number")
        self._planner.change(stop_signal=name)
        self._planner.commit(f"STOPSIGNAL {name}")

    def _healthcheck(self, statement: Statement, check: Healthcheck) -> None:
        self._warn_repeated("HEALTHCHECK", statement)
        self._planner.change(healthcheck=check)
        self._planner.commit(f"HEALTHCHECK {goformat.healthcheck(check)}")

    def _warn_repeated(self, keyword: str, statement: Statement) -> None:
        if keyword in self._last:
            self._planner.linter.report(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, self._last[keyword],
                                        statement.keyword, comments=statement.comments)
        self._last[keyword] = statement.span

    def _warn_secret(self, keyword: str, key: str, statement: Statement) -> None:
        if re.search(_SECRET_WORD, key) and not re.search(_HARMLESS_WORD, key):
            self._planner.linter.report(rules.SECRETS_USED_IN_ARG_OR_ENV, statement.span, keyword, key,
                                        comments=statement.comments)


def _healthcheck(instruction: i.HealthcheckCmd) -> Healthcheck:
    match instruction.command:
        case i.ExecForm(argv=argv):
            test = ("CMD", *argv)
        case i.ShellForm(text=text):
            test = ("CMD-SHELL", text)
    return Healthcheck(test=test, interval=instruction.interval, timeout=instruction.timeout,
                       start_period=instruction.start_period, start_interval=instruction.start_interval,
                       retries=instruction.retries)


def _is_signal(name: str) -> bool:
    """Any number but 0 counts, as with Docker's parser (moby/sys/signal), and the names that Linux has."""
    try:
        return parse_integer(name, 64) != 0
    except ValueError:
        return name.upper().removeprefix("SIG") in _SIGNALS
