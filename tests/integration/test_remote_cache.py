"""Remote caches, from one machine to the next: a state folder is a machine."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from registry.conftest import registry  # noqa: F401

from integration.conftest import Command

STAGES = """\
FROM base AS build
WORKDIR /src
COPY deps.txt .
RUN cat /proc/sys/kernel/random/uuid > deps.out
COPY src/ ./
RUN cat a.c deps.out > prog
FROM base
RUN cat /proc/sys/kernel/random/uuid > /stamp
COPY --from=build /src/prog /bin/prog
RUN --mount=type=bind,source=src,target=/m cat /m/a.c > /copied
"""
Ran = subprocess.CompletedProcess[str]


class Machines:
    """Some machines that share a context."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self.base = base
        self.context = folder / "context"
        (self.context / "src").mkdir(parents=True)
        (self.context / "src/a.c").write_text("int main;\n")
        (self.context / "deps.txt").write_text("libc\n")

    def build(self, name: str, *args: str, dockerfile: str = STAGES) -> Ran:
        """A build on the machine of that name; its output is on its standard error."""
        return self.command(name).build(dockerfile, *args)

    def command(self, name: str) -> Command:
        """The command of that machine."""
        machine = Command.__new__(Command)
        machine.root, machine.context, machine.base = self.folder / name, self.context, self.base
        return machine

    def image(self, name: str, *args: str, dockerfile: str = STAGES) -> str:
        done = self.build(name, "-q", *args, dockerfile=dockerfile)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def machines(tmp_path: Path, base: Path) -> Machines:
    return Machines(tmp_path, base)


def ran(done: Ran) -> list[str]:
    """The steps that ran, as `build 4`, `stage-1 2`, or `2` where there is one stage."""
    assert done.returncode == 0, done.stderr
    ended = set(re.findall(r"^#(\d+) DONE ", done.stderr, re.MULTILINE))
    names = dict(re.findall(r"^#(\d+) \[(.+?)/\d+\] (?!FROM )", done.stderr, re.MULTILINE))
    return sorted(re.sub(" +", " ", names[number]) for number in ended & set(names))


@pytest.mark.parametrize("form", ["", ",image-manifest=false", ",oci-mediatypes=false", ",compression=zstd",
                                  ",compression=uncompressed,force-compression=true"])
def test_all_steps_through_a_registry(machines: Machines, registry: str, form: str) -> None:  # noqa: F811
    place = f"type=registry,ref={registry}/cache/{len(form)}:all"
    first = machines.image("one", "--cache-to", f"{place},mode=max{form}")
    assert machines.image("two", "--cache-from", place) == first
    assert ran(machines.build("three", "--cache-from", place)) == []
    (machines.context / "src/a.c").write_text("int other;\n")
    changed = machines.build("four", "--cache-from", place)
    assert ran(changed) == ["build 5", "build 6", "stage-1 3", "stage-1 4"]


def test_only_what_the_image_needs_is_fetched(machines: Machines) -> None:
    machines.image("one", "--cache-to", "type=local,dest={}".format(machines.folder / "cache"))
    place = f"type=local,src={machines.folder / 'cache'}"
    assert ran(machines.build("two", "--cache-from", place)) == []
    with_all = machines.folder / "all"
    machines.image("one", "--cache-to", f"type=local,dest={with_all},mode=max")
    assert len(list((with_all / "blobs/sha256").iterdir())) == len(
        list((machines.folder / "cache/blobs/sha256").iterdir())) + 5, "five steps of the other stage"
    taken = machines.build("three", "--cache-from", f"type=local,src={with_all}")
    assert ran(taken) == []
    assert len(re.findall(r"sha256:\w+ \d.* done$", taken.stderr, re.MULTILINE)) == 3 + 1, "three steps and the base"


def test_the_least_cache_has_no_steps_of_other_stages(machines: Machines) -> None:
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache}")
    (machines.context / "src/a.c").write_text("int other;\n")
    changed = machines.build("two", "--cache-from", f"type=local,src={cache}")
    assert ran(changed) == ["build 2", "build 3", "build 4", "build 5", "build 6", "stage-1 3", "stage-1 4"]


