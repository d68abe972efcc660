"""`builder images`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import FORMAT_FLAG, ago, render_rows, short_id, utc
from builder.cli.value_types import IMAGE, choice
from builder.errors import InvalidValue
from builder.golang.glob import BadPattern, compile_pattern
from builder.ui.units import human_size

if TYPE_CHECKING:
    from builder.images.summary import ImageSummary

NONE = "<none>"
HEADERS = {"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
           "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE",
           "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE"}
Test = Callable[["ImageSummary"], bool]


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    with invocation.open() as builder:
        images = builder.images()
    wanted = [parse_filter(text, images) for text in flags.all("filter")]
    if invocation.arguments:
        wanted.append(parse_filter(f"reference={invocation.arguments[0]}", images))
    chosen = [image for image in images if all(test(image) for test in wanted)]
    whole = flags.on("no-trunc")
    if flags.on("quiet"):
        print("".join(f"{line}\n" for line in dict.fromkeys(_id(image, whole) for image in chosen)), end="")
        return 0
    columns = ["Repository", "Tag", *(["Digest"] if flags.on("digests") else []), "ID", "CreatedSince", "Size"]
    rows = [row_of(image, whole=whole, digests=flags.on("digests") or bool(flags.text("format"))) for image in chosen]
    print(render_rows(rows, HEADERS, columns, flags.text("format")), end="")
    return 0


def row_of(image: ImageSummary, *, whole: bool, digests: bool) -> dict[str, str]:
    name, tag = split_name(image.name)
    size = human_size(image.size, 3)
    return {
        "Repository": name or NONE, "Tag": tag or NONE, "Digest": image.digest if digests and name else NONE,
        "ID": _id(image, whole), "CreatedSince": ago(image.created), "CreatedAt": utc(image.created), "Size": size,
        "VirtualSize": size, "Containers": "N/A", "SharedSize": "N/A", "UniqueSize": "N/A",
    }


def split_name(name: str) -> tuple[str, str]:
    """Repository and tag of a familiar name; a port is no tag."""
    head, colon, tag = name.partition("@")[0].rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name.partition("@")[0], "")


def _id(image: ImageSummary, whole: bool) -> str:
    return image.id if whole else short_id(image.id)


def parse_filter(text: str, images: Sequence[ImageSummary]) -> Test:
    """A test for one of docker's filters. Raises InvalidValue."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidValue(f"invalid argument \"{text}\" for \"-f, --filter\" flag: invalid filter '{text}'")
    match name:
        case "dangling":
            wanted = value.lower() in ("true", "1")
            return lambda image: (not image.name) is wanted
        case "label":
            key, given, expected = value.partition("=")
            return lambda image: key in image.labels and (not given or image.labels[key] == expected)
        case "reference":
            pattern = _pattern(value)
            return lambda image: any(pattern.fullmatch(form) for form in _forms(image.name))
        case "before" | "since":
            border = _find(value, images).created
            return lambda image: image.created < border if name == "before" else image.created > border
    raise InvalidValue(f"invalid filter '{name}'", hint="choose one of dangling, label, reference, before, since")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return compile_pattern(text)
    except BadPattern as error:
        raise InvalidValue(str(error)) from None


def _forms(name: str) -> Iterable[str]:
    """What a reference pattern may mean: with and without the tag, with and without the folders before it."""
    repository = split_name(name)[0]
    return (name, repository) if name else ()


def _find(text: str, images: Sequence[ImageSummary]) -> ImageSummary:
    for image in images:
        if text in (image.name, split_name(image.name)[0], image.id, image.digest) or (
                len(text) >= 4 and image.id.removeprefix("sha256:").startswith(text.removeprefix("sha256:"))):
            return image
    raise InvalidValue(f"no such image: {text}")


COMMAND = Command(
    "images", "[OPTIONS] [REPOSITORY[:TAG]]", run, arguments=(0, 1), takes=IMAGE,
    flags=(
        Flag("all", "Show all images; intermediate ones do not exist here", Kind.BOOL, "a"),
        Flag("digests", "Show digests", Kind.BOOL),
        Flag("filter", 'Show only what matches ("dangling=true", "label=KEY[=VALUE]", "reference=PATTERN", '
             '"before=IMAGE", "since=IMAGE")', Kind.LIST, "f", metavar="filter",
             type=choice("dangling=", "label=", "reference=", "before=", "since=")),
        FORMAT_FLAG,
        Flag("no-trunc", "Don't shorten ids", Kind.BOOL),
        Flag("quiet", "Only show image ids", Kind.BOOL, "q"),
    ))
