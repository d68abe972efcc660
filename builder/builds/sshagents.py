"""The agents of --ssh, as steps and git reach them: through a door that lets them list keys and sign, no more.

An agent is the user's own, by its socket, or one that is started for the build and holds the given key files. A step
that may use keys must not be able to take them away, add some, or lock the agent.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Sequence

from builder.errors import ContextError, UsageError

_REQUEST_IDENTITIES, _SIGN_REQUEST, _FAILURE = 11, 13, 5
"""Message numbers of the agent protocol (draft-ietf-sshm-ssh-agent, section 6.1)."""
_LONGEST = 256 << 10
_LONGEST_KEY = 100 << 10


class NoAgent(UsageError):
    def __init__(self, identity: str) -> None:
        super().__init__(f"--ssh {identity}: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
                         hint=f"start an agent, or name a key: `--ssh {identity}=$HOME/.ssh/id_ed25519`")


class UnusableKey(ContextError):
    code = "ssh-key"

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"cannot use `{path}` as an ssh key", cause=cause,
                         hint="a key with a passphrase has to be in an agent: `ssh-add`, then `--ssh default`")


class SshAgents:
    """Those of one run; nothing is started before a socket is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doors: dict[tuple[str, ...], _Door] = {}
        self._agents: list[subprocess.Popen[bytes]] = []
        self._dir = ""

    def socket(self, paths: tuple[str, ...]) -> str:
        """A Unix socket that speaks the agent protocol, one for the same checked paths. Raises UnusableKey."""
        with self._lock:
            if paths not in self._doors:
                if not self._dir:
                    import tempfile

                    self._dir = tempfile.mkdtemp(prefix="builder-ssh-")
                upstream = paths[0] if _is_socket(paths[0]) else self._start(paths)
                self._doors[paths] = _Door(os.path.join(self._dir, f"{len(self._doors)}.door"), upstream)
            return self._doors[paths].path

    def close(self) -> None:
        """Ends what was started. Idempotent."""
        with self._lock:
            for door in self._doors.values():
                door.close()
            self._doors.clear()
            for holder in self._agents:
                _end(holder)
            self._agents.clear()
            if self._dir:
                from builder.rooted.removing import remove_path

                remove_path(self._dir)
                self._dir = ""

    def _start(self, keys: Sequence[str]) -> str:
        """The socket of a new agent that holds the keys."""
        path = os.path.join(self._dir, f"{len(self._agents)}.agent")
        try:
            # The agent lives as long as `cat`, and that as long as this process holds the other end of its input.
            holder = subprocess.Popen(["ssh-agent", "-a", path, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise UnusableKey(keys[0], "there is no program `ssh-agent` (Debian: openssh-client)") from None
        self._agents.append(holder)
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        for key in keys:
            _add(key, path)
        return path


def _end(holder: subprocess.Popen[bytes]) -> None:
    """The agent, a child of `cat`, would notice by itself, but only looks every ten seconds."""
    try:
        with open(f"/proc/{holder.pid}/task/{holder.pid}/children") as file:
            for child in file.read().split():
                os.kill(int(child), signal.SIGTERM)
    except OSError:
        pass
    holder.kill()
    holder.communicate()


class _Door:
    """A socket whose connections are continued to an agent, request by request."""

    def __init__(self, path: str, upstream: str) -> None:
        self.path = path
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        os.chmod(path, 0o600)
        self._listener.listen(16)
        threading.Thread(target=self._accept, name="ssh-agent", daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="ssh-agent", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            try:
                agent.connect(self._upstream)
                while request := _message(connection):
                    if request[0] in (_REQUEST_IDENTITIES, _SIGN_REQUEST):
                        _send(agent, request)
                        answer = _message(agent)
                    else:
                        answer = bytes([_FAILURE])
                    _send(connection, answer)
            except OSError:
                return


def _message(stream: socket.socket) -> bytes:
    """The next message without its length; b"" at the end, and for one that is broken or too long."""
    length = int.from_bytes(_exactly(stream, 4), "big")
    return _exactly(stream, length) if 0 < length <= _LONGEST else b""


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _send(stream: socket.socket, message: bytes) -> None:
    stream.sendall(len(message).to_bytes(4, "big") + message)


def checked_paths(identity: str, given: Sequence[str]) -> tuple[str, ...]:
    """The key files or the one socket of an agent, $SSH_AUTH_SOCK without any. Raises UsageError."""
    paths = tuple(path for path in given if path) or (os.environ.get("SSH_AUTH_SOCK", ""),)
    if not paths[0]:
        raise NoAgent(identity)
    for path in paths:
        if not os.path.exists(path):
            raise UsageError(f"--ssh {identity}: there is no `{path}`")
    if any(map(_is_socket, paths)) and len(paths) > 1:
        all_sockets = all(map(_is_socket, paths))
        raise UsageError(f"--ssh {identity}: " + (
            "only single socket allowed" if all_sockets else "invalid combination of keys and sockets"))
    return paths


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.stat(path).st_mode)


def _add(key: str, agent: str) -> None:
    """Gives a key file to an agent. By standard input: then ssh-add does not mind who else may read the file."""
    try:
        with open(key, "rb") as file:
            content = file.read(_LONGEST_KEY)
        # In a session of its own there is no terminal on which to ask for a passphrase.
        subprocess.run(["ssh-add", "-q", "-"], input=content.rstrip() + b"\n", check=True, capture_output=True,
                       start_new_session=True,
                       env={**os.environ, "SSH_AUTH_SOCK": agent, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"})
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise UnusableKey(key, said[-1] if said else "ssh-add refuses it") from None
    except OSError as error:
        raise UnusableKey(key, (error.strerror or str(error)).lower()) from None
