"""The checks of our own over a parsed Dockerfile: see `practices` for the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from builder.language import instructions as i
from builder.language.instructions import Dockerfile, Stage, Statement
from builder.language.runmounts import RunMount
from builder.lint import practices
from builder.lint.linter import Linter
from builder.lint.packages import Problem, RunContext, package_problems
from builder.lint.rules import Rule
from builder.lint.shellcommands import ShellCommand, commands_in

_POSIX_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"})
_ARCHIVE = re.compile(r"\.(?:tar|tar\.\w+|t[gbxz]z2?|tzst|gz|bz2|xz|zst)$", re.IGNORECASE)
_REMOTE = re.compile(r"https?://|git@|ssh://|git://|.*\.git(?:[#?]|$)", re.IGNORECASE)
_USELESS = frozenset({"free", "ps", "reboot", "service", "shutdown", "ssh", "systemctl", "top", "vim"})
_ERREXIT = re.compile(r"-[a-z]*e[a-z]*|errexit")
_ABSOLUTE = re.compile(r"[/$\"']|[A-Za-z]:")


def check_practices(dockerfile: Dockerfile, linter: Linter, wanted: frozenset[str], *,
                    has_ignore_file: bool | None = None) -> None:
    """Reports what the `wanted` rules find. `has_ignore_file` is None where there is no context to look in."""
    stages = _stages(dockerfile)
    for stage in stages:
        for rule, facts, statement in stage.problems(has_ignore_file=has_ignore_file):
            if rule.name in wanted:
                linter.report(rule, statement.span, *facts, comments=statement.comments)


class _StageState(msgspec.Struct, kw_only=True):
    """What a stage begins with: from its base stage, or unknown."""

    shell: tuple[str, ...] = ("/bin/sh", "-c")
    has_workdir: bool = False
    pip_cache_off: bool = False


class _StageChecks:
    """One stage; `state` follows its instructions."""

    def __init__(self, stage: Stage, state: _StageState, *, known: frozenset[str], is_kept: bool,
                 is_last: bool) -> None:
        self._stage = stage
        self._known = known
        self._is_kept = is_kept
        self._is_last = is_last
        self.state = state
        self._clients: set[str] = set()

    def problems(self, *, has_ignore_file: bool | None) -> Iterator[tuple[Rule, tuple[str, ...], Statement]]:
        for rule, facts in self._base():
            yield rule, facts, self._stage.statement
        body = self._stage.body
        for position, statement in enumerate(body):
            for rule, facts in self._statement(statement, body[:position], has_ignore_file):
                yield rule, facts, statement
        users = [s for s in body if isinstance(s.instruction, i.User)]
        if self._is_last and users:
            user = users[-1].instruction
            assert isinstance(user, i.User)
            if user.user.partition(":")[0] in {"root", "0"}:
                yield practices.ROOT_AT_THE_END, (), users[-1]

    def _base(self) -> Iterator[Problem]:
        image = self._stage.base.image
        if "$" in image or "@" in image or image == "scratch" or image.lower() in self._known:
            return
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in {"", "latest"}:
            yield practices.UNPINNED_BASE_IMAGE, (image,)

    def _statement(self, statement: Statement, before: Sequence[Statement],
                   has_ignore_file: bool | None) -> Iterator[Problem]:
        match statement.instruction:
            case i.Run():
                yield from self._run(statement.instruction, before)
            case i.Copy() | i.Add():
                yield from self._copy(statement.instruction, has_ignore_file)
            case i.Shell(argv=argv):
                self.state.shell = argv
            case i.Workdir():
                self.state.has_workdir = True
            case i.Env(pairs=pairs) if any(pair.key == "PIP_NO_CACHE_DIR" for pair in pairs):
                self.state.pip_cache_off = True
            case i.Arg(pairs=args) if any(pair.key == "PIP_NO_CACHE_DIR" and pair.default for pair in args):
                self.state.pip_cache_off = True

    # -- COPY and ADD --------------------------------------------------------------------------------------------

    def _copy(self, instruction: i.Copy | i.Add, has_ignore_file: bool | None) -> Iterator[Problem]:
        destination = instruction.destination
        if not self.state.has_workdir and not _ABSOLUTE.match(destination):
            yield practices.RELATIVE_DESTINATION, (destination,)
        if isinstance(instruction, i.Add):
            yield from _add(instruction)
        elif instruction.from_:
            return
        if has_ignore_file is False and {".", "./", "/"} & set(instruction.sources):
            yield practices.WHOLE_CONTEXT, ()

    # -- RUN -----------------------------------------------------------------------------------------------------

    def _run(self, instruction: i.Run, before: Sequence[Statement]) -> Iterator[Problem]:
        if _is_third_of_a_row(instruction, before):
            yield practices.CONSECUTIVE_RUNS, ()
        script, is_heredoc = _script(instruction)
        if self.state.shell[0].rpartition("/")[2] not in _POSIX_SHELLS or script.startswith("#!"):
            return
        commands = tuple(_with_hidden(commands_in(script)))
        yield from self._commands(commands, instruction, before)
        options = [word for c in commands if c.name == "set" for word in c.arguments]
        if isinstance(instruction.command, i.ExecForm):
            return
        if any(command.is_piped for command in commands) and not any(
                "pipefail" in word for word in (*self.state.shell, *options)):
            yield practices.PIPEFAIL_MISSING, ()
        if is_heredoc and _has_several_lines(script) and not any(
                _ERREXIT.fullmatch(word) for word in (*self.state.shell[1:], *options)):
            yield practices.HEREDOC_WITHOUT_ERREXIT, ()

    def _commands(self, commands: tuple[ShellCommand, ...], instruction: i.Run,
                  before: Sequence[Statement]) -> Iterator[Problem]:
        names = [command.name for command in commands]
        if "sudo" in names:
            yield practices.SUDO, ()
        if len(commands) > 1 and names[0] == "cd":
            yield practices.CD_FOR_WORKDIR, ()
        for name in sorted(_USELESS & set(names)):
            if name != "ssh" or not any(mount.value("type") == "ssh" for mount in instruction.mounts):
                yield practices.USELESS_COMMAND, (name,)
        clients = self._clients | ({"curl", "wget"} & set(names))
        if len(clients) == 2 and len(self._clients) < 2:
            yield practices.CURL_AND_WGET, ()
        self._clients = clients
        if changing := _changes_permissions(commands, before):
            yield practices.LATE_PERMISSIONS, (changing,)
        yield from package_problems(RunContext(
            commands=commands, cached=_cache_targets(instruction.mounts), is_kept=self._is_kept,
            pip_cache_off=self.state.pip_cache_off))


def _stages(dockerfile: Dockerfile) -> Iterator[_StageChecks]:
    """The checks of each stage; a stage continues the state of the stage that it stands on, once that was checked."""
    kept = _kept(dockerfile)
    checks: dict[str, _StageChecks] = {}
    default = ("cmd", "/S", "/C") if dockerfile.escape == "`" else ("/bin/sh", "-c")
    for number, stage in enumerate(dockerfile.stages):
        base = checks.get(stage.base.image)
        state = msgspec.structs.replace(base.state) if base is not None else _StageState(shell=default)
        found = _StageChecks(stage, state, known=frozenset(checks), is_kept=number in kept,
                             is_last=number == len(dockerfile.stages) - 1)
        yield found
        if stage.base.name:
            checks[stage.base.name] = found


def _kept(dockerfile: Dockerfile) -> frozenset[int]:
    """The numbers of the stages whose layers are in the last one's image."""
    wanted = len(dockerfile.stages) - 1
    kept = set()
    for number in range(wanted, -1, -1):
        if number == wanted:
            kept.add(number)
            image = dockerfile.stages[number].base.image
            wanted = max((n for n in range(number) if dockerfile.stages[n].base.name == image), default=-1)
    return frozenset(kept)


