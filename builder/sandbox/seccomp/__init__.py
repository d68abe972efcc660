"""Seccomp profiles that people bring (`--security-opt seccomp=FILE`), on the caller's side of the runtime.

    userprofile   reads a file of Docker's form or the OCI runtime specification's, for this machine and a step's rights
    ociprofile    what that gives: the specification's values
    filter        compiles them for the built-in runtime; OCI runtimes are handed them as they are
    syscalls      the numbers of all system calls
"""
