"""`builder completion`: what a shell has to read so that it completes the words of `builder`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.value_types import choice
from builder.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def run(invocation: Invocation) -> int:
    shell, = invocation.arguments
    if shell not in SHELLS:
        raise UsageError(f"no completion for the shell `{shell}`", hint=f"use {', '.join(SHELLS)}")
    from builder.cli.shells import script

    print(script(shell), end="")
    return 0


COMMAND = Command(
    "completion", "SHELL", run, arguments=(1, 1), takes=choice(*SHELLS),
    notes="bash: source <(builder completion bash)\n"
          "zsh:  source <(builder completion zsh), after compinit\n"
          "fish: builder completion fish | source")
