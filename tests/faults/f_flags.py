"""F4, F6, F8, F9, F10, F15, F17: the command line and what it promises."""

from __future__ import annotations

from .check import Verdict, check, right_if
from .lab import Lab


@check("F4", "closed", "a build whose standard error is closed does nothing", "2>&-")
@check("F4", "full", "a build whose standard error is full does nothing", "2>/dev/full")
@check("F4", "all-closed", "a build without any standard stream", "<&- >&- 2>&-")
@check("F4", "reader-gone", "a build whose reader of standard error has gone",
       "2>&1 >/dev/null | true; [ ${PIPESTATUS[0]} = 0 ]")
@check("F4", "rawjson-full", "the same with --progress rawjson", "2>/dev/full", "rawjson")
def progress_lost(lab: Lab, redirection: str, progress: str = "plain") -> Verdict:
    words = lab.build_args("FROM base\nRUN echo x > /x\n", "--progress", progress,
                           "-o", f"type=oci,dest={lab.dir}/o.tar")
    done = lab.call(["bash", "-c", f'"$@" {redirection}', "bash", *lab.command, "--root", str(lab.root), *words,
                     str(lab.context)])
    made = (lab.dir / "o.tar").exists()
    return right_if(done.code == 0 and made, f"exit status {done.code}, {'an' if made else 'no'} image")


FAILURES = {"run": "FROM base\nRUN false\n", "parse": "FROM base\nRUNN x\n", "base": "FROM 127.0.0.1:1/none\n",
            "copy": "FROM base\nCOPY none /\n", "empty": ""}


def _iidfile(lab: Lab, dockerfile: str) -> Verdict:
    path = lab.dir / "iid"
    path.write_text("sha256:old")
    done = lab.build(dockerfile, "--iidfile", str(path))
    if not done.code:
        raise AssertionError("the build did not fail")
    return right_if(not path.exists(), "the old id is still there" if path.exists() else "removed")


for _name, _dockerfile in FAILURES.items():
    check("F6", _name, "a failed build leaves the old --iidfile", _dockerfile)(_iidfile)

ZEROS = "sha256:" + "0" * 64


def _refused(lab: Lab, *words: str) -> Verdict:
    done = lab.build("FROM base\nRUN true\n", *(word.replace("DIR", str(lab.dir)) for word in words))
    return right_if(done.said, done.last if done.code else "accepted")


for _name, _words in {
    "tag-and-digest": ("-t", f"app:1@{ZEROS}"), "digest": ("-t", f"app@{ZEROS}"),
    "registry": ("-t", f"127.0.0.1:5000/app:1@{ZEROS}"),
}.items():
    check("F8", _name, "the digest in -t is dropped without a word", *_words)(_refused)
for _name, _words in {
    "empty": ("--build-context", "x="), "missing": ("--build-context", "x=DIR/none"),
    "no-value": ("--build-context", "x"), "file": ("--build-context", "x=DIR/Dockerfile"),
}.items():
    check("F9", _name, "an unused --build-context that cannot be one passes", *_words)(_refused)


# what stands behind --secret -> whether docker takes it
SECRETS = {
    "quote-inside": ("id=a,src=DIR/x\"y'", False), "quote-inside-2": ('id=a,src="DIR/f"', False),
    "quoted-field": ('id=a,"src=DIR/f"', True), "doubled-quote": ('id=a,"src=DIR/q""q"', True),
    "open-quote": ('id=a,"src=DIR/f', False), "behind-quote": ('"id=a"x,src=DIR/f', False),
    "comma-in-quotes": ('id=a,"src=DIR/c,c"', True), "empty-field": ("id=a,,src=DIR/f", False),
    "no-value": ("id=a,src", False), "unknown-key": ("id=a,src=DIR/f,nope=1", False),
}


def _csv(lab: Lab, value: str, accepted: bool) -> Verdict:
    for name in ("f", 'q"q', "c,c", "x\"y'", '"DIR'):
        (lab.dir / name.replace("/", "_")).write_text("secret")
    done = lab.build("FROM base\nRUN --mount=type=secret,id=a cat /run/secrets/a > /dev/null\n", "--secret",
                     value.replace("DIR", str(lab.dir)))
    return right_if(done.code == 0 if accepted else done.said, "accepted" if done.code == 0 else done.last)


for _name, (_value, _accepted) in SECRETS.items():
    check("F10", f"secret-{_name}", f"CSV of --secret: must be {'taken' if _accepted else 'refused'}", _value,
          _accepted)(_csv)

OUTPUTS = {"quote": 'type=tar,dest=DIR/o"o', "open": 'type=tar,"dest=DIR/o'}
for _name, _value in OUTPUTS.items():
    check("F10", f"output-{_name}", "CSV of --output: must be refused", "-o", _value)(_refused)
check("F10", "cache-from-quote", "CSV of --cache-from: must be refused", "--cache-from", 'type=local,src=a"b')(_refused)


