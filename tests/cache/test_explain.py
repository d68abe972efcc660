"""Misses in words: each case is an earlier step, what changed of it, and the sentence."""

from __future__ import annotations

from typing import Any

import pytest

from builder.cache.explain import Attempt, Earlier, explain, nearest
from builder.cache.key import Parts, key_of
from builder.cache.stepcache import Cache
from builder.store import Store

SHELL = ["/bin/sh", "-c"]
RUN: Parts = {
    "argv": [*SHELL, "pip install a"], "env": [["PATH", "/bin"], ["VERSION", "1.2"], ["MODE", "fast"]],
    "args.list": ["VERSION"], "cwd": "/src", "user": "", "network": "default", "security": "sandbox", "hosts": [],
    "scripts": [], "mounts": [{"type": "cache", "target": "/root/.cache", "mode": 493}], "parent": ["l1", "l2", "l3"],
    "base.list": ["debian:bookworm", "sha256:" + "ab" * 32],
}
FILES = [["setup.cfg", "644 0:0 11"], ["src/a.py", "644 0:0 22"], ["src/b.py", "644 0:0 33"]]
COPY: Parts = {
    "sources": [["src"]], "words": [["src"]], "unpack": [False], "destination": "/app/", "owner": None, "mode": "",
    "exclude": [], "parents": False, "link": False, "below": [["", "directory 0755 0:0"], ["app", "absent"]],
    "files": "d1", "files.list": FILES,
}


def many(count: int) -> list[list[str]]:
    return [[f"f{n}", "644 0:0 1"] for n in range(count)]


