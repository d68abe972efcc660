"""S6, S8: a state root that is not root's own, and trees that are hard to remove."""

from __future__ import annotations

import os
import subprocess

from .check import Verdict, check, right_if
from .lab import Lab

NOBODY = 65534


@check("S6", "owner", "root builds in a state root that another user owns", "root")
@check("S6", "owner-of-folder", "a folder of the state root belongs to another user", "layers")
@check("S6", "owner-of-stage", "the folder of unfinished things belongs to another user", "stage")
@check("S6", "owner-of-git", "the folder of git mirrors belongs to another user", "git")
@check("S6", "writable", "the state root may be written by everybody", "writable")
@check("S6", "link", "a folder of the state root is a link to elsewhere", "link")
@check("S6", "blobs-link", "the folder of blobs is a link to elsewhere", "blobs-link")
@check("S6", "other-commands", "other commands use another user's state root", "prune")
def foreign_root(lab: Lab, what: str) -> Verdict:
    if lab.build("FROM base\nRUN true\n").code:
        raise AssertionError("the first build failed")
    match what:
        case "root" | "prune":
            os.chown(lab.root, NOBODY, NOBODY)
        case "writable":
            lab.root.chmod(0o777)
        case "link" | "blobs-link":
            name = {"link": "layers", "blobs-link": "blobs/sha256"}[what]
            elsewhere = lab.dir / "elsewhere"
            elsewhere.mkdir()
            os.chown(elsewhere, NOBODY, NOBODY)
            for each in os.listdir(lab.root / name):
                os.rename(lab.root / name / each, elsewhere / each)
            os.rmdir(lab.root / name)
            (lab.root / name).symlink_to(elsewhere)
        case folder:
            (lab.root / folder).mkdir(exist_ok=True)
            os.chown(lab.root / folder, NOBODY, NOBODY)
    done = lab.run("prune", "-a", "-f") if what == "prune" else lab.build("FROM base\nRUN echo two > /f\n")
    return right_if(done.said, f"refused: {done.last}" if done.said else f"used, exit status {done.code}")


@check("S6", "new-root", "a state root that is made anew is open to others")
def new_root(lab: Lab) -> Verdict:
    lab.run("images")
    lab.build("FROM base\nRUN true\n")
    mode = lab.root.stat().st_mode & 0o777
    return right_if(mode & 0o022 == 0, f"mode {mode:o}")


@check("S6", "git-config", "a planted configuration of a git mirror runs a program as root", seconds=90)
def git_config(lab: Lab) -> Verdict:
    work = lab.dir / "work"
    work.mkdir()
    (work / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
        lab.call([*git, *words])
    lab.call(["git", "clone", "-q", "--bare", str(work), str(lab.dir / "served.git")])
    daemon = subprocess.Popen(["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", "--port=19418", "--export-all",
                               f"--base-path={lab.dir}", str(lab.dir)], stderr=subprocess.DEVNULL)
    try:
        url = "git://127.0.0.1:19418/served.git#main"
        lab.call(["sh", "-c", "for i in $(seq 50); do nc -z 127.0.0.1 19418 && break; sleep 0.1; done"])
        if (first := lab.run("build", "--progress", "plain", url)).code:
            raise AssertionError(f"the first build failed: {first.last}")
        script = lab.dir / "planted"
        script.write_text(f"#!/bin/sh\ntouch {lab.dir}/ran-as-root\nexit 1\n")
        script.chmod(0o755)
        for config in (lab.root / "git").rglob("config"):
            config.write_text(config.read_text() + f"[core]\n\tgitProxy = {script}\n\tfsmonitor = {script}\n"
                              f"\tsshCommand = {script}\n")
        for path in [lab.root, *lab.root.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        (work / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /two\n")
        lab.call([*git, "commit", "-qam", "two"])
        lab.call([*git, "push", "-q", str(lab.dir / "served.git"), "main"])
        done = lab.run("build", "--progress", "plain", url)
    finally:
        daemon.terminate()
        daemon.wait()
    ran = (lab.dir / "ran-as-root").exists()
    return right_if(not ran and done.said, "the planted program ran as root" if ran else done.last)


@check("S8", "deep-names", "a step leaves directories with long names below one another, which stay for ever",
       1500, 200, seconds=120)
@check("S8", "deep-short", "a step leaves very many directories below one another", 5000, 8, seconds=120, slow=True)
@check("S8", "example", "8,000 directories of 200-byte names", 8000, 200, seconds=300, slow=True)
def deep_tree(lab: Lab, depth: int, length: int) -> Verdict:
    name = "d" * length
    done = lab.build("FROM base\nRUN cd /tmp; i=0; while [ $i -lt "
                     f"{depth} ]; do mkdir {name} && cd {name} || exit 9; i=$((i+1)); done 2>/dev/null\n")
    internal = done.is_internal
    lab.run("prune", "-a", "-f")
    lab.run("prune", "-a", "-f")
    left = lab.call(["find", str(lab.root), "-name", name, "-prune"])
    rest = "a tree is left" if left.out.strip() else "nothing is left"
    seen = f"{rest}; the build ended with {done.code}: {done.last}"
    return right_if(not left.out.strip() and not internal and (done.code == 0 or done.said), seen)
