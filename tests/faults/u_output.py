"""U1 to U10: what a daily user meets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

from .check import Verdict, check, right_if
from .lab import Lab
from .s_words import on_terminal
from .server import Registry


@check("U1", "vanishing-bind", "a file that comes and goes in the context fails a build that mounts it",
       "RUN --mount=target=/m true", "vanish")
@check("U1", "vanishing-copy", "the same for COPY", "COPY . /m", "vanish")
@check("U1", "changing-copy", "a file that grows and shrinks while it is copied", "COPY . /m", "change")
def busy_context(lab: Lab, line: str, how: str) -> Verdict:
    for number in range(1500):
        lab.put(f".git/{number % 10}/{number}", "x" * 2000)
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for number in range(10):
                path = lab.context / ".git" / str(number) / "busy.lock"
                with path.open("w") as file:
                    file.write("y" * (1 + 1000 * number))
                if how == "vanish":
                    path.unlink()
                else:
                    os.truncate(path, number)
    thread = threading.Thread(target=churn)
    thread.start()
    failed = []
    try:
        for _ in range(5):
            done = lab.build(f"FROM base\n{line}\n", "--no-cache")
            if done.code:
                failed.append(done.last)
    finally:
        over.set()
        thread.join()
    return right_if(not failed, f"{len(failed)} of 5 builds failed {failed[:1]}")


def _misses(text: str) -> list[str]:
    return [line for line in text.splitlines() if " miss:" in line]


@check("U2", "other-project", "a first build is compared with another project in the same root")
def other_project(lab: Lab) -> Verdict:
    for name in ("one", "two"):
        folder = lab.dir / name
        folder.mkdir()
        for number in range(20):
            (folder / f"{name}-{number}").write_text(name)
        (folder / "Dockerfile").write_text("FROM base\nCOPY . /app\nRUN true\n")
    lab.image("base", [])
    done = None
    for name in ("one", "two"):
        done = lab.run("build", "--progress", "plain", "--build-context", f"base=oci-layout://{lab.dir}/image-base",
                       str(lab.dir / name))
    assert done is not None
    why = lab.run("why").out
    bad = [line for line in (*_misses(done.err), *why.splitlines()) if "removed" in line or "one-" in line]
    return right_if(not bad, (bad or ["compared with nothing"])[0])


@check("U2", "sibling-copy", "a step is compared with a sibling COPY of the same first build")
def sibling_copy(lab: Lab) -> Verdict:
    for name in ("a", "b"):
        lab.put(f"{name}/f", name)
    done = lab.build("FROM base\nCOPY a /x\nCOPY b /x\n")
    text = lab.run("why").out
    bad = [line for line in (*_misses(done.err), *text.splitlines()) if "changed" in line or "removed" in line]
    return right_if(not bad, (bad or ["compared with nothing"])[0])


@check("U3", "rawjson", "a vertex is announced and never completed (rawjson)", "COPY f /")
@check("U3", "rawjson-bind", "the same for a bind mount of the context", "RUN --mount=target=/m true")
def vertices_end(lab: Lab, line: str) -> Verdict:
    lab.put("f", "f")
    done = lab.build(f"FROM base\n{line}\n", "--progress", "rawjson")
    names: dict[str, str] = {}
    ended = set()
    for text in done.err.splitlines():
        with contextlib.suppress(ValueError):
            for vertex in json.loads(text).get("vertexes") or ():
                names[vertex["digest"]] = vertex["name"]
                if vertex.get("completed"):
                    ended.add(vertex["digest"])
    left = [name for each, name in names.items() if each not in ended]
    return right_if(bool(names) and not left, f"never completed: {left}" if left else f"{len(names)} vertices end")


@check("U3", "live", "the live view never says FINISHED once a step reads the context")
def live(lab: Lab) -> Verdict:
    lab.put("f", "f")
    words = lab.build_args("FROM base\nCOPY f /\n", "--progress", "tty")
    said = on_terminal(lab, *words, str(lab.context))
    return right_if(b"FINISHED" in said, "FINISHED" if b"FINISHED" in said else "no FINISHED")


@check("U4", "interrupted", "an interrupted build forgets the step that it interrupted")
def interrupted(lab: Lab) -> Verdict:
    words = lab.build_args("FROM base\nRUN echo begun-it; sleep 30\n")
    process = subprocess.Popen([*lab.command, "--root", str(lab.root), *words, str(lab.context)], env=lab.env(),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=lab.dir)
    assert process.stdout is not None
    for line in process.stdout:
        if b"begun-it" in line and b"RUN" not in line:
            break
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
    why, logs = lab.run("why").out, lab.run("logs").out
    return right_if("sleep 30" in why and "begun-it" in logs,
                    f"why: {why.strip()[:80]}; log: {logs.strip()[:40] or 'none'}")


@check("U5", "numbers", "one step has several numbers: progress, debug, dry-run")
def numbers(lab: Lab) -> Verdict:
    lab.put("f", "f")
    dockerfile = "FROM base\nCOPY f /\nRUN echo marked && false\n"
    dry = lab.build(dockerfile, "--dry-run")
    done = lab.build(dockerfile)
    found = {"progress": re.search(r"#(\d+) \[.*RUN echo marked", done.err),
             "debug": re.search(r"debug @(\d+)", done.err),
             "why": re.search(r"@(\d+) \[.*RUN echo marked", lab.run("why").out),
             "dry-run": re.search(r"[@#](\d+)\b[^\n]*RUN echo marked", dry.out + dry.err)}
    shown = {name: match.group(1) if match else None for name, match in found.items()}
    return right_if(len(set(shown.values())) == 1 and None not in shown.values(), str(shown))


@check("U6", "check", "--check hides the image's name and the cause of a registry error", ("--check",))
@check("U6", "build", "the last ERROR line hides the image's name and the cause", ())
def cause_last(lab: Lab, words: tuple[str, ...]) -> Verdict:
    with Registry(refuse_all=500) as registry:
        done = lab.build(f"FROM {registry.name}/team/app:1\nRUN true\n", *words, "--retry", "0")
    line = next((each for each in reversed(done.err.splitlines()) if each.startswith("ERROR")), done.last)
    if words and done.code == 0:
        return right_if(True, "checked without the registry")
    return right_if(done.code > 0 and "team/app" in line and "500" in line, line)


@check("U6", "offline-context-ls", "`context ls` fails without the registry", ("context", "ls"))
@check("U6", "offline-graph", "`graph PATH` fails without the registry", ("graph",))
@check("U6", "offline-check", "`build --check` fails without the registry", ("build", "--check"))
def offline(lab: Lab, words: tuple[str, ...]) -> Verdict:
    lab.put("Dockerfile", "FROM 127.0.0.1:1/team/app:1\nCOPY f /\n")
    lab.put("f", "f")
    done = lab.run(*words, str(lab.context))
    return right_if(done.code == 0, done.last or "works")


@check("U7", "fmt-pipe", "`fmt` in a pipe drops its input and rewrites ./Dockerfile")
def fmt_pipe(lab: Lab) -> Verdict:
    work = lab.dir / "work"
    work.mkdir()
    (work / "Dockerfile").write_text("from   other\n")
    done = lab.run("fmt", cwd=work, stdin=b"from   piped\n")
    kept = (work / "Dockerfile").read_text() == "from   other\n"
    return right_if(kept and done.out == "FROM piped\n",
                    f"stdout {done.out!r}, ./Dockerfile {'kept' if kept else 'changed'}")


@check("U8", "failed-before", "a step that failed last time has `no earlier build`")
def failed_before(lab: Lab) -> Verdict:
    for _ in range(2):
        lab.build("FROM base\nRUN false\n")
    text = lab.run("why").out
    return right_if("no earlier build" not in text and "failed" in text, text)


@check("U8", "no-dockerfile", "without a Dockerfile the hint proposes ./.dockerignore")
def no_dockerfile(lab: Lab) -> Verdict:
    lab.put(".dockerignore", "x\n")
    done = lab.run("build", str(lab.context))
    return right_if(done.said and ".dockerignore" not in done.err, done.err)


@check("U8", "dry-run-tab", "a literal \\t in the table of dry-run")
def dry_run_tab(lab: Lab) -> Verdict:
    done = lab.build("FROM base\nRUN echo a\tb\n", "--dry-run")
    return right_if(done.code == 0 and "\\t" not in done.out + done.err, done.out or done.err)


@check("U8", "print-all", "`bake --print all default` prints another group")
def print_all(lab: Lab) -> Verdict:
    (lab.dir / "docker-bake.hcl").write_text(
        'group "default" { targets = ["a"] }\ngroup "all" { targets = ["a", "b"] }\ntarget "a" {}\ntarget "b" {}\n')
    done = lab.run("bake", "--print", "all", "default")
    groups = json.loads(done.out)["group"]
    expected = {"all": {"targets": ["a", "b"]}, "default": {"targets": ["a", "all"]}}  # as docker buildx bake prints
    return right_if(groups == expected, str(groups))


@check("U9", "no-cache", "a `miss:` line for every step with --no-cache", ("--no-cache",))
@check("U9", "first-build", "a `miss:` line for every step of a first build", ())
def noise(lab: Lab, words: tuple[str, ...]) -> Verdict:
    dockerfile = "FROM base\nRUN echo 1\nRUN echo 2\nRUN echo 3\n"
    if words:
        lab.build(dockerfile)
    done = lab.build(dockerfile, *words)
    return right_if(not _misses(done.err), f"{len(_misses(done.err))} lines: {(_misses(done.err) or ['none'])[0]}")


@check("U9", "followers", "every step behind a changed one says that an earlier step changed")
def followers(lab: Lab) -> Verdict:
    for text in ("one", "two"):
        lab.put("f", text)
        done = lab.build("FROM base\nCOPY f /\n" + "".join(f"RUN echo {n}\n" for n in range(7)))
    return right_if(len(_misses(done.err)) <= 1, f"{len(_misses(done.err))} miss lines")


@check("U9", "failure-twice", "a failure is printed twice on a terminal")
def failure_twice(lab: Lab) -> Verdict:
    words = lab.build_args("FROM base\nRUN echo ou''tput-here; exit 7\n", "--progress", "tty")
    said = on_terminal(lab, *words, str(lab.context)).decode(errors="replace")
    end = re.split(r"FINISHED|\x1b\[\?25h", said)[-1]
    seen = [len(re.findall(text, end)) for text in ("exit status 7|exit code: 7|exited with status 7", "output-here")]
    return right_if(seen[1] <= 1 and seen[0] <= 2, f"the status {seen[0]} times, the output {seen[1]} times")


@check("U10", "bake-installed", "`bake` needs an extra that installing does not bring")
def bake_installed(lab: Lab) -> Verdict:
    (lab.dir / "docker-bake.hcl").write_text('target "default" { args = { A = upper("a") } }\n')
    blocked = lab.dir / "blocked"
    blocked.mkdir()
    for name in ("hcl2", "yaml"):
        (blocked / f"{name}.py").write_text("raise ImportError('not installed')\n")
    path = next((word.partition("=")[2] for word in lab.command if word.startswith("PYTHONPATH=")), "")
    command = [word for word in lab.command if not word.startswith("PYTHONPATH=")]
    done = lab.call([*command, "--root", str(lab.root), "bake", "--print"],
                    env={"PYTHONPATH": os.pathsep.join(filter(None, [str(blocked), path]))})
    return right_if('"A": "A"' in done.out, done.out or done.last)


@check("U10", "du", "`du` calls reclaimable what `prune` does not take")
def du_words(lab: Lab) -> Verdict:
    lab.build("FROM base\nRUN head -c 3000000 /dev/urandom > /x\n", "-t", "kept:1")
    def total() -> str:
        lines = lab.run("du").out.splitlines()
        return next((line for line in lines if "eclaimable" in line and re.search(r"\d", line)), "")
    reclaimable = total()
    lab.run("prune", "-f")
    after = total()
    return right_if(bool(re.search(r"\b0 ?k?B\b", after)), f"{reclaimable} -> {after}")


@check("U10", "status", "a wrong flag ends with another status than docker's", "build --nope .")
@check("U10", "status-value", "a wrong value of a flag", "build --shm-size=x .")
@check("U10", "status-bake", "a wrong flag of bake", "bake --nope")
@check("U10", "status-run", "a wrong flag of run", "run --nope")
def status(lab: Lab, words: str) -> Verdict:
    done = lab.run(*shlex.split(words))
    return right_if(done.code in (1, 125), f"exit status {done.code}")


@check("F7", "hard-linked", "`why` says that the owner changed when a hard-linked file's content did")
def why_hard_link(lab: Lab) -> Verdict:
    path = lab.put("a", "one")
    os.link(path, lab.context / "b")
    for text in ("one", "other"):
        Path(path).write_text(text)
        time.sleep(0.05)
        lab.build("FROM base\nCOPY . /\n")
    seen = lab.run("why").out
    return right_if("owner" not in seen and "changed" in seen, seen)