CASES: list[tuple[str, Parts, dict[str, Any], str]] = [
    ("run", RUN, {"argv": [*SHELL, "pip install b"]}, "instruction changed: `pip install a` -> `pip install b`"),
    ("run", RUN, {"argv": ["/bin/bash", "-c", "pip install a"]}, "shell changed: `/bin/sh -c` -> `/bin/bash -c`"),
    ("run", RUN, {"argv": ["pip", "install", "a"]},
     "instruction changed: `/bin/sh -c pip install a` -> `pip install a`"),
    ("run", RUN, {"argv": [*SHELL, "pip install a\nb"]}, "instruction changed: `pip install a` -> `pip install a\\nb`"),
    ("run", RUN, {"env": [["PATH", "/bin"], ["VERSION", "1.3"], ["MODE", "fast"]]},
     'build arg VERSION changed "1.2" -> "1.3"'),
    ("run", RUN, {"env": [["PATH", "/bin"], ["VERSION", "1.2"], ["MODE", "slow"]]},
     'environment variable MODE changed "fast" -> "slow"'),
    ("run", RUN, {"env": [["PATH", "/bin"], ["VERSION", "1.2"], ["MODE", "fast"], ["X", "1"]]},
     "environment variable X was added"),
    ("run", RUN, {"env": [["PATH", "/bin"], ["MODE", "fast"]], "args.list": []}, "build arg VERSION was removed"),
    ("run", RUN, {"env": [["VERSION", "1.2"], ["PATH", "/bin"], ["MODE", "fast"]]},
     "the order of environment variables changed"),
    ("run", RUN, {"cwd": "/app"}, 'the working directory changed "/src" -> "/app"'),
    ("run", RUN, {"user": "app"}, 'the user "app" was added'),
    ("run", RUN | {"user": "app"}, {"user": ""}, 'the user "app" was removed'),
    ("run", RUN, {"network": "none"}, 'the network mode changed "default" -> "none"'),
    ("run", RUN, {"hosts": ["db"]}, 'the list of extra hosts "db" was added'),
    ("run", RUN, {"scripts": [{"name": "EOF", "content": "x", "mode": 493}]}, "the here-document changed"),
    ("run", RUN, {"mounts": []}, "cache mount at `/root/.cache` was removed"),
    ("run", RUN, {"mounts": [*RUN["mounts"], {"type": "secret", "id": "token", "target": ""}]},
     "secret mount `token` was added"),
    ("run", RUN, {"mounts": [{"type": "cache", "target": "/root/.cache", "mode": 448}]},
     "cache mount at `/root/.cache` changed its mode"),
    ("run", RUN | {"mount:/src": "d1", "mount:/src.list": FILES}, {"mount:/src": "d2", "mount:/src.list": FILES[1:]},
     "in the mount at `/src`, 1 file removed: setup.cfg"),
    ("run", RUN | {"mount:/src": "d1"}, {"mount:/src": "d2"}, "what is mounted at `/src` changed"),
    ("run", RUN, {"parent": ["l1", "l2", "l9"]}, "the step before it produced a different layer"),
    ("run", RUN, {"parent": ["l1", "l8", "l9"]}, "an earlier step produced a different layer"),
    ("run", RUN, {"parent": ["l1", "l2"]}, "the number of steps before it changed"),
    ("run", RUN, {"parent": ["m1", "m2", "m3"], "base.list": ["debian:bookworm", "sha256:" + "cd" * 32]},
     "base image `debian:bookworm` changed: sha256:abababababab -> sha256:cdcdcdcdcdcd"),
    ("run", RUN, {"parent": ["m1", "m2", "m3"], "base.list": ["debian:trixie", "sha256:" + "cd" * 32]},
     "base image changed: `debian:bookworm` -> `debian:trixie`"),
    ("run", RUN, {"shm_size": 33554432}, '--shm-size "33554432" was added'),
    ("run", RUN | {"limits": {"memory": 1, "cpu_quota": 5, "memory_swap": 0}},
     {"limits": {"memory": 2, "cpu_quota": 0, "memory_swap": 0}},
     '--cpu-quota "5" was removed; --memory changed "1" -> "2"'),
    ("run", RUN, {"dns": {"servers": ["10.0.0.1"], "search": [], "options": ["a", "b"]}},
     '--dns-option "a" "b" was added; --dns "10.0.0.1" was added'),
    ("run", RUN | {"ulimits": [{"name": "nofile", "soft": 1, "hard": 2}]},
     {"ulimits": [{"name": "nofile", "soft": 1, "hard": 3}]}, '--ulimit changed "nofile=1:2" -> "nofile=1:3"'),
    ("run", RUN | {"confinement": {"seccomp": True, "no_new_privileges": False, "added": []}},
     {"confinement": {"seccomp": "ab" * 32, "no_new_privileges": True, "added": ["ALL"]}},
     '--cap-add "ALL" was added; --security-opt no-new-privileges was added; '
     '--security-opt seccomp changed "builtin" -> "abababababab"'),
    ("run", RUN, {"unheard": 1}, '`unheard` "1" was added'),
    ("run", RUN, {"argv": [*SHELL, "pip install b"], "user": "app", "parent": ["l1", "l2", "l9"]},
     'instruction changed: `pip install a` -> `pip install b`; the user "app" was added; '
     "the step before it produced a different layer"),
    ("run", RUN, {"argv": [*SHELL, "pip install b"], "user": "app", "cwd": "/", "network": "none", "hosts": ["x"],
                  "parent": ["l9"]},
     'instruction changed: `pip install a` -> `pip install b`; the working directory changed "/src" -> "/"; '
     'the list of extra hosts "x" was added; the network mode changed "default" -> "none"; and 2 more differences'),
    ("copy", COPY, {"files": "d2", "files.list": [["setup.cfg", "644 0:0 19"], ["src/a.py", "644 0:0 29"], FILES[2]]},
     "2 files changed: setup.cfg, src/a.py"),
    ("copy", COPY, {"files": "d2", "files.list": [*FILES, ["x", "644 0:0 1"]]}, "1 file added: x"),
    ("copy", COPY, {"files": "d2", "files.list": []}, "3 files removed: setup.cfg, src/a.py, src/b.py"),
    ("copy", COPY, {"files": "d2", "files.list": [FILES[0], ["src/a.py", "755 0:0 22"], FILES[2]]},
     "1 file changed its permissions: src/a.py (644 -> 755)"),
    ("copy", COPY, {"files": "d2", "files.list": [["setup.cfg", "100600 0:0 11"], ["src/a.py", "104755 0:0 22"],
                                                  FILES[2]]},
     "2 files changed their permissions: setup.cfg (644 -> 600), src/a.py (644 -> 4755)"),
    ("copy", COPY, {"files": "d2", "files.list": [FILES[0], ["src/a.py", "644 7:0 22"], FILES[2]]},
     "1 file changed its owner: src/a.py"),
    ("copy", COPY, {"files": "d2", "files.list": [FILES[0], ["src/b.py", "644 0:0 9"], ["c", "644 0:0 1"]]},
     "1 file changed: src/b.py; 1 file added: c; 1 file removed: src/a.py"),
    ("copy", COPY, {"files": "d2", "files.list": [*FILES, *many(17)]},
     "17 files added: f0, f1, f2, f3, f4 and 12 more"),
    ("copy", COPY, {"files": "d2", "files.list": [*FILES, ["\udcff.txt", "644 0:0 1"]]}, "1 file added: \ufffd.txt"),
    ("copy", {**COPY, "files.list": many(3000), "files": "d0"}, {"files": "d2", "files.list": many(2999)},
     "1 file removed: f2999"),
    ("copy", {**COPY, "files.list": [["a b", "644 0:0 1 a b"], ["c", "644 0:0 1 a b"]], "files": "d0"},
     {"files": "d2", "files.list": [["a b", "644 0:0 2 a b"], ["c", "644 0:0 2 a b"]]}, "2 files changed: a b, c"),
    ("copy", {**COPY, "files.list": [["a b", "644 0:0 1 a b"], ["c", "644 0:0 1 a b"]], "files": "d0"},
     {"files": "d2", "files.list": [["a b", "644 7:7 1 a b"], ["c", "600 7:7 1 a b"]]},
     "1 file changed its permissions: c (644 -> 600); 1 file changed its owner: a b"),
    ("copy", {**COPY, "files.list": [["a b", "644 0:0 1 a b"], ["c", "644 0:0 1 a b"]], "files": "d0"},
     {"files": "d2", "files.list": [["a b", "644 0:0 1"], ["c", "644 0:0 1"]]},
     "2 files changed their hard links: a b, c"),
    ("copy", COPY, {"files": "d2"}, "the files that it takes changed"),
    ("copy", COPY, {"destination": "/srv/"}, 'the destination changed "/app/" -> "/srv/"'),
    ("copy", COPY, {"owner": [1000, 1000]}, "the owner 1000:1000 was added"),
    ("copy", COPY, {"mode": "755"}, '--chmod "755" was added'),
    ("copy", COPY, {"parents": True}, "--parents was added"),
    ("copy", COPY, {"exclude": ["*.md"]}, '--exclude "*.md" was added'),
    ("copy", COPY, {"sources": [["src", "README"]], "words": [["src", "README"]]},
     "source paths changed: `src` -> `src README`"),
    ("copy", COPY, {"below": [["", "directory 0755 0:0"], ["app", "directory 0700 1:1"]]},
     "in the image below, `/app` was absent and is directory 0700 1:1"),
    ("copy", COPY, {"below": [["", "directory 0755 0:0"], ["app", "absent"], ["d", "unchanged"],
                              ["d/f", "as it is copied"], ["d/g", "as it is copied"]]},
     "in the image below, `/d/f` and 1 more began or ceased to be as it is copied"),
    ("makedirectory", {"path": "/app", "owner": [0, 0], "below": [["app", "absent"]]}, {"owner": [5, 5]},
     "the owner changed 0:0 -> 5:5"),
]


