"""Other processes that use a store: started with a few lines of Python, which find `store` open."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PRELUDE = """
import os, signal, sys, time
from builder.oci import *
from builder.store import Store, trace
from builder.store.gc import PrunePolicy, prune
from builder.store.layers import LayerId
from builder.store.records import Document, Record
from builder.store.builds import BuildState, Outcome, Step

def kill_at(point):
    trace.hook = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None

def make_layer(store, text="x", content=None):
    with store.stage_layer() as staged:
        with open(staged.diff + "/file", "w") as file:
            file.write(text)
        return staged.commit(content=content)

store = Store.open(sys.argv[1])
"""


def start(root: str, code: str, *arguments: str) -> subprocess.Popen[str]:
    script = PRELUDE + textwrap.dedent(code) + "\nstore.close()\n"
    return subprocess.Popen([sys.executable, "-c", script, root, *arguments], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def run(root: str, code: str, *arguments: str) -> tuple[int, str]:
    """Exit status (negative: the signal that ended it) and output."""
    child = start(root, code, *arguments)
    output, _ = child.communicate(timeout=60)
    return child.returncode, output
