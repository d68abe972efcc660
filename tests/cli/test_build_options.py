from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.api import BuildOptions, SecretSource, SshSource
from builder.builds.networking import HostEntry, NetworkMode
from builder.cli.build_flags import FLAGS
from builder.cli.build_options import NotSupported, build_options
from builder.cli.command import GLOBAL_FLAGS
from builder.cli.gitlabels import git_labels
from builder.cli.pflag import parse
from builder.cli.refused_flags import BARE, REASONS
from builder.cli.registry_flags import registry_settings
from builder.errors import UsageError
from builder.images.outputs import Output
from builder.plan.ulimit import Ulimit
from builder.plan.vertices import Network
from builder.registry.settings import RegistrySettings
from builder.remotecache.locations import parse_export, parse_import

TESTDATA = Path(__file__).parents[2] / "testdata" / "flags"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("SOURCE_DATE_EPOCH", "DOCKER_DEFAULT_PLATFORM", "FROM_ENV", "BUILDX_BUILDER", "BUILDAH_FORMAT"):
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
    assert complaint("--build-context", "ONE=x").startswith("invalid context name ONE: invalid reference format")
    assert complaint("--annotation", "foo") == 'invalid annotation "foo", expected key=value'
    assert complaint("--cache-ttl", "x") == 'invalid argument "x" for "--cache-ttl" flag: time: invalid duration "x"'
    assert complaint("--jobs", "-3") == 'invalid argument "-3" for "--jobs" flag: less than 0'


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
    assert options(*arguments).outputs == tuple(map(Output.parse, outputs))


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
    assert (found.shm_size, found.ulimits, found.jobs, found.network) == (
        64 << 20, (Ulimit("nofile", 10, 20),), 3, NetworkMode(Network.NONE))
    assert found.resources == {"memory": str(1 << 30), "memory-swap": "-1", "cpu-shares": "512", "cpuset-cpus": "0-1"}
    assert found.add_hosts == (HostEntry("a", "1.2.3.4"), HostEntry("b", "::1"))


BARE_QUOTE, QUOTE = 'bare " in non-quoted-field', 'extraneous or missing " in quoted-field'