@pytest.mark.parametrize(("kind", "before", "change", "sentence"), CASES)
def test_difference(store: Store, kind: str, before: Parts, change: Parts, sentence: str) -> None:
    earlier = save(store, kind, before)
    assert Cache(store).explain(kind, {**before, **change}, [earlier]) == sentence


def save(store: Store, kind: str, parts: Parts) -> Attempt:
    with store.stage_layer() as staged:
        layer = staged.commit()
    key = key_of(kind, parts)
    Cache(store).save(key, kind, parts, layer, name="step")
    return Attempt(key)


def test_nothing_earlier(store: Store) -> None:
    save(store, "run", RUN | {"user": "other"})
    assert Cache(store).explain("run", RUN) == "no earlier build of this step", "nobody says that this is the step"


def test_the_first_attempt_that_is_known_is_compared(store: Store) -> None:
    far, near = save(store, "run", RUN | {"cwd": "/far", "user": "far"}), save(store, "run", RUN | {"cwd": "/near"})
    said = Cache(store).explain("run", RUN, [Attempt("0" * 64), near, far])
    assert said == 'the working directory changed "/near" -> "/src"'


def test_long_texts_are_shown_where_they_differ(store: Store) -> None:
    before = "apt-get update && apt-get install -y " + " ".join(f"package{n}" for n in range(30))
    earlier = save(store, "run", RUN | {"argv": [*SHELL, before]})
    after = RUN | {"argv": [*SHELL, before.replace("package17", "package99")]}
    assert Cache(store).explain("run", after, [earlier]) == (
        "instruction changed: `...15 package16 package17 package18 package19 package20 package...` -> "
        "`...15 package16 package99 package18 package19 package20 package...`")


def test_records_without_parts(store: Store) -> None:
    earlier = save(store, "run", {})
    store.db.execute("DELETE FROM documents")
    assert Cache(store).explain("run", RUN, [earlier]) == (
        "it is not known any more what the earlier build of this step was made of")


def like(change: Parts, name: str = "step", created: float = 0.0) -> Earlier:
    return Earlier({**RUN, **change}, lambda rows: rows, name, created)


def told(*candidates: Earlier, name: str = "step", others: tuple[str, ...] = ()) -> str:
    found = nearest("run", RUN, name, candidates, others)
    return explain(RUN, found) if found else ""


def test_same_name_comes_first() -> None:
    mine, other = like({"cwd": "/far", "user": "far", "parent": ["x"]}, "RUN mine"), like({"cwd": "/near"}, "RUN other")
    assert told(mine, other, name="RUN mine").startswith('the working directory changed "/far" -> "/src"')
    assert told(mine, other, name="RUN new") == 'the working directory changed "/near" -> "/src"'


def test_most_shared_parts_come_first_then_the_newest() -> None:
    one, two, three = like({"cwd": "/1"}), like({"cwd": "/2", "user": "x"}), like({"cwd": "/3"}, created=1.0)
    assert told(one, two) == 'the working directory changed "/1" -> "/src"'
    assert told(one, two, three) == 'the working directory changed "/3" -> "/src"'


def test_an_unlike_step_of_another_name_is_no_earlier_version() -> None:
    assert told(like({"argv": [*SHELL, "apt-get update"]}, "RUN apt-get update"), name="RUN pip install a") == ""
    assert told(like({"argv": [*SHELL, "pip install z"]}, "RUN pip install z"), name="RUN pip install a") == (
        "instruction changed: `pip install z` -> `pip install a`")


def test_a_step_beside_it_is_no_earlier_version() -> None:
    beside = like({"argv": [*SHELL, "pip install z"]}, "RUN pip install z")
    assert told(beside, name="RUN pip install a", others=("RUN pip install z",)) == ""
