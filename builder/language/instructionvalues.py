"""From the form of an instruction to its value, for every keyword.

Which mistake is reported, where an instruction has several, follows BuildKit's order of checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from builder.errors import DockerfileError
from builder.golang.quote import quote
from builder.golang.space import SPACE
from builder.golang.suggest import did_you_mean
from builder.language import commandforms, sources
from builder.language.arguments import ArgumentsError, AtLeastOneArgument, BlankName, ExactlyOneArgument
from builder.language.forms import Form
from builder.language.instructionflags import Kind, read_flags
from builder.language.instructions import (
    AnyInstruction,
    Arg,
    ArgPair,
    Env,
    Expose,
    From,
    Heredoc,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from builder.source import Location

_ONBUILD = re.compile(rf"onbuild[{SPACE}]*", re.IGNORECASE)
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


class UnknownInstruction(DockerfileError):
    code = "unknown-instruction"

    def __init__(self, keyword: str, location: Location) -> None:
        super().__init__(f"unknown instruction: `{keyword}`", location=location, hint=did_you_mean(keyword, _VALUES))


class InvalidStageName(DockerfileError):
    code = "invalid-stage-name"

    def __init__(self, name: str, location: Location) -> None:
        super().__init__(f"invalid name for build stage: {quote(name)}, name can't start with a number or contain "
                         "symbols", location=location)


class ForbiddenTrigger(DockerfileError):
    code = "forbidden-trigger"


def instruction_of(form: Form, heredocs: tuple[Heredoc, ...] = ()) -> AnyInstruction:
    """The instruction's value. Raises the DockerfileError of its first mistake, with a place."""
    make = _VALUES.get(form.name)
    if make is None:
        raise UnknownInstruction(form.keyword, form.keyword_location())
    return make(form, heredocs)


def documentation(comments: Sequence[str], name: str) -> str:
    """What the comments above an instruction say of `name`: the rest of the first that starts with it."""
    return next((comment[len(name) + 1:] for comment in comments if name and comment.startswith(name + " ")), "")


def _from(form: Form, _: tuple[Heredoc, ...]) -> From:
    words = form.arguments
    name = ""
    if len(words) == 3 and words[1].text.lower() == "as":
        name = words[2].text.lower()
        if not _STAGE_NAME.fullmatch(name):
            raise InvalidStageName(words[2].text, form.location(words[2]))
    elif len(words) != 1:
        raise ArgumentsError("FROM requires either one or three arguments", location=form.location())
    flags = read_flags(form, {"platform": Kind.TEXT})
    return From(image=words[0].text, platform=flags.text("platform"), name=name)


def _arg(form: Form, _: tuple[Heredoc, ...]) -> Arg:
    if not form.arguments:
        raise AtLeastOneArgument("ARG", form.keyword_location())
    pairs = []
    for word in form.arguments:
        key, equals, value = word.text.partition("=")
        if not key:
            raise BlankName("ARG", form.location(word))
        pairs.append(ArgPair(key, value if equals else None, documentation(form.line.comments, key)))
    return Arg(pairs=tuple(pairs))


def _env(form: Form, _: tuple[Heredoc, ...]) -> Env:
    return Env(pairs=_pairs(form))


def _label(form: Form, _: tuple[Heredoc, ...]) -> Label:
    return Label(pairs=_pairs(form))


def _pairs(form: Form) -> tuple[Pair, ...]:
    read_flags(form, {})
    if not form.pairs:
        raise AtLeastOneArgument(form.name.upper(), form.keyword_location())
    if not all(pair.key for pair in form.pairs):
        raise BlankName(form.name.upper(), form.location())
    return form.pairs


def _expose(form: Form, _: tuple[Heredoc, ...]) -> Expose:
    _at_least_one(form)
    read_flags(form, {})
    return Expose(ports=tuple(sorted(word.text for word in form.arguments)))


def _volume(form: Form, _: tuple[Heredoc, ...]) -> Volume:
    _at_least_one(form)
    read_flags(form, {})
    paths = tuple(word.text.strip(SPACE) for word in form.arguments)
    if not all(paths):
        raise ArgumentsError("VOLUME specified can not be an empty string", location=form.location())
    return Volume(paths=paths)


def _workdir(form: Form, _: tuple[Heredoc, ...]) -> Workdir:
    return Workdir(path=_only_argument(form))


def _user(form: Form, _: tuple[Heredoc, ...]) -> User:
    return User(user=_only_argument(form))


def _stop_signal(form: Form, _: tuple[Heredoc, ...]) -> StopSignal:
    return StopSignal(signal=_only_argument(form, checks_flags=False))


def _maintainer(form: Form, _: tuple[Heredoc, ...]) -> Maintainer:
    return Maintainer(name=_only_argument(form))


def _onbuild(form: Form, heredocs: tuple[Heredoc, ...]) -> Onbuild:
    trigger = form.trigger
    if trigger is None:
        raise AtLeastOneArgument("ONBUILD", form.keyword_location())
    read_flags(form, {})
    if trigger.name == "onbuild":
        raise ForbiddenTrigger("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", location=form.location())
    if trigger.name in ("maintainer", "from"):
        raise ForbiddenTrigger(f"{trigger.name.upper()} isn't allowed as an ONBUILD trigger",
                               location=trigger.keyword_location())
    expression = _ONBUILD.sub("", form.line.text, count=1)
    expression += "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in heredocs)
    try:
        value = instruction_of(trigger, heredocs)
    except DockerfileError:
        value = None
    return Onbuild(expression=expression, trigger=value)


def _at_least_one(form: Form) -> None:
    if not form.arguments:
        raise AtLeastOneArgument(form.name.upper(), form.keyword_location())


def _only_argument(form: Form, *, checks_flags: bool = True) -> str:
    """The rest of the line."""
    if not form.arguments:
        raise ExactlyOneArgument(form.name.upper(), form.keyword_location())
    if checks_flags:
        read_flags(form, {})
    return form.arguments[0].text


_VALUES: dict[str, Callable[[Form, tuple[Heredoc, ...]], AnyInstruction]] = {
    "add": sources.add, "arg": _arg, "cmd": commandforms.cmd, "copy": sources.copy,
    "entrypoint": commandforms.entrypoint, "env": _env, "expose": _expose, "from": _from,
    "healthcheck": commandforms.healthcheck, "label": _label, "maintainer": _maintainer, "onbuild": _onbuild,
    "run": commandforms.run, "shell": commandforms.shell, "stopsignal": _stop_signal, "user": _user, "volume": _volume,
    "workdir": _workdir,
}
