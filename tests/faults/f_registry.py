"""F2, F12, F18: pushes, pulls and caches at a registry that refuses something."""

from __future__ import annotations

from .bases import Image, Layer, busybox_layer
from .check import Verdict, check, right_if
from .lab import Lab, machine
from .server import Registry


@check("F2", "mount-401", "a push fails where the registry answers a mount with 401", 401)
@check("F2", "mount-403", "the same with 403", 403)
@check("F2", "mount-404", "the same with 404", 404)
@check("F2", "mount-405", "the same with 405", 405)
def refused_mount(lab: Lab, status: int) -> Verdict:
    with Registry(refuse_mount=status) as registry:
        registry.add("base", "latest", [Image([busybox_layer()], arch=machine())])
        done = lab.build(f"FROM {registry.name}/base\nRUN echo x > /x\n", "-t", f"{registry.name}/app:1", "--push")
        pushed = ("app", "1") in registry.manifests
    return right_if(done.code == 0 and pushed, done.last if done.code else "uploaded")


@check("F12", "pull-platform", "pull --platform of an index into a store without that image", "arm64")
@check("F12", "pull-own-platform", "the same for this machine's platform", "own")
@check("F12", "pull-missing", "pull --platform of one that the index has not", "s390x")
def pull_platform(lab: Lab, arch: str) -> Verdict:
    own = machine()
    with Registry() as registry:
        registry.add("multi", "latest", [Image([Layer().file("a", name).done()], arch=name) for name in ("arm64", own)])
        done = lab.run("pull", "--platform", f"linux/{own if arch == 'own' else arch}", f"{registry.name}/multi")
    if arch == "s390x":
        return right_if(done.said, done.last)
    return right_if(done.code == 0, done.last or done.out)


@check("F18", "registry", "--cache-to a registry that cannot be reached fails a good build",
       "type=registry,ref=127.0.0.1:1/c")
@check("F18", "registry-max", "the same with mode=max", "type=registry,mode=max,ref=127.0.0.1:1/c")
@check("F18", "folder", "--cache-to a folder that cannot be written", "type=local,dest=/proc/faults/cache")
@check("F18", "refused", "--cache-to a registry that refuses", "refused")
def cache_to(lab: Lab, place: str) -> Verdict:
    with Registry(refuse_all=403) as registry:
        if place == "refused":
            place = f"type=registry,ref={registry.name}/c"
        done = lab.build("FROM base\nRUN true\n", "--cache-to", place, "-t", "app:1")
    kept = lab.run("images").out
    return right_if(done.code == 0 and "app" in kept and "cache" in done.err, f"exit status {done.code}: {done.last}")


@check("F18", "lazy", "layers of matched steps are fetched though nothing needs them")
def lazy(lab: Lab) -> Verdict:
    with Registry() as registry:
        cache = f"type=registry,ref={registry.name}/c"
        dockerfile = "FROM base\nRUN head -c 100000 /dev/urandom > /x\nRUN echo y > /y\n"
        if (first := lab.build(dockerfile, "--cache-to", f"{cache},mode=max")).code:
            raise AssertionError(first.last)
        layers = [name for (where, name), data in registry.blobs.items()
                  if where == "c" and data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))]
        registry.asked.clear()
        done = lab.build(dockerfile, "--cache-from", cache, "-o", "type=cacheonly", root=lab.dir / "other")
        fetched = sum(any(name in line for line in registry.asked if line.startswith("GET")) for name in layers)
    return right_if(done.code == 0 and "CACHED" in done.err and not fetched,
                    f"{fetched} of {len(layers)} layers fetched")