# size -> what `df` shows in KiB, None where docker refuses it
SIZES: dict[str, int | None] = {
    "1e9": 976564, "64m": 65536, "64M": 65536, "64MB": 65536, "64MiB": 65536, "64 mb": 65536, "1.5m": 1536, "65536": 64,
    "0x10": None, "1_000k": 1000, "m": None, "-1": None, "64mm": None, "1,5m": None, "١m": None, "+64m": 65536,
    ".5m": 512, "64 m b": None,
}


def _size(lab: Lab, size: str, expected: int | None) -> Verdict:
    archive = lab.dir / "size.tar"
    done = lab.build("FROM base\nRUN df -k /dev/shm | tail -1 | sed 's/  */ /g' | cut -d' ' -f2 > /s\n",
                     f"--shm-size={size}", "-o", f"type=tar,dest={archive}")
    if done.code or expected is None:
        return right_if(done.said and expected is None, done.last if done.code else "accepted")
    from .lab import Tree
    seen = Tree(archive.read_bytes()).text("s")
    return right_if(seen == str(expected), f"{seen} KiB")


for _size_text, _kib in SIZES.items():
    check("F10", f"size-{_size_text.replace(' ', '_')}", f"--shm-size {_size_text}", _size_text, _kib)(_size)

SYNTAX = {
    "foreign": ("# syntax=example.com/some/language:1\nFROM base\n", "example.com/some/language"),
    "foreign-hub": ("# syntax=r2d4/mocker\nFROM base\n", "mocker"),
    "old-heredoc": ("# syntax=docker/dockerfile:1.0\nFROM base\nRUN <<EOF\ntrue\nEOF\n", "1.0"),
    "old-link": ("# syntax=docker/dockerfile:1.0\nFROM base\nCOPY --link f /\n", "1.0"),
    "old-mount": ("# syntax=docker/dockerfile:1.1\nFROM base\nRUN --mount=type=cache,target=/c true\n", "1.1"),
    "foreign-slashes": ("// syntax=example.com/some/language:1\nFROM base\n", ""),
}


def _syntax(lab: Lab, dockerfile: str, named: str) -> Verdict:
    lab.put("f", "f")
    done = lab.build(dockerfile)
    told = named in done.err.split("RUN ")[0] or any(
        named in line and ("warn" in line.lower() or "error" in line.lower() or line.startswith(" - "))
        for line in done.err.splitlines())
    return right_if(told if named else True, done.last if told else "not a word about it")


for _name, (_dockerfile, _named) in SYNTAX.items():
    if _named and _name != "old-mount":
        check("F15", _name, "a # syntax= of another language or level is not looked at", _dockerfile, _named)(_syntax)


@check("F15", "usual", "docker's own frontends are still taken")
def usual_syntax(lab: Lab) -> Verdict:
    for name in ("docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "docker/dockerfile-upstream:master"):
        if (done := lab.build(f"# syntax={name}\nFROM base\nRUN true\n")).code:
            return right_if(False, f"{name}: {done.last}")
    return right_if(True, "taken")


WITHOUT_EFFECT = {
    "log-format": (("--log-format", "json"), "log-format"),
    "unpack": (("-o", "type=image,name=app:1,unpack=true"), "unpack"),
    "dangling-name-prefix": (("-o", "type=image,dangling-name-prefix=dangling"), "dangling-name-prefix"),
    "isolation": (("--isolation", "chroot"), "isolation"),
    "multi-platform": (("--build-arg", "BUILDKIT_MULTI_PLATFORM=1"), "BUILDKIT_MULTI_PLATFORM"),
    "attest-attribute": (("--attest", "type=provenance,disabled=true,mode=max"), "mode"),
    "attest-generator": (("--attest", "type=sbom,disabled=true,generator=example.com/x"), "generator"),
    "attest-nonsense": (("--attest", "type=sbom,disabled=true,nonsense=1"), "nonsense"),
}


def _effect(lab: Lab, words: tuple[str, ...], name: str) -> Verdict:
    archive = lab.dir / "o"
    extra = ("-o", f"type=oci,tar=false,dest={archive}") if name == "BUILDKIT_MULTI_PLATFORM" else ()
    done = lab.build("FROM base\nRUN true\n", *words, *extra)
    if done.code:
        return right_if(done.said and name in done.err, done.last)
    index = (archive / "index.json").read_text() if archive.exists() else "manifests"
    honoured = {"log-format": done.err.lstrip().startswith("{"),
                "dangling-name-prefix": "dangling" in lab.run("images", "--digests").out,
                "BUILDKIT_MULTI_PLATFORM": "image.index" in index.split("manifests", 1)[1]}.get(name, False)
    return right_if(honoured, "honoured" if honoured else "accepted without effect")


for _name, (_words, _named) in WITHOUT_EFFECT.items():
    check("F17", _name, "accepted without effect", _words, _named)(_effect)
