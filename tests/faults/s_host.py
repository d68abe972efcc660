"""S1: what an image or a context names is never looked up by the host's rules. S2: whose cache a mount gets."""

from __future__ import annotations

import os

from .bases import Layer
from .check import Verdict, check, right_if
from .lab import Lab, as_user

SHOW = "cat /x/secret /x /x/*/secret /x/*/*/secret 2>/dev/null; ls -R /x"


def _verdict(lab: Lab, dockerfile: str, expected: str | None, *args: str, onto: str = "/out") -> Verdict:
    """Fault if the build shows or changes the canary; `expected`: words its output must be, None: it may be refused."""
    done = lab.build(dockerfile + "FROM scratch AS files\nCOPY --from=steps /out /out\n", *args,
                     "-o", f"type=local,dest={lab.dir}/files")
    out = lab.dir / "files" / "out"
    said = out.read_text(errors="replace") if out.is_file() else ""
    changed = lab.canary_changes()
    if "HOST-SECRET" in said or changed:
        return right_if(False, changed or f"the step reads the host's file through {onto}")
    if done.is_internal:
        return right_if(False, f"internal error: {done.last}")
    if expected is None:
        return right_if(True, f"refused: {done.last}" if done.code else f"a step sees {said or 'nothing'}")
    return right_if(done.code == 0 and said.split() == expected.split(), said if done.code == 0 else done.last)


# source of a cache or bind mount -> how to make it (CANARY is the host's folder), and what /x lists
SOURCES = (
    ("absolute-link", "mkdir /d && ln -s CANARY /d/l && ln -s /d /l", "/l", "l"),
    ("relative-link", "mkdir /d && ln -s CANARY /d/l && ln -s d /l", "/l", "l"),
    ("two-links", "mkdir -p /d && ln -s CANARY /d/l && ln -s /d /m && ln -s m /l", "/l", "l"),
    ("deep-link", "mkdir -p /d /a/b && ln -s CANARY /d/l && ln -s ../../d /a/b/l", "/a/b/l", "l"),
    ("link-in-parent", "mkdir -p /d/s && ln -s CANARY /d/s/s && ln -s /d /p", "/p/s", "s"),
    ("relative-out", "mkdir -p /d && ln -s ../../../../../../../../..CANARY /d/l && ln -s /d /l", "/l", "l"),
)


def _mounted_link(lab: Lab, kind: str, prepare: str, source: str, expected: str) -> Verdict:
    prepare = prepare.replace("CANARY", str(lab.canary()))
    write = "touch /x/pwned; " if kind == "cache" else ""
    return _verdict(lab, f"FROM base AS b\nRUN {prepare}\nFROM base AS steps\n"
                    f"RUN --mount=type={kind},from=b,source={source},target=/x "
                    f"(cat /x/secret /x/*/secret 2>/dev/null; ls /x) > /out; {write}true\n", expected)


for _name, _prepare, _source, _expected in SOURCES:
    check("S1", f"cache-{_name}", "the source of a cache mount with from= is a link: the host is mounted",
          "cache", _prepare, _source, _expected)(_mounted_link)
    check("S1", f"bind-{_name}", "the same source for a bind mount with from=",
          "bind", _prepare, _source, _expected)(_mounted_link)


@check("S1", "cache-host-path", "a cache's source is a link to a path of the host that the image has not", "cache")
@check("S1", "bind-host-path", "a bind's source is a link to a path of the host that the image has not", "bind")
def link_to_host_path(lab: Lab, kind: str) -> Verdict:
    return _verdict(lab, f"FROM base AS b\nRUN ln -s {lab.canary()} /l\nFROM base AS steps\n"
                    f"RUN --mount=type={kind},from=b,source=/l,target=/x {SHOW} > /out; true\n", None)


@check("S1", "cache-link-to-file", "a cache's source is a link to a file of that name elsewhere")
def cache_link_to_file(lab: Lab) -> Verdict:
    return _verdict(lab, f"FROM base AS b\nRUN mkdir /d && ln -s {lab.canary()}/secret /d/l && ln -s /d /l\n"
                    "FROM base AS steps\nRUN --mount=type=cache,from=b,source=/l,target=/x "
                    "(cat /x /x/l 2>/dev/null; ls /x; echo pwned >> /x/l) > /out; true\n", None)


@check("S1", "cache-onbuild", "a base image mounts the host by ONBUILD")
def cache_by_onbuild(lab: Lab) -> Verdict:
    canary = str(lab.canary()).strip("/")
    lab.image("other", [Layer().dir("d").link("d/l", f"/{canary}").link("l", "/d").done()])
    lab.image("evil", [], {
        "OnBuild": ["RUN --mount=type=cache,from=other,source=/l,target=/x "
                    "(cat /x/secret 2>/dev/null; ls /x) > /out; touch /x/pwned; true"]})
    return _verdict(lab, "FROM evil AS steps\n", "l")


@check("S1", "cache-image", "the link comes from an image that from= names")
def cache_from_image(lab: Lab) -> Verdict:
    lab.image("evil", [Layer().dir("d").link("d/l", str(lab.canary())).link("l", "d").done()])
    return _verdict(lab, "FROM base AS steps\nRUN --mount=type=cache,from=evil,source=/l,target=/x "
                    "(cat /x/secret 2>/dev/null; ls /x) > /out; touch /x/pwned; true\n", "l")


