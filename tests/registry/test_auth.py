"""Credentials, tokens, and where secrets do not go."""

from __future__ import annotations

import base64
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.oci import digest_of
from builder.reference import Reference
from builder.registry.auth import Challenge, parse_challenges
from builder.registry.client import RegistryClient
from builder.registry.credentials import BadAuthFile, Credentials, HelperFailed, Keychain, login, logout
from builder.registry.errors import CertificateRefused, ServerFailed, Unauthorized, UnexpectedAnswer
from builder.registry.settings import RegistrySettings
from registry.servers import Handler, MiniRegistry, over_tls

QUICK = RegistrySettings(retry_delay=0.01, retries=1)
TESTER = base64.b64encode(b"tester:secret").decode()


def configure(folder: Path, **document: object) -> None:
    (folder / "config.json").write_text(json.dumps(document))


def fetch(server: MiniRegistry, settings: RegistrySettings = QUICK) -> bytes:
    server.add_manifest("team/app", "t", b"{}")
    return RegistryClient(settings).get_manifest(Reference(server.domain, "team/app", "t")).data


@pytest.mark.parametrize(("header", "challenges"), [
    ('Bearer realm="https://a/token",service="s",scope="repository:a/b:pull,push"',
     [Challenge("bearer", {"realm": "https://a/token", "service": "s", "scope": "repository:a/b:pull,push"})]),
    ('Basic realm="a, Bearer b=c", Bearer realm="https://x"',
     [Challenge("basic", {"realm": "a, Bearer b=c"}), Challenge("bearer", {"realm": "https://x"})]),
    ("Basic realm=plain", [Challenge("basic", {"realm": "plain"})]),
    (r'Basic realm="a \"quoted\" name"', [Challenge("basic", {"realm": 'a "quoted" name'})]),
    ("Negotiate", [Challenge("negotiate")]),
    ("", []),
])
def test_challenges_are_understood(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges(header) == challenges


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_docker_credentials_are_used(no_credentials: Path, auth: str) -> None:
    with MiniRegistry(auth) as server:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}})
        assert fetch(server) == b"{}"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_no_credentials_are_refused_with_a_hint(auth: str) -> None:
    with MiniRegistry(auth) as server, pytest.raises(Unauthorized) as failure:
        fetch(server)
    assert failure.value.hint == f"log in: builder login {server.domain}"
    assert failure.value.notes == (f"registry `{server.domain}`: no credentials are stored for it",)


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_wrong_credentials_are_refused(no_credentials: Path, auth: str) -> None:
    with MiniRegistry(auth) as server, pytest.raises(Unauthorized) as failure:
        configure(no_credentials, auths={server.domain: {"auth": base64.b64encode(b"tester:wrong").decode()}})
        fetch(server)
    assert failure.value.notes == (f"registry `{server.domain}`: the stored credentials were refused",)


def test_a_token_is_asked_for_once_per_scope(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}})
        server.add_manifest("team/app", "t", b"{}")
        client = RegistryClient(QUICK)
        for _ in range(3):
            client.get_manifest(Reference(server.domain, "team/app", "t"))
        asked = server.asked("GET", "/token")
        assert len(asked) == 1
        path = next(path for _, path, _ in server.requests if path.startswith("/token"))
        assert path == "/token?service=test%2C+service&scope=repository%3Ateam%2Fapp%3Apull"


def test_requests_side_by_side_share_a_token(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server, ThreadPoolExecutor(6) as pool:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}})
        server.add_manifest("team/app", "t", b"{}")
        client = RegistryClient(QUICK)
        reference = Reference(server.domain, "team/app", "t")
        assert {found.data for found in pool.map(client.get_manifest, [reference] * 12)} == {b"{}"}
        assert len(server.asked("GET", "/token")) == 1


def test_a_revoked_token_is_replaced(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}})
        server.add_manifest("team/app", "t", b"{}")
        client = RegistryClient(QUICK)
        client.get_manifest(Reference(server.domain, "team/app", "t"))
        server.tokens.clear()
        assert client.get_manifest(Reference(server.domain, "team/app", "t")).data == b"{}"


def test_an_identity_token_is_exchanged(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server:
        configure(no_credentials, auths={server.domain: {"identitytoken": "refresh-me"}})
        assert fetch(server) == b"{}"
        assert server.asked("POST", "/token")


def test_given_credentials_win(no_credentials: Path) -> None:
    with MiniRegistry("basic") as server:
        configure(no_credentials, auths={server.domain: {"auth": base64.b64encode(b"a:b").decode()}})
        settings = RegistrySettings(credentials={server.domain: ("tester", "secret")})
        assert fetch(server, settings) == b"{}"


def test_a_token_server_that_fails_is_asked_again_and_named(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}})

        def down(handler: Handler) -> bool:
            if not handler.path.startswith("/token"):
                return False
            handler.error(503, "DOWN")
            return True

        server.faults.append(down)
        assert fetch(server) == b"{}"
        server.faults += [down] * 10
        with pytest.raises(ServerFailed, match=rf"`{server.domain} \(token\)` with status 503"):
            fetch(server)
        assert len(server.asked("GET", "/token")) <= 2 + QUICK.retries + 2


