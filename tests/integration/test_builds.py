"""What a person sees of builds: results, reuse, reasons, parallelism, concurrency."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

TWO_STAGES = """\
FROM base AS build
WORKDIR /src
COPY *.txt ./
ARG VERSION=1
RUN cat *.txt > all && echo "$VERSION" > version
FROM base
COPY --from=build /src/all /src/version /app/
USER app
RUN id > /tmp/id
CMD ["cat", "/app/all"]
"""


def test_second_build_is_all_cached_and_a_change_says_why(builder: Command) -> None:
    (builder.context / "a.txt").write_text("a\n")
    (builder.context / "b.txt").write_text("b\n")
    first = builder.build(TWO_STAGES, "-t", "app:1")
    assert first.returncode == 0, first.stderr
    again = builder.build(TWO_STAGES, "-t", "app:1")
    assert "miss:" not in again.stderr
    assert again.stderr.count(" CACHED\n") == 6

    (builder.context / "b.txt").write_text("changed\n")
    changed = builder.build(TWO_STAGES)
    assert "miss: 1 file changed: b.txt" in changed.stderr
    assert "WORKDIR /src\n#4 CACHED" in changed.stderr

    version = builder.build(TWO_STAGES, "--build-arg", "VERSION=2")
    assert 'miss: build arg VERSION changed "1" -> "2"' in version.stderr
    assert "VERSION" in builder.run("why").stdout


def test_steps_run_again_when_they_are_too_old(builder: Command) -> None:
    dockerfile = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /id\nRUN cat /id\n"
    assert builder.build(dockerfile).returncode == 0
    assert "CACHED" in builder.build(dockerfile, "--cache-ttl", "1h").stderr
    again = builder.build(dockerfile, "--cache-ttl", "0")
    assert "miss: its earlier result is older than --cache-ttl allows" in again.stderr
    assert again.stderr.count("miss:") == 1, "the step that it began with says it, the next one does not"
    assert "the step before it produced a different layer" in builder.run("why").stdout
    assert "miss" not in builder.build(dockerfile).stderr


def test_the_image_runs(builder: Command) -> None:
    (builder.context / "a.txt").write_text("hello\n")
    assert builder.build(TWO_STAGES, "-t", "app:1").returncode == 0
    ran = builder.run("run", "--rm", "app:1")
    assert (ran.returncode, ran.stdout) == (0, "hello\n")
    shown = builder.run("run", "--rm", "app:1", "id", "-u")
    assert shown.stdout == "1000\n"
    assert builder.run("run", "--rm", "app:1", "false").returncode == 1


def test_a_local_image_is_a_base(builder: Command) -> None:
    assert builder.build("FROM base\nRUN echo made > /made\n", "-t", "mine").returncode == 0
    out = builder.files("FROM mine AS m\nFROM scratch\nCOPY --from=m /made /\n")
    assert (out / "made").read_text() == "made\n"


def test_independent_stages_run_at_the_same_time(builder: Command) -> None:
    stages = "".join(f"FROM base AS s{n}\nRUN sleep 1 && echo {n} > /out{n}\n" for n in range(10))
    copies = "".join(f"COPY --from=s{n} /out{n} /\n" for n in range(10))
    assert builder.build("FROM base\nRUN true\n").returncode == 0
    started = time.monotonic()
    out = builder.files(stages + "FROM scratch\n" + copies)
    assert time.monotonic() - started < 3
    assert sorted(path.name for path in out.iterdir()) == [f"out{n}" for n in range(10)]


def test_two_builds_at_once_run_a_step_once(builder: Command) -> None:
    dockerfile = "FROM base\nRUN sleep 1 && cat /proc/sys/kernel/random/uuid > /id\n"
    argv = builder.argv(*builder.build_args(dockerfile, "-q"), str(builder.context))
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1


def test_a_failed_step_shows_itself_and_keeps_what_was_done(builder: Command) -> None:
    failing = "FROM base\nRUN echo done > /done\nRUN echo to stderr >&2; exit 7\n"
    failed = builder.build(failing)
    assert failed.returncode == 1
    assert failed.stdout == ""
    command = "/bin/sh -c echo to stderr >&2; exit 7"
    assert f'process "{command}" did not complete successfully: exit code: 7' in failed.stderr
    assert ">>> RUN echo to stderr >&2; exit 7" in failed.stderr
    assert "to stderr\n" in failed.stderr
    mended = builder.build(failing.replace("exit 7", "exit 0"))
    assert mended.returncode == 0
    assert "RUN echo done > /done\n#4 CACHED" in mended.stderr


def test_quiet_prints_the_digest_alone(builder: Command) -> None:
    done = builder.build("FROM scratch\nLABEL a=b\n", "-q")
    assert done.stdout.startswith("sha256:")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_cache_mounts_last_and_leave_nothing_in_the_image(builder: Command) -> None:
    dockerfile = "FROM base\nARG N\nRUN --mount=type=cache,target=/cache echo $N >> /cache/log && cp /cache/log /seen\n"
    assert builder.build(dockerfile, "--build-arg", "N=1").returncode == 0
    out = builder.files(dockerfile, "--build-arg", "N=2")
    assert (out / "seen").read_text() == "1\n2\n"
    assert not (out / "cache").exists()


def test_a_new_cache_mount_is_as_its_initial_content(builder: Command) -> None:
    out = builder.files("FROM base AS seed\nRUN mkdir -m 750 /s && echo x > /s/f && chown -R 5:6 /s\nFROM base\n"
                        "RUN --mount=type=cache,target=/c,from=seed,source=/s stat -c '%a %u:%g' /c /c/f > /seen\n"
                        "RUN --mount=type=cache,target=/d,from=seed,source=/s,mode=711,uid=7 "
                        "--mount=type=cache,target=/g,from=seed,source=/s/f stat -c '%a %u:%g' /d /g > /e\n")
    assert (out / "seen").read_text() == "750 5:6\n644 5:6\n"
    assert (out / "e").read_text() == "750 5:6\n644 5:6\n"
    missing = builder.build("FROM base\nRUN --mount=type=cache,target=/c,source=/s true\n").stderr
    assert "`/s` to be mounted at `/c` was not found" in missing


def test_a_cache_mount_with_a_mode_or_an_owner_is_one_of_its_own(builder: Command) -> None:
    mount = "RUN --mount=type=cache,id=i,target=/home/app"
    out = builder.files(f"FROM base AS seed\nRUN mkdir -m 700 /cache && touch /cache/f\nFROM base\n"
                        "RUN chown 1000 /home/app\n"
                        f"{mount} touch /home/app/one; stat -c '%a %u' /home/app > /seen\n"
                        f"{mount},mode=1777 ls /home/app >> /seen; stat -c '%a %u' /home/app >> /seen\n"
                        f"{mount},uid=7 --mount=type=cache,from=base,mode=711,gid=2,target=/c "
                        "stat -c '%a %u:%g' /home/app /c >> /seen\n"
                        f"{mount},from=seed,mode=711 stat -c '%n %a' /home/app /home/app/* >> /seen\n"
                        f"{mount},mode=0777 touch /home/app/two\n{mount},mode=777 ls /home/app >> /seen\n")
    assert (out / "seen").read_text().splitlines() == [
        "755 1000", "777 0", "755 7:0", "711 0:2", "/home/app 700", "/home/app/f 644", "two"]


def test_a_mounted_link_is_what_it_points_to_and_its_content_counts(builder: Command) -> None:
    (builder.context / "real").mkdir()
    (builder.context / "real" / "f").write_text("one\n")
    (builder.context / "link").symlink_to("real")
    dockerfile = "FROM base\nRUN --mount=source=link,target=/m cat /m/f > /seen\n"
    assert (builder.files(dockerfile) / "seen").read_text() == "one\n"
    (builder.context / "real" / "f").write_text("two\n")
    assert (builder.files(dockerfile) / "seen").read_text() == "two\n"


def test_variables_of_secrets_and_agents_that_are_missing(builder: Command) -> None:
    out = builder.files("FROM base\nRUN --mount=type=secret,id=absent,env=TOKEN echo \"[${TOKEN-unset}]\" > /secret\n"
                        "RUN --mount=type=tmpfs,target=/t --mount=type=ssh echo $SSH_AUTH_SOCK > /ssh\n"
                        "ENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh echo $SSH_AUTH_SOCK > /own\n")
    assert (out / "secret").read_text() == "[]\n"
    assert (out / "ssh").read_text() == "/run/buildkit/ssh_agent.0\n"
    assert (out / "own").read_text() == "/mine\n"


def test_secrets_reach_the_step_and_nothing_else(builder: Command) -> None:
    secret = builder.context.parent / "secret"
    secret.write_text("s3cr3t")
    out = builder.files("FROM base\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /size\n",
                        "--secret", f"id=s,src={secret}")
    assert (out / "size").read_text() == "6\n"
    assert not (out / "run").exists()
    found = subprocess.run(["grep", "-rl", "s3cr3t", str(builder.root)], capture_output=True, text=True)
    assert found.stdout == ""
