"""F1: what a RUN can see of the command line is in its key."""

from __future__ import annotations

from .check import Verdict, check, right_if
from .lab import Lab

LIMIT = "cat /proc/self/limits"
# flag -> its words (DIR is a folder), and what a step sees of it
FLAGS = {
    "shm-size": (["--shm-size", "32m"], "df /dev/shm"),
    "ulimit": (["--ulimit", "nofile=100:200"], LIMIT),
    "ulimit-nproc": (["--ulimit", "nproc=1000"], LIMIT),
    "add-host": (["--add-host", "name.example:10.1.2.3"], "cat /etc/hosts"),
    "dns": (["--dns", "10.9.8.7"], "cat /etc/resolv.conf"),
    "dns-search": (["--dns-search", "one.example"], "cat /etc/resolv.conf"),
    "dns-option": (["--dns-option", "ndots:5"], "cat /etc/resolv.conf"),
    "dns-none": (["--dns", "none"], "cat /etc/resolv.conf || echo none"),
    "no-hosts": (["--no-hosts"], "cat /etc/hosts || echo none"),
    "hostname": (["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=other"], "hostname"),
    "cap-add": (["--cap-add", "SYS_ADMIN"], "cat /proc/self/status"),
    "cap-drop": (["--cap-drop", "CHOWN"], "cat /proc/self/status"),
    "no-new-privileges": (["--security-opt", "no-new-privileges"], "grep NoNew /proc/self/status"),
    "seccomp": (["--security-opt", "seccomp=unconfined"], "grep ^Seccomp: /proc/self/status"),
    "unmask": (["--security-opt", "unmask=ALL"], "grep /proc/ /proc/self/mounts"),
    "network-none": (["--network", "none"], "readlink /proc/self/ns/net"),
    "volume": (["-v", "DIR:/v"], "ls /v"),
    "volume-readonly": (["-v", "DIR:/v:ro"], "grep /v /proc/self/mounts"),
    "mount-tmpfs": (["--mount", "type=tmpfs,target=/v,size=16m"], "df /v"),
    "build-arg": (["--build-arg", "A=2"], "echo $A"),
    "memory": (["--memory", "300m"], "cat /sys/fs/cgroup/memory.max /proc/self/cgroup; echo"),
    "cpus": (["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status"),
    "cgroup-parent": (["--cgroup-parent", "faults"], "cat /proc/self/cgroup"),
}


def _keyed(lab: Lab, flags: list[str], command: str) -> Verdict:
    """The step with the flag must not be the one without it; a random id shows which one it is."""
    folder = lab.dir / "volume"
    folder.mkdir()
    (folder / "inside").write_text("")
    flags = [word.replace("DIR", str(folder)) for word in flags]
    dockerfile = (f"FROM base\nARG A=1\nRUN ({command}) > /seen 2>/dev/null; cat /proc/sys/kernel/random/uuid > /id\n")
    plain = lab.tree(dockerfile)
    again = lab.tree(dockerfile)
    if plain.text("id") != again.text("id"):
        raise AssertionError("the same step was not taken from the cache")
    done = lab.build(dockerfile, *flags, "-o", f"type=tar,dest={lab.dir}/f.tar")
    if done.code:
        return right_if(done.said, f"refused: {done.last}")
    flagged = lab.tree(dockerfile, *flags)
    same = flagged.text("id") == plain.text("id")
    return right_if(not same, "the step without the flag was taken" if same else "runs again")


for _name, (_flags, _command) in FLAGS.items():
    check("F1", _name, f"a build with {_flags[0]} takes the step of one without", _flags, _command)(_keyed)


@check("F1", "shm-size-value", "a build with another --shm-size takes the old step")
def shm_sizes(lab: Lab) -> Verdict:
    dockerfile = "FROM base\nRUN df /dev/shm > /s\n"
    sizes = {size: lab.tree(dockerfile, "--shm-size", size).text("s").split("\n")[1].split()[1]
             for size in ("32m", "48m")}
    return right_if(sizes == {"32m": "32768", "48m": "49152"}, f"df says {sizes}")