@check("S1", "cache-context", "the link is in a named context that from= names", "cache")
@check("S1", "bind-named-context", "a bind mount of a named context whose source is a link", "bind")
def mount_from_context(lab: Lab, kind: str) -> Verdict:
    other = lab.dir / "other"
    (other / "d").mkdir(parents=True)
    (other / "d" / "l").symlink_to(lab.canary())
    (other / "l").symlink_to("d")
    return _verdict(lab, f"FROM base AS steps\nRUN --mount=type={kind},from=c,source=/l,target=/x "
                    "(cat /x/secret /x/l/secret 2>/dev/null; ls /x) > /out; touch /x/pwned; true\n", None,
                    "--build-context", f"c={other}")


@check("S1", "bind-context", "a bind mount of the context whose source is a link out of it", "l")
@check("S1", "bind-context-whole", "a bind mount of the whole context, which holds a link out of it", "/")
def bind_of_context(lab: Lab, source: str) -> Verdict:
    lab.put("f")
    (lab.context / "l").symlink_to(lab.canary())
    return _verdict(lab, f"FROM base AS steps\nRUN --mount=type=bind,source={source},target=/x,rw "
                    "(cat /x/secret /x/l/secret 2>/dev/null; ls /x) > /out; touch /x/l/pwned /x/pwned; true\n", None)


@check("S1", "target-link-bind", "the target of a bind mount lies behind a link to a path of the host",
       "bind,from=b,rw")
@check("S1", "target-link-cache", "the target of a cache mount lies behind such a link", "cache")
@check("S1", "target-link-tmpfs", "the target of a tmpfs mount lies behind such a link", "tmpfs")
@check("S1", "target-link-secret", "the target of a secret lies behind such a link", "secret,id=s")
def target_behind_link(lab: Lab, mount: str) -> Verdict:
    secret = lab.put("s", "value")
    return _verdict(lab, f"FROM base AS b\nFROM base AS steps\nRUN ln -s {lab.canary()} /t\n"
                    f"RUN --mount=type={mount},target=/t/x (cat /t/secret; ls /t) > /out 2>&1; touch /t/pwned; true\n",
                    None, "--secret", f"id=s,src={secret}")


def _rootless(lab: Lab) -> Verdict:
    os.chown(lab.dir, 65534, 65534)
    lab.image("base", [], user=0)
    canary = lab.canary()
    canary.chmod(0o755)
    (canary / "secret").chmod(0o644)
    done = lab.build(f"FROM base AS b\nRUN mkdir /d && ln -s {canary} /d/l && ln -s /d /l\nFROM base AS steps\n"
                     "RUN --mount=type=cache,id=x,from=b,source=/l,target=/x cat /x/secret; ls /x\n", wrap=as_user(lab))
    if done.code and "HOST-SECRET" not in done.err:
        raise AssertionError(f"the build failed: {done.last}")
    taken = "HOST-SECRET" in done.err
    return right_if(not taken, "the step reads the user's file" if taken else "l")


def _shared_cache(lab: Lab, planted: str, mount: str) -> Verdict:
    """A first build writes into the cache `planted`, a second one reads what `mount` has."""
    lab.image("victim", [Layer().dir("etc/x").file("etc/x/f", "good\n").done()])
    lab.tree("FROM victim\nRUN true\n")
    names = sorted(os.listdir(lab.root / "layers"))
    stacks = [f"{a},{b}" for a in names for b in names if a != b] if "LAYER" in planted else [""]
    for number, stack in enumerate(stacks):
        lab.build('FROM base\nARG S=" "\n'
                  f'RUN --mount=type=cache,\\"id={planted.replace("LAYER", stack)}\\",target=/x '
                  f"echo {number}; ls /x; echo evil > /x/f\n")
    seen = lab.tree(f"FROM base\nRUN --mount=type=cache,{mount},target=/x cat /x/f > /out || echo none > /out\n")
    return right_if("evil" not in seen.text("out"), f"the second build finds {seen.text('out')}")


check("S2", "id-with-source", "an id= spells the cache that from= makes, and plants its content",
      "pw@LAYER/etc/x", "id=pw,from=victim,source=/etc/x")(_shared_cache)
check("S2", "id-with-owner", "an id= spells a cache that mode= and uid= make apart",
      "pw${S}mode=700,uid=0,gid=0", "id=pw,mode=0700,uid=0")(_shared_cache)
check("S2", "id-with-source-and-owner", "an id= spells a cache of from= with an owner",
      "pw@LAYER/${S}mode=700,uid=0,gid=0", "id=pw,from=victim,mode=0700")(_shared_cache)


@check("S2", "source-in-id", "an id= with @ and a source= spell another id= and source=")
def source_in_id(lab: Lab) -> Verdict:
    lab.image("victim", [Layer().dir("a").dir("a/b").file("a/b/f", "good\n").dir("b").file("b/f", "other\n").done()])
    step = "FROM base\nRUN --mount=type=cache,id=q,from=victim,source={},target=/x cat /x/f >/out\n"
    first, second = (lab.tree(step.format(source)).text("out") for source in ("/a/b", "/b"))
    return right_if((first, second) == ("good", "other"), f"two sources of one id give {first} and {second}")


check("S1", "cache-rootless", "the same without root: the user's files are mounted")(_rootless)
