"""A context in a folder of another user, who swaps what is above it for a link while it is read."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from builder.context.local import ListedContext, LocalContext, Unreadable

STRANGER = 54321


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """`d/context` is the context; `link/context` a folder that is not theirs."""
    (tmp_path / "outside/context").mkdir(parents=True)
    (tmp_path / "outside/context/file").write_text("secret")
    folder = tmp_path / "theirs"
    (folder / "d/context").mkdir(parents=True)
    (folder / "d/context/file").write_text("text")
    (folder / "link").symlink_to(tmp_path / "outside")
    for path in (folder, folder / "d", folder / "d/context", folder / "link"):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    return folder


def read(context: LocalContext) -> bytes:
    entry = context.lstat("file")
    assert entry is not None
    with open(entry.open(), "rb") as file:
        return file.read()


def test_what_takes_the_name_of_a_context_later_is_not_looked_at(theirs: Path) -> None:
    context = LocalContext(str(theirs / "d/context"))
    (theirs / "d").rename(theirs / "moved")
    (theirs / "link").rename(theirs / "d")
    for one in (context, ListedContext(context), context.anew(), context.taken_by([])):
        assert read(one) == b"text"


def test_a_context_behind_a_link_of_another_user_is_refused_in_words(theirs: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        LocalContext(str(theirs / "link/context"))
    assert "another user's link" in str(caught.value.cause)


def test_a_folder_above_that_is_swapped_again_and_again_never_leads_outside(theirs: Path) -> None:
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("d", "spare"), ("link", "d"), ("d", "link"), ("spare", "d")):
                with suppress(OSError):
                    os.rename(theirs / source, theirs / target)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(2000):
            with suppress(Unreadable):
                context = LocalContext(str(theirs / "d/context"))
                seen |= {read(context), read(ListedContext(context))}
    finally:
        stop.set()
        thread.join()
    assert seen == {b"text"}
