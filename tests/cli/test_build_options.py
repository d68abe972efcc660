from __future__ import annotations

from pathlib import Path

import pytest

from builder.api import BuildOptions, SecretSource, SshSource
from builder.cli.build_flags import FLAGS, NOT_YET
from builder.cli.build_options import NotSupportedYet, build_options
from builder.cli.commands import GLOBAL_FLAGS
from builder.cli.flags import Kind, parse
from builder.errors import UsageError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("SOURCE_DATE_EPOCH", "DOCKER_DEFAULT_PLATFORM", "FROM_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def options(*arguments: str) -> BuildOptions:
    return build_options(parse((*FLAGS, *GLOBAL_FLAGS), arguments)[0], ".")


def complaint(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        options(*arguments)
    return caught.value.message


def test_nothing_given_is_the_default() -> None:
    assert options() == BuildOptions()


def test_every_flag_is_known_once() -> None:
    names = [flag.name for flag in (*FLAGS, *GLOBAL_FLAGS)]
    assert sorted(names) == sorted(set(names))
    letters = [flag.short for flag in (*FLAGS, *GLOBAL_FLAGS) if flag.short]
    assert sorted(letters) == sorted(set(letters))


def test_build_args(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FROM_ENV", "seen")
    (tmp_path / "args").write_text("# comment\n\nA=file\nB=file=b\nFROM_ENV\n")
    assert options("--build-arg-file", str(tmp_path / "args"), "--build-arg", "A=flag", "--build-arg", "UNSET",
                   "--build-arg", "E=").build_args == {"A": "flag", "B": "file=b", "FROM_ENV": "seen", "E": ""}
    assert complaint("--build-arg", "=x") == 'invalid key-value pair "=x": empty key'
    assert complaint("--build-arg-file", "/nope") == "cannot read `/nope` of --build-arg-file"


def test_epoch_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    assert options().build_args == {"SOURCE_DATE_EPOCH": "7"}
    assert options("--build-arg", "SOURCE_DATE_EPOCH=8").build_args == {"SOURCE_DATE_EPOCH": "8"}
    assert options("--source-date-epoch", "9").build_args == {"SOURCE_DATE_EPOCH": "9"}


def test_proxies_come_from_dockers_config(bare_environment: Path) -> None:
    (bare_environment / "config.json").write_text(
        '{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a", "other": "x"}}}')
    assert options("--build-arg", "http_proxy=mine").build_args == {
        "HTTP_PROXY": "http://p:1", "http_proxy": "mine", "NO_PROXY": "a", "no_proxy": "a"}
    (bare_environment / "config.json").write_text('{"proxies": [1]}')
    assert options().build_args == {}
    (bare_environment / "config.json").write_text("{")
    assert "is not valid JSON" in complaint()


def test_labels_contexts_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    found = options("--label", "a=b=c", "--label", "bare", "--build-context", "base=docker-image://x")
    assert found.labels == {"a": "b=c", "bare": ""}
    assert found.named_contexts == {"base": "docker-image://x"}
    assert found.platforms == ("linux/arm64",)
    assert options("--platform", "linux/amd64,linux/arm/v7").platforms == ("linux/amd64", "linux/arm/v7")
    assert complaint("--build-context", "foo") == "invalid context value: foo, expected key=value"
    assert complaint("--annotation", "foo") == 'invalid annotation "foo", expected key=value'


@pytest.mark.parametrize(("arguments", "outputs"), [
    (["-o", "out"], ("type=local,dest=out",)), (["-o", "-"], ("type=tar,dest=-",)),
    (["-o", "type=oci,dest=x.tar"], ("type=oci,dest=x.tar",)),
    (["--push", "-t", "x"], ("type=image,push=true",)),
    (["--push", "-o", "type=image,name=x"], ("type=image,name=x,push=true",)),
    (["--push=false"], ()), (["--load"], ()), (["--load", "-o", "out"], ("type=local,dest=out", "type=docker")),
    (["--load", "-o", "type=docker,dest=x"], ("type=docker,dest=x",)),
    (["-o", '"type=local","dest=a,b"'], ('"type=local","dest=a,b"',)),
])
def test_outputs(arguments: list[str], outputs: tuple[str, ...]) -> None:
    assert options(*arguments).outputs == outputs


def test_bad_outputs() -> None:
    assert complaint("-o", "foo=bar,x=y") == "type is required for output"
    assert complaint("-o", "type=local,x") == "invalid value x"
    assert complaint("--push") == "tag is needed when pushing to registry"
    assert complaint("-o", "x", "--iidfile", "y") == "local and tar exporters are incompatible with image ID file"


def test_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", "t")
    file = tmp_path / "file"
    file.write_text("s")
    found = options("--secret", f"id=a,src={file}", "--secret", "id=b,env=TOKEN", "--secret", "type=env,id=c,src=TOKEN",
                    "--secret", "id=TOKEN", "--secret", f'"id=d","source={file}"').secrets
    assert found == (SecretSource(id="a", file=str(file)), SecretSource(id="b", env="TOKEN"),
                     SecretSource(id="c", env="TOKEN"), SecretSource(id="TOKEN", env="TOKEN"),
                     SecretSource(id="d", file=str(file)))
    assert complaint("--secret", "foo") == "invalid field 'foo' must be a key=value pair"
    assert complaint("--secret", "id=x,mode=1") == "unexpected key 'mode' in 'mode=1'"
    assert complaint("--secret", "type=x,id=y") == 'unsupported secret type "x"'
    assert complaint("--secret", "id=z,src=/nope") == "failed to stat /nope: no such file or directory"
    assert complaint("--secret", "src=/nope") == "`src=/nope` of --secret has no id"


def test_ssh() -> None:
    assert options("--ssh", "default", "--ssh", "git=/a,/b").ssh == (
        SshSource(), SshSource(id="git", paths=("/a", "/b")))


@pytest.mark.parametrize(("arguments", "pull"), [
    ([], BuildOptions().pull), (["--pull"], "always"), (["--pull=false"], "missing"), (["--pull=never"], "never"),
    (["--pull=newer"], "newer"), (["--pull=true"], "always"),
])
def test_pull(arguments: list[str], pull: str) -> None:
    assert options(*arguments).pull == pull


def test_limits_of_steps() -> None:
    found = options("--shm-size", "64m", "--ulimit", "nofile=10:20", "-m", "1g", "--memory-swap=-1", "-c", "512",
                    "--cpuset-cpus", "0-1", "--add-host", "a:1.2.3.4,b=::1", "--jobs", "3", "--network", "none")
    assert (found.shm_size, found.ulimits, found.jobs, found.network) == (64 << 20, ("nofile=10:20",), 3, "none")
    assert found.resources == {"memory": str(1 << 30), "memory-swap": "-1", "cpu-shares": "512", "cpuset-cpus": "0-1"}
    assert found.add_hosts == ("a:1.2.3.4", "b=::1")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--shm-size", "3x"], 'invalid argument "3x" for "--shm-size" flag: invalid suffix: \'x\''),
    (["--ulimit", "a=b"], 'invalid argument "a=b" for "--ulimit" flag: invalid ulimit type: a'),
    (["--ulimit", "nofile=2:1"], 'invalid argument "nofile=2:1" for "--ulimit" flag: '
                                 "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
    (["--ulimit", "nofile=x"], 'invalid argument "nofile=x" for "--ulimit" flag: `x` is not a number or soft:hard'),
    (["--add-host", "foo"], "invalid host foo"), (["--network", "foo"], 'network mode "foo" not supported'),
    (["-t", "UPPER"], 'invalid tag "UPPER": repository name must be lowercase'),
    (["--allow", "foo"], "unknown entitlement foo"), (["--builder", "nope"], 'no builder "nope" found'),
    (["--no-cache", "--no-cache-filter", "x"], "--no-cache and --no-cache-filter cannot currently be used together"),
    (["--pull=foo"], 'invalid argument "foo" for "--pull" flag: use missing, always, newer or never'),
    (["--jobs", "x"], 'invalid argument "x" for "--jobs" flag: not a number'),
])
def test_complaints_are_buildx(arguments: list[str], message: str) -> None:
    assert complaint(*arguments) == message


@pytest.mark.parametrize("arguments", [
    ["--provenance=false"], ["--sbom=false"], ["--attest", "type=sbom,disabled=true"], ["--builder", "default"],
    ["--rm"], ["--force-rm=false"], ["--layers"], ["--allow", "network.host"], ["--network", "default"],
])
def test_accepted_for_dockers_scripts(arguments: list[str]) -> None:
    options(*arguments)


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_what_is_not_done_is_refused_by_name(name: str) -> None:
    [flag] = [flag for flag in FLAGS if flag.name == name]
    with pytest.raises(NotSupportedYet) as caught:
        options(f"--{name}" if flag.kind is Kind.BOOL else f"--{name}=x")
    assert caught.value.message == f"`--{name}` is not supported yet"


@pytest.mark.parametrize("arguments", [["--provenance"], ["--provenance=mode=max"], ["--sbom=true"],
                                       ["--attest", "type=sbom"]])
def test_attestations_are_refused(arguments: list[str]) -> None:
    with pytest.raises(NotSupportedYet):
        options(*arguments)
