"""The git program, run so that nothing but its arguments decides what it does.

No configuration of the user or the system is read, no hook runs, nothing asks on a terminal, and only the protocols
that git sources may name can be used (so a hostile repository reaches neither local paths nor `ext::` commands through
a submodule). Addresses and credentials travel in the environment, never in the visible argument list.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.errors import Cancelled, ContextError

if TYPE_CHECKING:
    import subprocess

_UMASK = 0o022
_POLL, _GRACE = 0.2, 10.0
_KEPT_LINES = 20
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy")
_CONFIG = {
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.git.allow": "always",
    "protocol.file.allow": "user",  # for our own mirror; git refuses it to submodules
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "maintenance.auto": "false",
    "checkout.workers": "0",
    "advice.detachedHead": "false",
    "init.defaultBranch": "master",
}


class GitMissing(ContextError):
    code = "git-missing"

    def __init__(self) -> None:
        super().__init__("a git source needs the program `git`, which is not installed",
                         hint="install git, or fetch the files beforehand and use a local path")


class GitFailed(ContextError):
    """git ended with a status other than 0; `stderr` is what it said."""

    code = "git"

    def __init__(self, what: str, status: int, stderr: str) -> None:
        lines = _CREDENTIALS.sub("://xxxxx@", stderr).strip().splitlines()[-_KEPT_LINES:]
        super().__init__(f"failed to {what}", cause="\n".join(lines) or f"git exited with status {status}")
        self.stderr = stderr


class Git:
    """Runs git for one remote; `config` comes on top of what every call gets."""

    def __init__(self, *, config: Mapping[str, str], ssh_socket: str | None = None, known_hosts: str = "",
                 cancelled: threading.Event | None = None) -> None:
        self._config = {**_CONFIG, **config}
        self._ssh_socket = ssh_socket
        self._known_hosts = known_hosts
        self._cancelled = cancelled

    def run(self, what: str, *args: str, git_dir: str = os.devnull, work_tree: str = "",
            config: Mapping[str, str] | None = None) -> str:
        """What git printed. `what` completes "failed to ..." in the error's message.

        Without a `git_dir`, git sees no repository at all. Raises GitFailed, GitMissing, Cancelled.
        """
        import subprocess

        env = self._environment(git_dir, work_tree, config or {})
        try:
            process = subprocess.Popen(
                ["git", *args], cwd=work_tree or "/", env=env, umask=_UMASK, process_group=0,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise GitMissing from None
        with process:
            try:
                output, errors = self._wait(process)
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            raise GitFailed(what, process.returncode, errors.decode(errors="replace"))
        return output.decode(errors="surrogateescape")

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        from subprocess import TimeoutExpired

        if self._cancelled is None:
            return process.communicate()
        while True:
            if self._cancelled.is_set():
                raise Cancelled("cancelled while git was at work")
            with contextlib.suppress(TimeoutExpired):
                return process.communicate(timeout=_POLL)

    def _environment(self, git_dir: str, work_tree: str, config: Mapping[str, str]) -> dict[str, str]:
        env = {
            "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": os.devnull, "GIT_DIR": git_dir,
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": self._ssh_command(),
        }
        if work_tree:
            env["GIT_WORK_TREE"] = work_tree
        if self._ssh_socket:
            env["SSH_AUTH_SOCK"] = self._ssh_socket
        env |= {name: os.environ[name] for name in (*_PROXIES, "GIT_SSL_CAINFO") if name in os.environ}
        pairs = [*self._config.items(), *config.items()]
        env["GIT_CONFIG_COUNT"] = str(len(pairs))
        for index, (key, value) in enumerate(pairs):
            env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        return env

    def _ssh_command(self) -> str:
        """A host is trusted when first met, and has to show the same key from then on."""
        command = f"ssh -F {os.devnull} -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
        if self._known_hosts:
            import shlex

            option = f'UserKnownHostsFile="{self._known_hosts}" ~/.ssh/known_hosts'
            command += f" -o {shlex.quote(option)}"
        return command


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git and its transport helpers, which share its process group."""
    from subprocess import TimeoutExpired

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=_GRACE)
    except TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
