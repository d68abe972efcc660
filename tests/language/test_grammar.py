"""The grammar's parser: it reads every line, and its cached tables are only trusted if they are ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.language.grammar import reader_of

KEYWORDS = ("ADD", "arg", "Cmd", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
            "ONBUILD", "ONBUILD RUN", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR", "RUNN", "--x")


@settings(deadline=None)  # the first example loads the grammar
@given(st.sampled_from(KEYWORDS), st.text(alphabet="a \t-=\"'\\`[],\xa0\u2003\x85\x1cé<", max_size=30))
def test_every_line_has_a_reading(keyword: str, rest: str) -> None:
    line = f"{keyword} {rest}".strip()
    for escape in ("\\", "`"):
        tree = reader_of("instruction", escape).read(line, "start")
        tokens = list(tree.scan_values(lambda value: True))
        assert tokens[0].start_pos == 0
        assert all(line[token.start_pos:token.end_pos] == token for token in tokens)


def _run(cache_home: Path, temporary: Path) -> None:
    """A process of its own: a parser is loaded once in each."""
    code = ("from builder.source import Source\nfrom builder.language.parser import parse\n"
            "d = parse(Source('D', 'FROM scratch\\nRUN --network=none [\"a\", \"b\"]\\nENV a=b d=e'))\n"
            "assert [len(s.body) for s in d.stages] == [2]")
    env = os.environ | {"XDG_CACHE_HOME": str(cache_home), "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=Path(__file__).parents[2])


def test_tables_are_kept_and_used(tmp_path: Path) -> None:
    _run(tmp_path, tmp_path)
    (tables,) = (tmp_path / "builder").iterdir()
    assert tables.stat().st_mode & 0o777 == 0o600
    before = tables.stat()
    _run(tmp_path, tmp_path)
    after = tables.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x92\x80\x80", b"\xc1" * 100],
                         ids=["empty", "number", "maps", "noise"])
def test_damaged_tables_are_replaced(tmp_path: Path, content: bytes) -> None:
    _run(tmp_path, tmp_path)
    (tables,) = (tmp_path / "builder").iterdir()
    size = tables.stat().st_size
    tables.write_bytes(content)
    _run(tmp_path, tmp_path)
    assert tables.stat().st_size == size


def test_tables_that_others_could_have_written_are_not_read(tmp_path: Path) -> None:
    _run(tmp_path, tmp_path)
    (tables,) = (tmp_path / "builder").iterdir()
    tables.chmod(0o666)
    _run(tmp_path, tmp_path)
    (replaced,) = (tmp_path / "builder").iterdir()
    assert replaced.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "builder"
    folder.mkdir()
    folder.chmod(0o777)
    _run(tmp_path, tmp_path)
    assert list(folder.iterdir()) == []
    (fallback,) = tmp_path.glob("builder-cache-*")
    assert fallback.stat().st_mode & 0o777 == 0o700
    assert len(list(fallback.iterdir())) == 1


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "builder").symlink_to(elsewhere)
    _run(tmp_path, tmp_path)
    assert list(elsewhere.iterdir()) == []


def test_no_cache_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    _run(file, file)
