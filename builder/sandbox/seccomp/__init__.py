"""Seccomp profiles that people bring (`--security-opt seccomp=FILE`), on the caller's side of the runtime.

    profile    reads a file of Docker's form or the OCI runtime specification's, for this machine and a step's rights
    filter     compiles what that gives for the built-in runtime; OCI runtimes are handed it as it is
    syscalls   the numbers of all system calls
"""