def test_the_image_carries_its_own_cache(machines: Machines, registry: str) -> None:  # noqa: F811
    name = f"{registry}/team/app:1"
    first = machines.image("one", "-t", name, "--push", "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    again = machines.build("two", "--cache-from", name)
    assert ran(again) == []
    plain = machines.image("two", "--cache-from", name)
    assert plain != first, "which only has the cache if it is asked for"
    assert machines.image("three", "--cache-from", name, "--cache-to", "type=inline") == first
    on_top = machines.image("four", "--cache-from", name, "--cache-to", "type=inline",
                            dockerfile=f"FROM {name}\nLABEL a=b\n")
    assert "builder.cache" not in _config(machines, "four", on_top)


def _config(machines: Machines, machine: str, digest: str) -> str:
    found: str = (machines.folder / machine / "blobs/sha256" / digest.removeprefix("sha256:")).read_text()
    return found


def test_what_is_to_run_again_runs(machines: Machines) -> None:
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache},mode=max")
    place = f"type=local,src={cache}"
    assert len(ran(machines.build("two", "--no-cache", "--cache-from", place))) == 8
    assert ran(machines.build("three", "--no-cache-filter", "stage-1", "--cache-from", place)) == [
        "stage-1 2", "stage-1 3", "stage-1 4"]


def test_imported_steps_are_in_the_cache_of_the_machine(machines: Machines) -> None:
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache},mode=max")
    (machines.context / "src/a.c").write_text("int other;\n")
    machines.image("two", "--cache-from", f"type=local,src={cache}")
    assert ran(machines.build("two")) == []


def test_a_cache_goes_on_from_place_to_place(machines: Machines, registry: str) -> None:  # noqa: F811
    first, second = (f"type=registry,ref={registry}/cache/{name}:x" for name in ("first", "second"))
    machines.image("one", "--cache-to", f"{first},mode=max")
    passed_on = machines.build("two", "--cache-from", first, "--cache-to", f"{second},mode=max")
    assert ran(passed_on) == []
    (machines.context / "src/a.c").write_text("int other;\n")
    assert ran(machines.build("three", "--cache-from", second)) == ["build 5", "build 6", "stage-1 3", "stage-1 4"]


def test_a_miss_is_explained_by_what_the_cache_knows(machines: Machines, registry: str) -> None:  # noqa: F811
    place = f"{registry}/cache/why:x"
    dockerfile = STAGES.replace("WORKDIR /src", "ARG TOKEN=hidden-value\nENV MODE=fast\nWORKDIR /src")
    machines.image("one", "--cache-to", f"type=registry,ref={place},mode=max", dockerfile=dockerfile)

    def reasons(*args: str, dockerfile: str) -> list[str]:
        built = machines.build("two", "--cache-from", place, *args, dockerfile=dockerfile)
        return re.findall(r" miss: (.*), compared with " + re.escape(place), built.stderr)

    (machines.context / "src/a.c").write_text("int other;\n")
    assert reasons(dockerfile=dockerfile)[0] == "1 file changed: src/a.c"
    (machines.context / "src/a.c").write_text("int main;\n")
    assert reasons("--build-arg", "TOKEN=other", dockerfile=dockerfile)[0] == "build arg TOKEN changed"
    assert 'environment variable MODE changed "fast" -> "slow"' in reasons(
        dockerfile=dockerfile.replace("MODE=fast", "MODE=slow"))
    new = reasons(dockerfile=dockerfile.replace("/kernel/random/uuid > deps.out", "/kernel/random/uuid > deps2.out"))
    assert new[0].startswith("instruction changed: `")
    folder = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={folder},mode=max", dockerfile=dockerfile)
    blobs = [path.read_bytes() for path in (folder / "blobs/sha256").iterdir()]
    explanations = b"".join(zstandard.decompress(blob) for blob in blobs if blob[:4] == b"\x28\xb5\x2f\xfd")
    assert b"TOKEN" in explanations
    assert b"hidden-value" not in explanations


def test_the_place_that_is_named_first_wins(machines: Machines) -> None:
    one, two = machines.folder / "cache1", machines.folder / "cache2"
    first = machines.image("one", "--cache-to", f"type=local,dest={one}")
    other = machines.image("two", "--cache-to", f"type=local,dest={two}")
    assert first != other
    places = [f"type=local,src={one}", f"type=local,src={two}"]
    assert machines.image("three", "--cache-from", places[0], "--cache-from", places[1]) == first
    assert machines.image("four", "--cache-from", places[1], "--cache-from", places[0]) == other