def _with_hidden(commands: list[ShellCommand]) -> Iterator[ShellCommand]:
    """The commands, and those that sudo runs."""
    for command in commands:
        yield command
        if command.name == "sudo":
            words = list(command.arguments)
            while words and words[0].startswith("-"):
                del words[0]
            if words:
                yield ShellCommand(tuple(words))


def _script(instruction: i.Run) -> tuple[str, bool]:
    """What the shell gets, and whether that is a here-document by itself."""
    match instruction.command:
        case i.ExecForm(argv=(shell, "-c", script)) if shell.rpartition("/")[2] in _POSIX_SHELLS:
            return script, False
        case i.ExecForm(argv=argv):
            return " ".join(f"'{word}'" for word in argv), False
        case i.ShellForm(text=text, heredocs=(heredoc,)) if re.fullmatch(r"<<-?\s*[\"']?\w+[\"']?", text):
            return heredoc.body, True
    return instruction.command.text, False


def _has_several_lines(script: str) -> bool:
    joined = re.sub(r"(?:\\|&&|\|\||\|)[ \t]*\n", " ", script)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in joined.splitlines()) > 1


def _is_third_of_a_row(instruction: i.Run, before: Sequence[Statement]) -> bool:
    """Said once for a row of RUNs that differ in their commands alone."""
    row = 0
    for statement in reversed(before):
        other = statement.instruction
        if not isinstance(other, i.Run) or msgspec.structs.replace(other, command=instruction.command) != instruction:
            break
        row += 1
    return row == 2


def _add(instruction: i.Add) -> Iterator[Problem]:
    plain = [source for source in instruction.sources
             if not (_REMOTE.match(source) or _ARCHIVE.search(source) or "$" in source or "*" in source)]
    if plain:
        yield practices.ADD_FOR_COPY, (plain[0],)
    for source in instruction.sources:
        if source.startswith(("http://", "https://")) and not instruction.checksum and ".git" not in source:
            yield practices.ADD_WITHOUT_CHECKSUM, (source,)


def _changes_permissions(commands: tuple[ShellCommand, ...], before: Sequence[Statement]) -> str:
    """`chown -R` where a RUN does nothing else to what was copied just before."""
    if not before or not isinstance(before[-1].instruction, i.Copy | i.Add) or not commands:
        return ""
    if all(command.name in {"chown", "chmod"} and command.has("-R", "--recursive") for command in commands):
        return f"{commands[0].name} -R"
    return ""


def _cache_targets(mounts: tuple[RunMount, ...]) -> tuple[str, ...]:
    return tuple(mount.value("target") for mount in mounts if mount.value("type") == "cache")
