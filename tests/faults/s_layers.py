"""S3, S4: members of a layer that take the place of a directory which the layer only passed through."""

from __future__ import annotations

import os
from collections.abc import Callable

from .bases import Layer
from .check import Verdict, check, right_if
from .lab import Lab, Tree

LOWER = Layer().dir("foo", 0o4777, 1234, 1234).file("foo/bar", "bar").dir("foo/sub", 0o1711, 77, 77).file(
    "foo/sub/deep", "deep").done()
"""What lies below: directories with odd modes and owners."""


def _through_link(lab: Lab, make: Callable[[Layer, str], Layer], added: bool) -> Verdict:
    upper = make(Layer(), str(lab.canary())).done()
    if added:
        lab.image("low", [LOWER])
        lab.put("upper.tar", upper)
        dockerfile = "FROM low\nADD upper.tar /\nRUN ls -laR /foo; true\n"
    else:
        lab.image("low", [LOWER, upper])
        dockerfile = "FROM low\nRUN ls -laR /foo; true\n"
    done = lab.build(dockerfile)
    changed = lab.canary_changes()
    if changed or done.is_internal:
        return right_if(False, changed or done.last)
    return right_if(True, "the canary is as it was" + (f"; refused: {done.last}" if done.code else ""))


LINKS: dict[str, Callable[[Layer, str], Layer]] = {
    "file": lambda layer, host: layer.file("foo/new", "n").link("foo", f"{host}/secret"),
    "dir": lambda layer, host: layer.file("foo/new", "n").link("foo", host),
    "relative": lambda layer, host: layer.file("foo/new", "n").link("foo", "../" * 20 + host.lstrip("/")),
    "above": lambda layer, host: layer.file("foo/sub/new", "n").link("foo", os.path.dirname(host)),
    "below": lambda layer, host: layer.file("foo/sub/new", "n").link("foo/sub", f"{host}/secret"),
    "after-whiteout": lambda layer, host: layer.file("foo/.wh.bar").link("foo", f"{host}/secret"),
    "after-removal": lambda layer, host: layer.file("foo/new", "n").file(".wh.foo").link("foo", host),
    "two-steps": lambda layer, host: layer.file("foo/sub/new", "n").link("l", host).link("foo", "l"),
    "name-in-dir": lambda layer, host: layer.file("foo/secret/new", "n").link("foo", host),
    "hard-link-of-link": lambda layer, host: layer.file("foo/new", "n").link("l", f"{host}/secret").hard("foo", "l"),
}
for _name, _make in LINKS.items():
    check("S3", f"link-{_name}", "a layer passes through a directory, then puts a link there: the host's file changes",
          _make, False)(_through_link)
    check("S3", f"add-link-{_name}", "the same members in an archive for ADD", _make, True, slow=True)(_through_link)


@check("S3", "hard-link-through", "a hard link through a directory that became a link to the host")
def hard_link_through(lab: Lab) -> Verdict:
    upper = Layer().file("foo/new", "n").link("foo", str(lab.canary())).hard("taken", "foo/secret").done()
    lab.image("low", [LOWER, upper])
    done = lab.build("FROM low\nRUN cat /taken; echo pwned > /taken; true\n")
    changed = lab.canary_changes()
    return right_if(not changed and "HOST-SECRET" not in done.err, changed or done.last)


def _in_place(lab: Lab, expected: str, make: Callable[[Layer], Layer]) -> Verdict:
    lab.image("low", [LOWER, make(Layer()).done()])
    archive = lab.dir / "tree.tar"
    done = lab.build("FROM low\n", "-o", f"type=tar,dest={archive}")
    if done.code:
        return right_if(expected == "refused" and done.said and "error[system]" not in done.err,
                        done.err.strip().splitlines()[-2] if "error[" in done.err else done.last)
    tree = Tree(archive.read_bytes())
    seen = ", ".join(f"{word.split('=')[0]}={tree.shown(word.split('=')[0])}" for word in expected.split(", "))
    return right_if(seen == expected, seen)


# what is in the second layer -> what is there in the end, as with Docker
ORDERS: dict[str, tuple[str, Callable[[Layer], Layer]]] = {
    "file": ("foo=file 600 0:0", lambda layer: layer.file("foo/.wh.bar").file("foo", "secret", 0o600)),
    "file-after-file": ("foo=file 600 0:0", lambda layer: layer.file("foo/new").file("foo", "secret", 0o600)),
    "fifo": ("foo=fifo 600 0:0", lambda layer: layer.file("foo/.wh.bar").fifo("foo")),
    "link": ("foo=link 777 0:0", lambda layer: layer.file("foo/new").link("foo", "/etc")),
    "hard-link": ("foo=file 600 0:0", lambda layer: layer.file("a", "x", 0o600).file("foo/new").hard("foo", "a")),
    "later-entry": ("foo=dir 700 5:6, foo/new=file 644 0:0",
                    lambda layer: layer.file("foo/new").dir("foo", 0o700, 5, 6)),
    "earlier-entry": ("foo=dir 700 5:6, foo/new=file 644 0:0",
                      lambda layer: layer.dir("foo", 0o700, 5, 6).file("foo/new")),
    "no-entry": ("foo=dir 4777 1234:1234, foo/bar=file 644 0:0, foo/new=file 644 0:0",
                 lambda layer: layer.file("foo/new")),
    "no-entry-deep": ("foo=dir 4777 1234:1234, foo/sub=dir 1711 77:77, foo/sub/new=file 644 0:0",
                      lambda layer: layer.file("foo/sub/new")),
    "inner-file": ("foo=dir 4777 1234:1234, foo/sub=file 600 0:0",
                   lambda layer: layer.file("foo/sub/new").file("foo/sub", "s", 0o600)),
    "upper-file": ("foo=file 600 0:0", lambda layer: layer.file("foo/sub/new").file("foo", "s", 0o600)),
    "new-tree": ("n=file 600 0:0", lambda layer: layer.file("n/a/b").file("n", "s", 0o600)),
    "file-then-dir": ("foo=dir 700 5:6, foo/in=file 600 0:0",
                      lambda layer: layer.file("foo/new").file("foo", "f", 0o600).dir("foo", 0o700, 5, 6).file(
                          "foo/in", "i", 0o600)),
    "file-then-below": ("foo=file 600 0:0", lambda layer: layer.file("foo/new").file("foo", "f", 0o600).file(
        "x", "i", 0o600)),
    "whiteout-only": ("foo=dir 4777 1234:1234, foo/bar=absent, foo/sub=dir 1711 77:77",
                      lambda layer: layer.file("foo/.wh.bar")),
    "opaque": ("foo=dir 4777 1234:1234, foo/bar=absent", lambda layer: layer.file("foo/.wh..wh..opq")),
}
for _name, (_expected, _order) in ORDERS.items():
    check("S4", _name, "what replaces a directory on the way gets that directory's mode, or an error",
          _expected, _order)(_in_place)
