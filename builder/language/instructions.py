"""The instructions of a Dockerfile as values.

Everything is as written: variables are not expanded (that is `plan`'s work, it knows their values), words keep their
quotes. A value says what the text means, `Statement` says where it stood. Reference: the Dockerfile reference of
Docker, and BuildKit's frontend where that is silent.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from builder.language.runmounts import RunMount
from builder.language.wordparts import NO_WORDS, WordTable
from builder.source import Source, Span


class Heredoc(msgspec.Struct, frozen=True, kw_only=True):
    """`<<[-]NAME` and the lines up to `NAME`."""

    name: str
    content: str
    """As written, tabs included: see `body`."""
    expand: bool
    """False when the delimiter was quoted: variables in the body stay as they are."""
    chomp: bool
    """True for `<<-`: leading tabs of each line are dropped."""
    file_descriptor: int = 0

    @property
    def body(self) -> str:
        """The content, with the leading tabs dropped if `<<-` asked for it."""
        if not self.chomp:
            return self.content
        return "\n".join(line.lstrip("\t") for line in self.content.split("\n"))


class ShellForm(msgspec.Struct, frozen=True, tag="shell"):
    """A command line for the image's shell; RUN's own here-documents are in `heredocs`, the line still names them."""

    text: str
    heredocs: tuple[Heredoc, ...] = ()
    is_script: bool = False
    """Whether the text is a here-document and nothing else: the first one is what runs."""


class ExecForm(msgspec.Struct, frozen=True, tag="exec"):
    argv: tuple[str, ...]


CommandForm: TypeAlias = ShellForm | ExecForm


class Pair(msgspec.Struct, frozen=True):
    """`key=value` of ENV and LABEL; `legacy` marks the old `ENV key value`."""

    key: str
    value: str
    legacy: bool = False


class ArgPair(msgspec.Struct, frozen=True):
    key: str
    default: str | None
    description: str = ""
    """From a comment `# key description` right above it."""


class Instruction(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    """Base of all instructions; the tag is the lower-case keyword."""


class From(Instruction, frozen=True, kw_only=True):
    """FROM [--platform=<platform>] <image> [AS <name>]"""

    image: str
    platform: str = ""
    name: str = ""


class Arg(Instruction, frozen=True, kw_only=True):
    """ARG <name>[=<default>] ..."""

    pairs: tuple[ArgPair, ...]


class Env(Instruction, frozen=True, kw_only=True):
    """ENV <key>=<value> ... | ENV <key> <value>"""

    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, kw_only=True):
    """LABEL <key>=<value> ..."""

    pairs: tuple[Pair, ...]


class Run(Instruction, frozen=True, kw_only=True):
    """RUN [--mount=...] [--network=...] [--security=...] [--device=...] <command>"""

    command: CommandForm
    mounts: tuple[RunMount, ...] = ()
    network: str = ""
    security: str = ""
    devices: tuple[str, ...] = ()


class Cmd(Instruction, frozen=True, kw_only=True):
    """CMD ["executable", "argument"] | CMD command"""

    command: CommandForm


class Entrypoint(Instruction, frozen=True, kw_only=True):
    """ENTRYPOINT ["executable", "argument"] | ENTRYPOINT command"""

    command: CommandForm


class Copy(Instruction, frozen=True, kw_only=True):
    """COPY [--from=] [--chown=] [--chmod=] [--link] [--parents] [--exclude=] <source> ... <destination>"""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    """Here-document sources; they come after `sources`, as in BuildKit."""
    from_: str = msgspec.field(default="", name="from")
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(Instruction, frozen=True, kw_only=True):
    """ADD [--chown=] [--chmod=] [--link] [--exclude=] [--checksum=] [--keep-git-dir] [--unpack=] <source> ... <dest>"""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class Workdir(Instruction, frozen=True, kw_only=True):
    """WORKDIR /path"""

    path: str


class User(Instruction, frozen=True, kw_only=True):
    """USER <user>[:<group>]"""

    user: str


class Volume(Instruction, frozen=True, kw_only=True):
    """VOLUME ["/path", ...] | VOLUME /path ..."""

    paths: tuple[str, ...]


class Expose(Instruction, frozen=True, kw_only=True):
    """EXPOSE <port>[-<port>][/<protocol>] ..."""

    ports: tuple[str, ...]


class StopSignal(Instruction, frozen=True, kw_only=True):
    """STOPSIGNAL <signal>"""

    signal: str


class Shell(Instruction, frozen=True, kw_only=True):
    """SHELL ["executable", "argument"]"""

    argv: tuple[str, ...]


class HealthcheckNone(Instruction, frozen=True, kw_only=True):
    """HEALTHCHECK NONE"""


class HealthcheckCmd(Instruction, frozen=True, kw_only=True):
    """HEALTHCHECK [--interval=] [--timeout=] [--start-period=] [--start-interval=] [--retries=] CMD <command>

    Durations in nanoseconds, 0 where not given."""

    command: CommandForm
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Onbuild(Instruction, frozen=True, kw_only=True):
    """ONBUILD <instruction>; `expression` is the text that the image keeps, `trigger` its meaning.

    No trigger (None) where the expression is no valid instruction: that is the child build's error, as in BuildKit."""

    expression: str
    trigger: AnyInstruction | None


class Maintainer(Instruction, frozen=True, kw_only=True):
    """MAINTAINER <name>"""

    name: str


AnyInstruction: TypeAlias = (
    From | Arg | Env | Label | Run | Cmd | Entrypoint | Copy | Add | Workdir | User | Volume | Expose | StopSignal
    | Shell | HealthcheckNone | HealthcheckCmd | Onbuild | Maintainer
)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction where it stood."""

    instruction: AnyInstruction
    keyword: str
    """As written (`from`, `RUN`), for the casing checks."""
    text: str
    """The instruction as one line: continuations joined, comments and blank lines inside removed, outer blanks
    stripped; here-document bodies are not in it. What progress shows."""
    span: Span
    """First to last line, here-documents included."""
    comments: tuple[str, ...] = ()
    """The comment lines right above it, without `#` and outer blanks."""


class EmptyContinuation(msgspec.Struct, frozen=True):
    """An instruction with blank lines in its continuation (lint rule NoEmptyContinuation)."""

    span: Span
    """From the first blank line to the last line of the instruction, which is the one that BuildKit names."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """FROM and what follows it up to the next FROM."""

    statement: Statement
    """The FROM."""
    body: tuple[Statement, ...]
    description: str = ""
    """From a comment `# name description` right above FROM."""

    @property
    def base(self) -> From:
        instruction = self.statement.instruction
        assert isinstance(instruction, From)
        return instruction


class Directive(msgspec.Struct, frozen=True):
    """`# key=value` at the top of the file: syntax, escape or check."""

    key: str
    value: str
    span: Span


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    source: Source
    directives: tuple[Directive, ...]
    escape: str
    global_args: tuple[Statement, ...]
    """The ARG instructions before the first FROM."""
    stages: tuple[Stage, ...]
    empty_continuations: tuple[EmptyContinuation, ...] = ()
    words: WordTable = NO_WORDS

    def directive(self, key: str) -> str | None:
        return next((d.value for d in self.directives if d.key == key), None)
