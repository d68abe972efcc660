"""S11, S12, S14: files that come out, odd values that end in an internal error, escapes for the terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time

from .bases import MANIFEST, Image, Layer, busybox_layer, digest, write_blobs, write_layout
from .check import Verdict, check, right_if
from .lab import Done, Lab, machine


@check("S11", "local-mode", "type=local writes setuid files and devices into a folder that all may enter", "out")
@check("S11", "local-mode-nested", "the same below folders that are made on the way", "a/b/out")
def local_mode(lab: Lab, name: str) -> Verdict:
    target = lab.dir / name
    lab.image("evil", [Layer().file("suid", "x", 0o4755).member("dev-null", b"3", mode=0o666).done()])
    done = lab.build("FROM evil\n", "-o", f"type=local,dest={target}")
    if done.code:
        raise AssertionError(done.last)
    mode = target.stat().st_mode & 0o777
    return right_if(mode == 0o700, f"mode {mode:o}")


def in_words(done: Done) -> Verdict:
    """Right unless it is an internal error; the command may also succeed."""
    return right_if(not done.is_internal and (done.code == 0 or done.said), done.last)


@check("S12", "nested-manifest", "a manifest of 200,000 nested brackets", "manifest")
@check("S12", "nested-config", "a config of 200,000 nested brackets", "config")
@check("S12", "nested-index", "an index.json of 200,000 nested brackets", "index")
@check("S12", "nested-objects", "a manifest of nested objects", "objects")
def nested(lab: Lab, where: str) -> Verdict:
    bomb = b'{"a":' * 200_000 + b"1" + b"}" * 200_000 if where == "objects" else b"[" * 200_000 + b"]" * 200_000
    image = Image([busybox_layer()], arch=machine())
    layout = lab.dir / "layout"
    kind = "config" if where == "config" else "manifest"
    if where == "index":
        write_layout(layout, image, index=bomb)
    else:
        document = b'{"schemaVersion":2,"mediaType":"%s","config":%%s,"layers":[]}' % MANIFEST.encode()
        data = document % bomb
        if kind == "config":
            write_blobs(layout, {digest(bomb): bomb})
            data = document % (b'{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d}' % (
                digest(bomb).encode(), len(bomb)))
        entry = f'{{"mediaType":"{MANIFEST}","digest":"{digest(data)}","size":{len(data)}}}'
        write_layout(layout, image, index=f'{{"schemaVersion":2,"manifests":[{entry}]}}'.encode())
        write_blobs(layout, {digest(data): data})
    done = lab.build("FROM odd\n", "--build-context", f"odd=oci-layout://{layout}")
    return right_if(done.said, done.last)


NULS = {
    "copy": "COPY a\0b /x", "copy-target": "COPY f /x\0y", "add": "ADD f\0 /x", "run": "RUN echo a\0b",
    "run-exec": 'RUN ["echo", "a\\u0000b"]', "env": "ENV A=a\0b\nRUN true", "arg": "ARG A=a\0b\nRUN true",
    "workdir": "WORKDIR /a\0b", "user": "USER a\0b\nRUN true", "label": "LABEL a=b\0c", "cmd": "CMD a\0b",
    "volume": "VOLUME /a\0b", "from": "FROM a\0b", "copy-from": "COPY --from=a\0b / /x",
    "chown": "COPY --chown=a\0b f /x",
    "mount-target": "RUN --mount=type=cache,target=/a\0b true",
    "mount-source": "RUN --mount=source=a\0b,target=/x true",
    "heredoc": "COPY <<EOF /x\0y\nhi\nEOF", "shell": 'SHELL ["/bin/sh\\u0000", "-c"]\nRUN true',
}


def _nul(lab: Lab, line: str) -> Verdict:
    lab.put("f", "f")
    return in_words(lab.build(f"FROM base\n{line}\n"))


for _name, _line in NULS.items():
    check("S12", f"nul-{_name}", "a NUL byte in an instruction", _line)(_nul)


EPOCHS = {"milliseconds": "1700000000000", "huge": "99999999999999999999", "year-10000": "253402300800",
          "negative": "-1", "negative-huge": "-62135596801", "not-a-number": "1e9", "float": "1.5", "empty": ""}


def _epoch(lab: Lab, value: str, how: str) -> Verdict:
    args = {"arg": ["--build-arg", f"SOURCE_DATE_EPOCH={value}"], "flag": [f"--source-date-epoch={value}"],
            "timestamp": [f"--timestamp={value}"], "env": []}[how]
    output = ("-o", f"type=oci,dest={lab.dir}/o.tar,rewrite-timestamp=true")
    return in_words(lab.build("FROM base\nRUN echo x > /f\n", *args, *output,
                              env={"SOURCE_DATE_EPOCH": value} if how == "env" else {}))


for _name, _value in EPOCHS.items():
    check("S12", f"epoch-{_name}", "an odd SOURCE_DATE_EPOCH", _value, "arg")(_epoch)
for _how in ("flag", "timestamp", "env"):
    check("S12", f"epoch-by-{_how}", "SOURCE_DATE_EPOCH in milliseconds", "1700000000000", _how)(_epoch)


def on_terminal(lab: Lab, *args: str, seconds: float = 60) -> bytes:
    """What `builder ARGS` writes on a terminal of 100 columns."""
    parent, child = pty.openpty()
    process = subprocess.Popen([*lab.command, "--root", str(lab.root), *args], stdin=child, stdout=child, stderr=child,
                               env=lab.env({"TERM": "xterm-256color", "COLUMNS": "100"}), cwd=lab.dir,
                               start_new_session=True)
    os.close(child)
    said, end = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if select.select([parent], [], [], 0.2)[0]:
                try:
                    said += os.read(parent, 65536)
                except OSError:
                    break
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    return said


ESCAPES = {
    "title": (r"\033]0;evil\007", b"\x1b]0;"), "clipboard": (r"\033]52;c;ZXZpbA==\007", b"\x1b]52"),
    "dcs": (r"\033P+q544e\033\\", b"\x1bP"), "apc": (r"\033_evil\033\\", b"\x1b_"),
    "c1-osc": (r"\302\2350;evil\007", "\x9d".encode()), "hyperlink": (r"\033]8;;http://x\007", b"\x1b]8;"),
    "clear": (r"\033[2J", b"\x1b[2J"), "alternate-screen": (r"\033[?1049h", b"\x1b[?1049h"),
    "report": (r"\033[6n", b"\x1b[6n"),
}


def _escape(lab: Lab, printed: str, raw: bytes, how: str) -> Verdict:
    words = lab.build_args(f"FROM base\nRUN printf 'a{printed}b\\n'; sleep 1\n", "--progress",
                           "tty" if how == "tty" else "plain")
    said = on_terminal(lab, *words, str(lab.context))
    if how == "logs":
        said = on_terminal(lab, "logs")
    if b"a" not in said:
        raise AssertionError("nothing was printed")
    return right_if(raw not in said, f"{how}: {'raw escape' if raw in said else 'no raw escape'} on the terminal")


for _name, (_printed, _raw) in ESCAPES.items():
    check("S14", f"escape-{_name}", "a step's escape reaches the terminal (plain)", _printed, _raw, "plain")(_escape)
for _how in ("logs", "tty"):
    check("S14", f"escape-in-{_how}", f"a step's escape reaches the terminal ({_how})", *ESCAPES["clipboard"],
          _how)(_escape)


@check("S14", "bake-layout", "bake reads an oci-layout:// folder outside without being allowed to",
       "oci-layout://", False)
@check("S14", "bake-layout-tag", "the same with a tag behind it", "oci-layout://:latest", False)
@check("S14", "bake-layout-link", "the same through a link in the folder", "link", False)
@check("S14", "bake-layout-allowed", "bake with --allow fs.read still reads it", "oci-layout://", True)
def bake_layout(lab: Lab, how: str, allowed: bool) -> Verdict:
    layout = lab.image("base", [])
    work = lab.dir / "work"
    work.mkdir()
    (work / "Dockerfile").write_text("FROM x\nCMD [\"hi\"]\n")
    (work / "link").symlink_to(layout)
    place = {"link": "oci-layout://./link", "oci-layout://": f"oci-layout://{layout}"}.get(
        how, f"oci-layout://{layout}:latest")
    (work / "docker-bake.json").write_text(json.dumps({"target": {"default": {"contexts": {"x": place}}}}))
    done = lab.run("bake", *(["--allow", f"fs.read={layout}"] if allowed else []), cwd=work)
    if allowed:
        return right_if(done.code == 0, done.last)
    return right_if(done.said and "fs.read" in done.err, done.last if done.code else "built")
