"""What mounts can be made to show: never anything of the machine, never another cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

CONTENT = "of-the-machine"
LINKS = """\
FROM base AS evil
RUN mkdir -p /d/sub /deep/er && echo mine > /d/file && echo flat > /flat \\
 && ln -s / /d/l && ln -s /d /l && ln -s ../../../../../.. /deep/er/up && ln -s / /root-link \\
 && ln -s {host} /direct && ln -s /proc/self/root /magic && ln -s d/file /to-file && ln -s /nowhere /dangling \\
 && ln -s {host} /d/sub/out && ln -s /flat /d/to-flat
FROM base
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of the machine that no image has."""
    folder = tmp_path / "only-on-the-host"
    folder.mkdir()
    (folder / "secret").write_text(CONTENT)
    return folder


@pytest.mark.parametrize("source", ["/l", "/d", "/d/l", "/root-link", "/deep/er/up", "/l/l/l", "/magic", "/d/sub/out",
                                    "/direct", "/l/sub/out", "/deep/er/up/d/l", "/d/../l", "/to-file", "/d/to-flat"])
@pytest.mark.parametrize("mount", ["type=cache,id=x", "type=bind,rw"])
def test_the_source_of_a_mount_is_resolved_in_the_image(builder: Command, host: Path, source: str, mount: str) -> None:
    probe = f"for d in /x /x/ /x/l /x/sub/out /x{host}; do ls -laR $d/ 2>/dev/null; cat $d/secret 2>/dev/null; done; " \
            "test ! -e /x/l/only-on-the-host; true"
    done = builder.build(LINKS.format(host=host) + f"RUN --mount={mount},from=evil,source={source},target=/x {probe}\n")
    assert CONTENT not in done.stderr
    if source.endswith("out") or source == "/direct" or source == "/magic":
        return  # it leads to nothing in the image
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mount", ["type=cache,id=x", "type=bind,rw"])
def test_a_mount_through_a_link_is_what_the_link_means_in_the_image(builder: Command, host: Path, mount: str) -> None:
    out = builder.files(LINKS.format(host=host) + f"""\
RUN --mount={mount},from=evil,source=/l,target=/x cat /x/file > /seen; ls /x > /names
RUN --mount={mount.replace('=x', '=y')},from=evil,source=/to-file,target=/y cat /y > /file
""")
    assert (out / "seen").read_text() == "mine\n"
    assert (out / "names").read_text() == "file\nl\nsub\nto-flat\n"
    assert (out / "file").read_text() == "mine\n"


def test_a_source_that_leads_nowhere_is_an_error_in_words(builder: Command, host: Path) -> None:
    for mount in ("type=cache", "type=bind"):
        run = f"RUN --mount={mount},from=evil,source=/dangling,target=/x true\n"
        done = builder.build(LINKS.format(host=host) + run)
        assert done.returncode == 1
        assert "not found" in done.stderr and "Traceback" not in done.stderr


def test_what_a_step_puts_into_a_cache_is_not_followed_by_the_next(builder: Command, host: Path) -> None:
    """The first step replaces what will be mounted with links; the second one mounts the same cache again."""
    cache = "--mount=type=cache,id=x,from=evil,source=/flat,target=/x"
    directory = "--mount=type=cache,id=y,from=evil,source=/d,target=/y"
    done = builder.build(LINKS.format(host=host) + f"""\
RUN {directory} rm -rf /y/* && ln -s {host} /y/m && ln -s / /y/l
RUN {cache} echo changed > /x
RUN {directory} {cache} cat /y/secret /y/m/secret /x/secret /y/l{host}/secret; cat /x; ls -R /y/ /x
""")
    assert done.returncode == 0, done.stderr
    assert CONTENT not in done.stderr
    assert "changed" in done.stderr


def test_no_id_names_a_cache_of_another_kind(builder: Command) -> None:
    (builder.context / "d").mkdir()
    (builder.context / "d/f").write_text("good\n")
    honest = """FROM scratch AS s
COPY d /d
FROM base
RUN --mount=type=cache,id=pw,from=s,source=/d,target=/x cat /x/f > /seen
"""
    assert builder.build(honest).returncode == 0
    shown = next(line for line in builder.run("du", "--verbose").stdout.splitlines() if "pw@" in line)
    name = shown[shown.index("pw@"):].split()[0]
    for spelled in (name, f"{name}/", name.removesuffix("/d"), f"pw@{name}"):
        plant = f"RUN --mount=type=cache,id={spelled},target=/x mkdir -p /x/m; echo evil | tee /x/f > /x/m/f\n"
        planted = builder.build(f"FROM base\n{plant}")
        assert planted.returncode == 0, planted.stderr
    assert (builder.files(honest, "--no-cache") / "seen").read_text() == "good\n"


def test_a_context_mount_shows_links_and_follows_none_of_them(builder: Command, host: Path) -> None:
    (builder.context / "d").mkdir()
    (builder.context / "d/out").symlink_to(host)
    (builder.context / "out").symlink_to(host)
    (builder.context / "up").symlink_to("../" * 12)
    for source in ("/", "d", "out", "up", "d/out"):
        for kind in ("bind", "bind,rw", "cache,from=here"):
            run = (f"RUN --mount=type={kind},source={source},target=/x "
                   f"ls -R /x/; cat /x/secret /x/out/secret /x{host}/secret; true\n")
            done = builder.build("FROM base\n" + run, "--build-context", f"here={builder.context}")
            assert CONTENT not in done.stderr, (source, kind)


def test_an_identity_that_is_no_text_is_a_cache_like_any_other(builder: Command) -> None:
    out = builder.files("FROM base\nRUN --mount=type=cache,id=\udcff,target=/x echo a > /x/f\n"
                        "RUN --mount=type=cache,id=\udcff,target=/x cp /x/f /f\n".encode("utf-8", "surrogateescape")
                        .decode("latin-1"))
    assert (out / "f").read_text() == "a\n"
