"""COPY and ADD."""

from __future__ import annotations

import msgspec

from builder.language.arguments import ArgumentsError
from builder.language.forms import Form
from builder.language.heredocs import heredoc_or_word
from builder.language.instructionflags import Kind, read_flags
from builder.language.instructions import Add, Copy, Heredoc

_COPY_FLAGS = {"chown": Kind.TEXT, "from": Kind.TEXT, "chmod": Kind.TEXT, "link": Kind.BOOLEAN, "exclude": Kind.TEXTS,
               "parents": Kind.BOOLEAN}
_ADD_FLAGS = {"chown": Kind.TEXT, "chmod": Kind.TEXT, "link": Kind.BOOLEAN, "keep-git-dir": Kind.BOOLEAN,
              "checksum": Kind.TEXT, "unpack": Kind.BOOLEAN, "exclude": Kind.TEXTS}


def copy(form: Form, heredocs: tuple[Heredoc, ...]) -> Copy:
    _check_count(form)
    flags = read_flags(form, _COPY_FLAGS)
    paths, inline = _sources(form, heredocs)
    return Copy(sources=paths, destination=form.arguments[-1].text, heredocs=inline, from_=flags.text("from"),
                chown=flags.text("chown"), chmod=flags.text("chmod"), link=flags.boolean("link") or False,
                parents=flags.boolean("parents") or False, exclude=flags.texts("exclude"))


def add(form: Form, heredocs: tuple[Heredoc, ...]) -> Add:
    _check_count(form)
    flags = read_flags(form, _ADD_FLAGS)
    paths, inline = _sources(form, heredocs)
    return Add(sources=paths, destination=form.arguments[-1].text, heredocs=inline, chown=flags.text("chown"),
               chmod=flags.text("chmod"), link=flags.boolean("link") or False, exclude=flags.texts("exclude"),
               checksum=flags.text("checksum"), keep_git_dir=flags.boolean("keep-git-dir"),
               unpack=flags.boolean("unpack"))


def _check_count(form: Form) -> None:
    if len(form.arguments) < 2:
        raise ArgumentsError(f"{form.name.upper()} requires at least two arguments, but only one was provided. "
                             "Destination could not be determined", location=form.location())


def _sources(form: Form, heredocs: tuple[Heredoc, ...]) -> tuple[tuple[str, ...], tuple[Heredoc, ...]]:
    """Paths and here-documents. Words here end at blanks, quoted or not, so `<<"a b"` has a body but is no source."""
    *sources, destination = form.arguments
    if heredoc_or_word(destination.text):
        raise ArgumentsError(f"{form.name.upper()} cannot accept a heredoc as a destination",
                             location=form.location(destination))
    contents = {heredoc.name: heredoc.content for heredoc in heredocs}
    paths: list[str] = []
    inline: list[Heredoc] = []
    for word in sources:
        if heredoc := heredoc_or_word(word.text):
            inline.append(msgspec.structs.replace(heredoc, content=contents.get(heredoc.name, "")))
        else:
            paths.append(word.text)
    return tuple(paths), tuple(inline)