def test_a_redirect_to_another_host_carries_no_authorization(no_credentials: Path) -> None:
    payload = b"x" * 1000
    with MiniRegistry("basic") as server, MiniRegistry() as storage:
        configure(no_credentials, auths={server.domain: {"auth": TESTER}, storage.domain: {"auth": TESTER}})
        server.add_manifest("team/app", "t", payload)
        storage.add_manifest("elsewhere", "t", payload)
        client = RegistryClient(QUICK)
        client.get_manifest(Reference(server.domain, "team/app", "t"))

        def away(handler: Handler) -> bool:
            handler.answer(307, Location=f"http://{storage.domain}/v2/elsewhere/manifests/t")
            return True

        server.faults.append(away)
        assert client.get_manifest(Reference(server.domain, "team/app", "t")).digest == digest_of(payload)
        assert "authorization" in server.asked("GET", "/manifests/")[-1]
        assert "authorization" not in storage.asked("GET", "/manifests/")[-1]


def test_a_redirect_takes_no_identity_token_to_another_host(no_credentials: Path) -> None:
    with MiniRegistry("bearer") as server, MiniRegistry() as other:
        configure(no_credentials, auths={server.domain: {"identitytoken": "refresh-me"}})

        def away(handler: Handler) -> bool:
            if handler.command != "POST":
                return False
            handler.answer(307, Location=f"http://{other.domain}/token")
            return True

        server.faults.append(away)
        with pytest.raises(UnexpectedAnswer, match="a redirect to another host"):
            fetch(server)
        assert other.requests == []


def test_endless_redirects_end(mini: MiniRegistry) -> None:
    def round_and_round(handler: Handler) -> bool:
        handler.answer(302, Location=handler.path)
        return True

    mini.faults += [lambda h: round_and_round(h) for _ in range(30)]
    with pytest.raises(UnexpectedAnswer, match="redirects"):
        fetch(mini)


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "file:///etc/passwd", "/token"])
def test_strange_token_servers_are_refused(mini: MiniRegistry, realm: str) -> None:
    mini.faults.append(lambda h: (h.answer(401, WWW_Authenticate=f'Bearer realm="{realm}"'), True)[1])
    with pytest.raises(UnexpectedAnswer, match="is not an https URL"):
        fetch(mini)


# -- where credentials are kept --------------------------------------------------------------------------------------


def keychain(**fields: object) -> Keychain:
    return Keychain(RegistrySettings(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "domain"), [
    ("https://index.docker.io/v1/", "docker.io"), ("index.docker.io", "docker.io"), ("docker.io", "docker.io"),
    ("ghcr.io", "ghcr.io"), ("https://ghcr.io", "ghcr.io"), ("https://ghcr.io/v2/", "ghcr.io"),
    ("localhost:5000", "localhost:5000"),
])
def test_registries_have_several_spellings(no_credentials: Path, key: str, domain: str) -> None:
    configure(no_credentials, auths={key: {"auth": TESTER}})
    assert keychain().lookup(domain) == Credentials("tester", "secret")
    assert keychain().lookup("other.example") is None


def test_the_longest_namespace_wins(no_credentials: Path) -> None:
    other = base64.b64encode(b"narrow:secret").decode()
    configure(no_credentials, auths={"ghcr.io": {"auth": TESTER}, "ghcr.io/team": {"auth": other}})
    assert keychain().lookup("ghcr.io", "team/app") == Credentials("narrow", "secret")
    assert keychain().lookup("ghcr.io", "teammate/app") == Credentials("tester", "secret")