def test_a_folder_keeps_what_is_reachable(machines: Machines) -> None:
    cache = machines.folder / "cache"
    place = f"type=local,dest={cache},mode=max"
    machines.image("one", "--cache-to", f"{place},tag=main")
    blobs = {path.name for path in (cache / "blobs/sha256").iterdir()}
    (machines.context / "src/a.c").write_text("int other;\n")
    machines.image("one", "--cache-to", f"{place},tag=branch")
    both = {path.name for path in (cache / "blobs/sha256").iterdir()}
    assert blobs < both
    (machines.context / "src/a.c").write_text("int main;\n")
    machines.image("one", "--cache-to", f"{place},tag=branch")
    assert {path.name for path in (cache / "blobs/sha256").iterdir()} == blobs
    assert ran(machines.build("two", "--cache-from", f"type=local,src={cache},tag=main")) == []


def test_a_url_counts_by_its_content(machines: Machines, site: tuple[str, Path]) -> None:
    url, folder = site
    (folder / "file").write_text("one")
    dockerfile = f"FROM base AS build\nADD {url}/file /x\nRUN cat /x > /y\nFROM base\nCOPY --from=build /y /z\n"
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache}", dockerfile=dockerfile)
    place = f"type=local,src={cache}"
    assert ran(machines.build("two", "--cache-from", place, dockerfile=dockerfile)) == []
    (folder / "file").write_text("two")
    assert len(ran(machines.build("three", "--cache-from", place, dockerfile=dockerfile))) == 4


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server, and the folder that it shows."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
        server.shutdown()


def test_bake_shares_caches(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "app.Dockerfile").write_text(STAGES)
    definition = tmp_path / "docker-bake.json"
    target = {"context": str(machines.context), "dockerfile": str(tmp_path / "app.Dockerfile"),
              "contexts": {"base": f"oci-layout://{machines.base}"}}
    definition.write_text(json.dumps({
        "group": {"default": {"targets": ["app", "build"]}},
        "target": {"app": target | {"cache-to": [f"type=local,dest={tmp_path}/cache"]},
                   "build": target | {"target": "build",
                                      "cache-to": [f"type=local,dest={tmp_path}/cache,tag=build"]}}}))
    args = ("bake", "--progress", "plain", "--allow", "fs=*", "-f", str(definition))
    one = Command(tmp_path / "m1", machines.base)
    assert len(ran(one.run(*args))) == 8
    assert len(json.loads((tmp_path / "cache/index.json").read_text())["manifests"]) == 2
    two = Command(tmp_path / "m2", machines.base)
    again = two.run(*args, "--set", f"*.cache-from=type=local,src={tmp_path}/cache",
                    "--set", f"build.cache-from=type=local,src={tmp_path}/cache,tag=build")
    assert ran(again) == []


def test_what_was_mended_by_hand_is_kept_nowhere_else(machines: Machines) -> None:
    dockerfile = "FROM base\nRUN echo 1 > /one\nRUN test -e /fix\nRUN cat /proc/sys/kernel/random/uuid > /after\n"
    cache = machines.folder / "cache"
    mended = machines.build("one", "--on-error=debug", "--debug-run", "touch /fix", "--debug-then", "continue",
                            "--cache-to", f"type=local,dest={cache}", dockerfile=dockerfile)
    assert mended.returncode == 0, mended.stderr
    other = machines.build("two", "--cache-from", f"type=local,src={cache}", dockerfile=dockerfile)
    assert other.returncode == 1
    assert "RUN echo 1 > /one\n#" in other.stderr
    assert other.stderr.count("CACHED") == 1


def test_a_base_that_no_step_looks_into_is_not_fetched(machines: Machines, registry: str) -> None:  # noqa: F811
    base, cache = f"{registry}/lazy/base:1", f"{registry}/lazy/cache:1"
    machines.image("maker", "-t", base, "--push", dockerfile="FROM base\nRUN echo base > /base\n")
    stages = ("AS build\nRUN echo 1 > /one", "\nCOPY --from=build /one /\nRUN cat /base > /two")
    dockerfile = "".join(f"FROM {base} {stage}\n" for stage in stages)
    first = machines.image("one", "--cache-to", cache, dockerfile=dockerfile)
    name = f"{registry}/lazy/app:1"
    assert machines.image("two", "-t", name, "--push", "--cache-from", cache, dockerfile=dockerfile) == first
    assert len(list((machines.folder / "two/layers").iterdir())) == 2
    command = machines.command("two")
    assert command.run("fsck").stdout == "no damage found\n"
    assert command.run("save", "-o", str(machines.folder / "app.tar"), name).returncode == 0
    assert command.run("cat", f"{name}:/base").stdout == "base\n"
    assert command.run("cat", f"{name}:/two").stdout == "base\n"
    on_top = machines.image("two", "--cache-from", cache, dockerfile=f"{dockerfile}RUN cat /base /two > /three\n")
    assert on_top != first
    files = machines.folder / "files"
    machines.image("three", "--output", str(files), "--cache-from", cache, dockerfile=dockerfile)
    assert (files / "base").read_text() == (files / "two").read_text() == "base\n"
    assert machines.command("four").run("run", "--rm", name, "cat", "/two").stdout == "base\n"


