"""F3, F11, F13, F14, F16: owners, homes, attributes, runtimes and the state root's file system."""

from __future__ import annotations

import os
from pathlib import Path

from .bases import Layer
from .check import NotApplicable, Verdict, check, right_if
from .lab import Lab, Tree, as_user, find_tool

CAPS = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".decode("latin-1")


@check("F3", "base", "rootless with one id: a base with other owners cannot be unpacked", "RUN true", "gshadow", "0:42")
@check("F3", "base-user", "the same for a file of another user", "RUN true", "owned", "1000:1000")
@check("F3", "copy-chown", "COPY --chown of another user", "COPY --chown=1000:42 f /f", "f", "1000:42")
@check("F3", "add-archive", "ADD of an archive with other owners", "ADD a.tar /", "a", "7:8")
def one_id(lab: Lab, line: str, path: str, owner: str) -> Verdict:
    lab.image("base", [Layer().file("gshadow", "x", 0o640, 0, 42).file("owned", "x", 0o600, 1000, 1000).done()])
    lab.put("f", "f")
    lab.put("a.tar", Layer().file("a", "a", 0o600, 7, 8).done())
    os.chown(lab.dir, 65534, 65534)
    archive = lab.dir / "tree.tar"
    done = lab.build(f"FROM base\n{line}\n", "-o", f"type=tar,dest={archive}", wrap=as_user(lab))
    if done.code:
        return right_if(False, done.last)
    seen = Tree(archive.read_bytes()).shown(path)
    return right_if(seen.endswith(f" {owner}"), seen)


@check("F11", "home", "a user with an empty home in /etc/passwd gets HOME=/", "USER nohome", "")
@check("F11", "home-of-app", "a user with a home", "USER app", "/home/app")
@check("F11", "home-unknown", "a user that is not in /etc/passwd", "USER 4242", "/")
def home(lab: Lab, user: str, expected: str) -> Verdict:
    seen = lab.tree(f'FROM base\nRUN chmod 777 /tmp\n{user}\nRUN echo "<$HOME>" > /tmp/h\n').text("tmp/h")
    return right_if(seen == f"<{expected}>", f"HOME={seen}")


@check("F13", "base", "type=tar loses file capabilities", "RUN true", "cap")
@check("F13", "copied", "type=tar loses them after COPY --from", "COPY --from=base /cap /copied", "copied")
def capabilities(lab: Lab, line: str, path: str) -> Verdict:
    lab.image("base", [Layer().file("cap", "x", 0o755, xattrs={"security.capability": CAPS}).done()])
    entry = lab.tree(f"FROM base\n{line}\n")[path]
    return right_if("SCHILY.xattr.security.capability" in entry.pax_headers,
                    f"pax headers: {sorted(entry.pax_headers)}")


@check("F13", "local", "type=local loses file capabilities")
def capabilities_local(lab: Lab) -> Verdict:
    lab.image("base", [Layer().file("cap", "x", 0o755, xattrs={"security.capability": CAPS}).done()])
    lab.build("FROM base\nRUN true\n", "-o", f"type=local,dest={lab.dir}/out")
    names = os.listxattr(lab.dir / "out" / "cap")
    return right_if("security.capability" in names, f"attributes: {names}")


@check("F14", "runc", "with pasta, --runtime runc fails every RUN", "runc")
@check("F14", "crun", "with pasta, --runtime crun fails every RUN", "crun")
def runtime_with_pasta(lab: Lab, runtime: str) -> Verdict:
    pasta, tool = find_tool("pasta"), find_tool(runtime)
    if not pasta or not tool:
        raise NotApplicable(f"{runtime} or pasta is not installed")
    path = os.pathsep.join([os.path.dirname(pasta), os.path.dirname(tool), os.environ["PATH"]])
    words = lab.build_args("FROM base\nRUN true\n")
    done = lab.call([*lab.command, "--root", str(lab.root), "--runtime", tool, *words, str(lab.context)],
                    env={"PATH": path})
    return right_if(done.code == 0, done.last)


OVERLAY = ('mount -t tmpfs t "$1" && mkdir -p "$1/l" "$1/u" "$1/w" "$1/m" && mount -t overlay -o '
           '"lowerdir=$1/l,upperdir=$1/u,workdir=$1/w" o "$1/m" && shift && exec "$@"')


@check("F16", "doctor", "doctor --root R promises overlayfs that R cannot have", "doctor")
@check("F16", "build", "a build that copies for want of overlayfs says nothing of it", "build")
def on_overlay(lab: Lab, what: str) -> Verdict:
    place = Path(lab.dir / "mounted")
    place.mkdir()
    wrap = ("unshare", "-m", "--propagation", "private", "sh", "-c", OVERLAY, "sh", str(place))
    if what == "build":
        done = lab.build("FROM base\nRUN true\nRUN true 2\n", root=place / "m" / "s", wrap=wrap)
        lines = [line for line in done.err.splitlines() if "copied" in line or "copies" in line or "overlay" in line]
        return right_if(done.code == 0 and len(lines) == 1, f"{len(lines)} lines: {(lines or [done.last])[0]}")
    here, there = lab.run("doctor"), lab.run("doctor", root=place / "m" / "s", wrap=wrap)
    differs = [line for line in there.out.splitlines() if line not in here.out and str(place) not in line.split()[0]]
    line = next((line for line in differs if "overlay" in line or "cop" in line), "")
    return right_if(bool(line), line or "the same as on a plain folder")