def test_podmans_file_is_read_after_dockers(no_credentials: Path, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    podman = tmp_path / "auth.json"
    podman.write_text(json.dumps({"auths": {"ghcr.io": {"auth": TESTER}, "quay.io": {"auth": TESTER}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(podman))
    configure(no_credentials, auths={"ghcr.io": {"username": "docker", "password": "p"}})
    assert keychain().lookup("ghcr.io") == Credentials("docker", "p")
    assert keychain().lookup("quay.io") == Credentials("tester", "secret")
    assert keychain(authfile=str(tmp_path / "none.json")).lookup("quay.io") is None


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    program = tmp_path / "bin" / f"docker-credential-{name}"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\nimport sys\naction, server = sys.argv[1], sys.stdin.read()\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_helpers_are_asked(no_credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "box",
           'print(\'{"ServerURL": "\' + server + \'", "Username": "\' + server + \'", "Secret": "s"}\')')
    configure(no_credentials, credsStore="box", credHelpers={"ghcr.io": "missing"})
    assert keychain().lookup("docker.io") == Credentials("https://index.docker.io/v1/", "s")
    assert keychain().lookup("quay.io") == Credentials("quay.io", "s")
    with pytest.raises(HelperFailed, match="docker-credential-missing"):
        keychain().lookup("ghcr.io")


def test_a_helper_may_know_nothing_or_a_token(no_credentials: Path, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "none", 'print("credentials not found in native keychain"); sys.exit(1)')
    helper(tmp_path, monkeypatch, "token", 'print(\'{"Username": "<token>", "Secret": "idtoken"}\')')
    helper(tmp_path, monkeypatch, "bad", 'print("locked"); sys.exit(1)')
    configure(no_credentials, credHelpers={"a.io": "none", "b.io": "token", "c.io": "bad", "d.io": "../../bin/sh"},
              auths={"a.io": {"auth": TESTER}})
    assert keychain().lookup("a.io") == Credentials("tester", "secret")
    assert keychain().lookup("b.io") == Credentials(identity_token="idtoken")
    with pytest.raises(HelperFailed) as failure:
        keychain().lookup("c.io")
    assert failure.value.cause == "locked"
    with pytest.raises(HelperFailed, match="sh"):
        keychain().lookup("d.io")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"ghcr.io": {"auth": "%%%"}}}'])
def test_a_damaged_file_is_named(no_credentials: Path, text: str) -> None:
    (no_credentials / "config.json").write_text(text)
    with pytest.raises(BadAuthFile, match=r"config\.json"):
        keychain().lookup("ghcr.io")


def test_login_and_logout_keep_the_rest_of_the_file(no_credentials: Path) -> None:
    configure(no_credentials, proxies={"default": {}}, auths={"quay.io": {"auth": TESTER}})
    login("docker.io", Credentials("me", "p:w"))
    document = json.loads((no_credentials / "config.json").read_text())
    assert document == {"proxies": {"default": {}}, "auths": {
        "quay.io": {"auth": TESTER},
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:p:w").decode()}}}
    assert (no_credentials / "config.json").stat().st_mode & 0o777 == 0o600
    assert keychain().lookup("docker.io") == Credentials("me", "p:w")
    assert logout("docker.io") is True
    assert logout("docker.io") is False
    assert keychain().lookup("docker.io") is None
    assert keychain().lookup("quay.io") == Credentials("tester", "secret")


def test_a_linked_file_stays_a_link(no_credentials: Path, tmp_path: Path) -> None:
    (no_credentials / "config.json").symlink_to("../dotfiles/docker.json")
    login("quay.io", Credentials("me", "pw"))
    assert (no_credentials / "config.json").is_symlink()
    assert keychain().lookup("quay.io") == Credentials("me", "pw")
    assert os.listdir(no_credentials.parent / "dotfiles") == ["docker.json"]


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("tester", "secret", "secret"))


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_tls_on_this_machine_is_found_and_not_checked(certificate: tuple[Path, Path]) -> None:
    with over_tls(MiniRegistry(), certificate) as server:
        assert fetch(server) == b"{}"


def test_elsewhere_an_unknown_certificate_is_refused(certificate: tuple[Path, Path]) -> None:
    with over_tls(MiniRegistry(), certificate) as server:
        port = server.domain.rpartition(":")[2]
        server.add_manifest("team/app", "t", b"{}")
        # 0.0.0.0 reaches this machine and does not count as loopback
        reference = Reference(f"0.0.0.0:{port}", "team/app", "t")
        with pytest.raises(CertificateRefused) as failure:
            RegistryClient(QUICK).get_manifest(reference)
        assert f"/etc/docker/certs.d/0.0.0.0:{port}/ca.crt" in (failure.value.hint or "")
        insecure = RegistrySettings(insecure=frozenset({"0.0.0.0"}))
        assert RegistryClient(insecure).get_manifest(reference).data == b"{}"


def test_a_ca_in_certs_d_is_trusted(certificate: tuple[Path, Path], no_credentials: Path) -> None:
    with over_tls(MiniRegistry(host="127.0.0.1"), certificate) as server:
        port = server.domain.rpartition(":")[2]
        server.add_manifest("team/app", "t", b"{}")
        settings = RegistrySettings(mirrors={"far.example": (f"https://localhost:{port}",)},
                                    certificates={f"localhost:{port}": str(certificate[0])})
        client = RegistryClient(settings)
        assert client.get_manifest(Reference("far.example", "team/app", "t")).data == b"{}"
        folder = no_credentials / "certs.d" / f"localhost:{port}"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(certificate[0].read_bytes())
        client = RegistryClient(RegistrySettings(mirrors={"far.example": (f"https://localhost:{port}",)}))
        assert client.get_manifest(Reference("far.example", "team/app", "t")).data == b"{}"