@pytest.mark.parametrize(("arguments", "message"), [
    (["--secret", 'id=a,src=x"y'], f"failed to parse csv secret: parse error on line 1, column 11: {BARE_QUOTE}"),
    (["--secret", '"id=a"x'], f"failed to parse csv secret: parse error on line 1, column 6: {QUOTE}"),
    (["--output", 'type=local,dest="x'], f"parse error on line 1, column 17: {BARE_QUOTE}"),
    (["--attest", 'type=sbom,x"y'], f"parse error on line 1, column 12: {BARE_QUOTE}"),
    (["--shm-size", "64bb"], """invalid argument "64bb" for "--shm-size" flag: invalid suffix: 'bb'"""),
    (["--shm-size", "5 gib "], 'invalid argument "5 gib " for "--shm-size" flag: '
                                'strconv.ParseFloat: parsing "5 gib": invalid syntax'),
    (["--memory", "-5"], """invalid argument "-5" for "-m, --memory" flag: invalid size: '-5'"""),
])
def test_lists_and_sizes_are_refused_in_dockers_words(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as failure:
        options(*arguments)
    assert failure.value.message == message


@pytest.mark.parametrize(("text", "size"), [("1e9", 10**9), ("1_000", 1000), ("1.5g", 3 << 29), ("+5", 5), ("0", 0)])
def test_sizes_are_taken_as_docker_takes_them(text: str, size: int) -> None:
    assert options("--shm-size", text).shm_size == size
    assert options("--memory", text).resources == {"memory": str(size)}


@pytest.mark.parametrize(("arguments", "message"), [
    (["--shm-size", "3x"], 'invalid argument "3x" for "--shm-size" flag: invalid suffix: \'x\''),
    (["--ulimit", "nofile=x"],
     'invalid argument "nofile=x" for "--ulimit" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    (["--ulimit", "nofile=1:"],
     'invalid argument "nofile=1:" for "--ulimit" flag: strconv.ParseInt: parsing "": invalid syntax'),
    *((["--ulimit", f"nofile={number}"], f'invalid argument "nofile={number}" for "--ulimit" flag: '
                                         f'strconv.ParseInt: parsing "{number}": value out of range')
      for number in ("9" * 20, "9" * 5000)),
    (["--ulimit", "a=b"], 'invalid argument "a=b" for "--ulimit" flag: invalid ulimit type: a'),
    (["--ulimit", "nofile=2:1"], 'invalid argument "nofile=2:1" for "--ulimit" flag: '
                                 "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
    (["--add-host", "foo"], "invalid host foo"), (["--network", "foo"], 'network mode "foo" not supported'),
    (["-t", "n:t@sha256:" + "a" * 64], f'invalid tag "n:t@sha256:{"a" * 64}": a tag cannot contain a digest'),
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


@pytest.mark.parametrize("name", sorted(REASONS))
def test_what_is_not_done_is_refused_by_name_with_a_reason(name: str) -> None:
    arguments = [f"--{name}"] if name in BARE else [f"--{name}", "x"]
    assert complaint(*arguments) == f"`--{name}` is not supported: {REASONS[name]}"


@pytest.mark.parametrize("name", sorted(BARE))
def test_what_is_not_done_may_be_switched_off(name: str) -> None:
    assert options(f"--{name}=false") == BuildOptions()


@pytest.mark.parametrize("peer", ["docker-buildx", "buildah"])
def test_every_flag_of_the_peers_is_known(peer: str) -> None:
    names = (TESTDATA / f"{peer}.txt").read_text().split()
    known = {flag.name for flag in (*FLAGS, *GLOBAL_FLAGS)} | {"help"}
    assert set(names) <= known, "honour it, or refuse it in refused_flags"


def outputs(*texts: str) -> tuple[Output, ...]:
    return tuple(map(Output.parse, texts))


DONE: list[tuple[list[str], dict[str, object]]] = [
    (["--no-hosts"], {"no_hosts": True}), (["--dns", "1.1.1.1,8.8.8.8"], {"dns": ("1.1.1.1", "8.8.8.8")}),
    (["--dns-search", "a", "--dns-option", "ndots:1"], {"dns_search": ("a",), "dns_options": ("ndots:1",)}),
    (["--cap-add", "SYS_PTRACE", "--cap-drop", "ALL"], {"cap_add": ("SYS_PTRACE",), "cap_drop": ("ALL",)}),
    (["--security-opt", "seccomp=unconfined"], {"security_opts": ("seccomp=unconfined",)}),
    (["-v", "/a:/b:ro", "--mount", "type=tmpfs,target=/t"],
     {"volumes": ("/a:/b:ro",), "mounts": ("type=tmpfs,target=/t",)}),
    (["--from", "alpine"], {"base": "alpine"}), (["--env", "A=1"], {"env": {"A": "1"}}),
    (["--unsetenv", "A,B", "--unsetlabel", "c"], {"unset_env": ("A", "B"), "unset_labels": ("c",)}),
    (["--inherit-labels=false"], {"inherit_labels": False}), (["--omit-history"], {"omit_history": True}),
    (["--squash"], {"squash": "new"}), (["--squash-all"], {"squash": "all"}),
    (["--created-annotation"], {"created_annotation": True}), (["--cache-ttl", "1h30m"], {"cache_ttl": 5400.0}),
    (["--manifest", "list:1"], {"manifest": "list:1"}),
    (["--inherit-annotations", "--unsetannotation", "a,b"],
     {"inherit_annotations": True, "unset_annotations": ("a", "b")}),
    (["--save-stages", "--stage-labels", "--layer-label", "a=b"],
     {"save_stages": True, "stage_labels": True, "layer_labels": {"a": "b"}}),
    (["--all-platforms"], {"all_platforms": True}), (["--all-platforms=false"], {}),
    (["--skip-unused-stages=false"], {"unused_stages": True}), (["--skip-unused-stages"], {}),
    (["--format", "docker"], {"outputs": outputs("type=image,oci-mediatypes=false")}),
    (["--disable-compression", "-o", "type=oci,dest=x"],
     {"outputs": outputs("type=oci,dest=x,compression=uncompressed")}),
    (["--compression-format", "zstd", "--compression-level", "3"],
     {"outputs": outputs("type=image,compression=zstd,compression-level=3")}),
    (["--compression-format", "zstd", "-o", "type=oci,dest=x,compression=gzip", "-o", "d"],
     {"outputs": outputs("type=oci,dest=x,compression=gzip", "type=local,dest=d")}),
    (["--timestamp", "7"],
     {"build_args": {"SOURCE_DATE_EPOCH": "7"}, "outputs": outputs("type=image,rewrite-timestamp=true")}),
    (["--arch", "arm64", "--os", "linux", "--variant", "v8"], {"platforms": ("linux/arm64/v8",)}),
    (["--cache-from", "a/b:c", "--cache-to", "type=inline"], {
        "cache_from": parse_import("a/b:c", {}), "cache_to": parse_export("type=inline", {})}),
    (["--cache-repo", "r/c"], {
        "cache_from": parse_import("type=registry,ref=r/c", {}),
        "cache_to": parse_export("type=registry,ref=r/c,mode=max", {})}),
    (["--cache-repo", "r/c", "--no-push-cache"], {
        "cache_from": parse_import("type=registry,ref=r/c", {}), "cache_to": ()}),
    (["--destination", "r/a"], {"tags": ("r/a",), "outputs": outputs("type=image,push=true")}),
    (["--cache"], {}), (["--cache=false"], {"no_cache": True}),
    (["-d", "r/a", "--no-push"], {"tags": ("r/a",)}), (["--dockerfile", "D"], {"dockerfile": "D"}),
    (["--network", "private"], {"network": NetworkMode(Network.PRIVATE)}), (["--network", "ns:/proc/self/ns/net"],
                                                         {"network": NetworkMode(namespace="/proc/self/ns/net")}),
    (["--isolation", "oci", "--snapshot-mode=redo", "--force", "--no-hostname=false", "--identity-label=false"], {}),
]


@pytest.mark.parametrize(("arguments", "fields"), DONE, ids=lambda value: " ".join(value))
def test_flags_of_buildah_and_kaniko(arguments: list[str], fields: dict[str, object]) -> None:
    assert options(*arguments) == msgspec.structs.replace(BuildOptions(), **fields)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--format", "x"], "--format `x` is not known"),
    (["--isolation", "x"], "`--isolation=x` is not supported: steps always have namespaces of their own"),
    (["--compression-format", "lz4"], "--compression-format `lz4` is not supported"),
    (["--stage-labels"], "--stage-labels needs --save-stages: there are no other images to label"),
    (["--manifest", "A"], 'invalid tag "A": repository name must be lowercase'),
    (["--all-platforms", "--platform", "linux/amd64"], "--all-platforms and --platform cannot be used together"),
    (["--squash", "--squash-all"], "--squash and --squash-all cannot be used together"),
    (["--timestamp", "1", "--source-date-epoch", "1"], "--timestamp and --source-date-epoch cannot be used together"),
    (["--platform", "linux/amd64", "--arch", "arm64"],
     "--platform and --os, --arch or --variant cannot be used together"),
    (["--network", "container:x"], 'network mode "container:x" not supported'),
])
def test_complaints_about_them(arguments: list[str], message: str) -> None:
    assert complaint(*arguments) == message


@pytest.mark.parametrize(("name", "value", "message"), [
    ("BUILDX_BUILDER", "other", 'no builder "other" found'),
    ("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "/p.json",
     "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: source policies are not supported yet"),
    ("BUILDAH_FORMAT", "x", "--format `x` is not known"),
])
def test_variables_that_ask_for_what_is_not_done(monkeypatch: pytest.MonkeyPatch, name: str, value: str,
                                                 message: str) -> None:
    monkeypatch.setenv(name, value)
    assert complaint() == message


REGISTRIES: list[tuple[list[str], RegistrySettings | None]] = [
    ([], None), (["--tls-verify=false"], RegistrySettings(insecure=frozenset({"*"}))),
    (["--insecure-registry", "r:5000", "--skip-tls-verify-registry", "s"],
     RegistrySettings(insecure=frozenset({"r:5000", "s"}))),
    (["--registry-mirror", "m", "--registry-map", "quay.io=a;b/c", "--skip-default-registry-fallback"],
     RegistrySettings(mirrors={"docker.io": ("m",), "quay.io": ("a", "b/c")}, mirrors_only=True)),
    (["--creds", "user:pa:ss"], RegistrySettings(credentials={"*": ("user", "pa:ss")})),
    (["--retry", "7", "--retry-delay", "2s"], RegistrySettings(retries=7, retry_delay=2.0)),
    (["--registry-client-cert", "r=c,k", "--registry-certificate", "r=ca"],
     RegistrySettings(client_certificates={"r": ("c", "k")}, certificates={"r": "ca"})),
]


@pytest.mark.parametrize(("arguments", "settings"), REGISTRIES, ids=lambda value: str(value)[:30])
def test_flags_for_registries(arguments: list[str], settings: RegistrySettings | None) -> None:
    assert registry_settings(parse((*FLAGS, *GLOBAL_FLAGS), arguments)[0]) == settings


@pytest.mark.parametrize("arguments", [["--provenance"], ["--provenance=mode=max"], ["--sbom=true"],
                                       ["--attest", "type=sbom"]])
def test_attestations_are_refused(arguments: list[str]) -> None:
    with pytest.raises(NotSupported):
        options(*arguments)


def test_labels_from_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def git(*args: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *args]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    git("remote", "add", "origin", "https://user:pass@example.com/app.git")
    context = str(tmp_path / "app")
    assert git_labels(context, "", {}) == {}
    labels = {"org.opencontainers.image.revision": git("rev-parse", "HEAD"),
              "org.opencontainers.image.source": "https://example.com/app.git",
              "com.docker.image.source.entrypoint": "app/Dockerfile"}
    assert git_labels(context, "", {"BUILDX_GIT_LABELS": "1"}) == labels
    (tmp_path / "new").write_text("")
    dirty = git_labels(context, "/elsewhere", {"BUILDX_GIT_LABELS": "full", "BUILDX_GIT_CHECK_DIRTY": "true"})
    assert dirty["org.opencontainers.image.revision"].endswith("-dirty")
    assert "com.docker.image.source.entrypoint" not in dirty
    assert git_labels(str(tmp_path.parent), "", {"BUILDX_GIT_LABELS": "1"}) == {}
    monkeypatch.setenv("BUILDX_GIT_LABELS", "1")
    flags = parse((*FLAGS, *GLOBAL_FLAGS), ["--label", "a=b"])[0]
    assert build_options(flags, context).labels == {"a": "b", **labels}