def test_two_that_write_into_one_folder_at_once(machines: Machines) -> None:
    cache = machines.folder / "cache"
    tags = [f"t{number}" for number in range(6)]

    def build(machine: str, tag: str, *args: str) -> Ran:
        dockerfile = machines.folder / f"{tag}.Dockerfile"
        dockerfile.write_text(f"FROM base\nRUN echo {tag} > /a\n")
        return machines.command(machine).run("build", "--progress", "plain", "-f", str(dockerfile), "--build-context",
                                             f"base=oci-layout://{machines.base}", *args, str(machines.context))

    with ThreadPoolExecutor(len(tags)) as pool:
        built = list(pool.map(lambda tag: build(tag, tag, "--cache-to", f"type=local,dest={cache},tag={tag}"), tags))
    assert [ran(one) for one in built] == [["2"]] * len(tags)
    for tag in tags:
        assert ran(build("other", tag, "--cache-from", f"type=local,src={cache},tag={tag}")) == []


# -- what is fetched, and what becomes of places that cannot be written ------------------------------------------------


def downloaded(done: Ran) -> list[str]:
    return re.findall(r"(sha256:\w+) \d.* done$", done.stderr, re.MULTILINE)


def test_nothing_is_fetched_where_nothing_is_wanted(machines: Machines, registry: str) -> None:  # noqa: F811
    place = f"type=registry,ref={registry}/lazy:all"
    machines.image("one", "--cache-to", f"{place},mode=max")
    nothing = machines.build("two", "--cache-from", place, "--output", "type=cacheonly")
    assert (ran(nothing), len(downloaded(nothing))) == ([], 1), "only the base, which lies in a folder"
    handed_on = machines.build("three", "--cache-from", place, "--output", "type=cacheonly",
                               "--cache-to", f"type=registry,ref={registry}/lazy:copy,mode=max")
    assert (ran(handed_on), downloaded(handed_on)) == ([], downloaded(nothing))
    assert ran(machines.build("four", "--cache-from", f"type=registry,ref={registry}/lazy:copy")) == []
    (machines.context / "src/a.c").write_text("int other;\n")
    changed = machines.build("five", "--cache-from", place, "--output", "type=cacheonly")
    assert ran(changed) == ["build 5", "build 6", "stage-1 3", "stage-1 4"]
    image = machines.build("two", "--output", "type=cacheonly")
    assert image.returncode == 0, "what was not fetched is no result that a later build may stumble over"


@pytest.mark.parametrize("where", ["registry", "folder"])
def test_a_cache_that_cannot_be_written_fails_no_good_build(machines: Machines, where: str) -> None:
    (machines.folder / "file").touch()
    place, name = {"registry": ("type=registry,ref=127.0.0.1:1/nowhere:1", "127.0.0.1:1/nowhere:1"),
                   "folder": (f"type=local,dest={machines.folder}/file/x", f"{machines.folder}/file/x")}[where]
    good = f"type=local,dest={machines.folder / 'good'}"
    done = machines.build("one", "-t", "app", "--cache-to", f"{place},mode=max", "--cache-to", good)
    assert done.returncode == 0, done.stderr
    assert f"- the cache was not exported to `{name}`: cannot" in done.stderr
    assert (machines.folder / "good" / "index.json").is_file(), "one place does not keep another from being written"

    strict = machines.build("one", "-t", "strict", "--cache-to", f"{place},ignore-error=false", "--cache-to", good)
    assert strict.returncode == 1
    last = strict.stderr.splitlines()[-1]
    assert f"the cache was not exported to `{name}`: cannot" in last
    assert "without `ignore-error=false` in --cache-to the build succeeds" in strict.stderr
    images = machines.command("one").run("images").stdout
    assert "app" in images and "strict" in images
