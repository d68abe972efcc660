"""What can be wrong with a Dockerfile's meaning; each class takes facts and owns its sentence."""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import DockerfileError, UsageError
from builder.source import Location


class PlanError(DockerfileError):
    code = "plan"


class NoStages(PlanError):
    code = "no-stages"

    def __init__(self) -> None:
        super().__init__("dockerfile contains no stages to build", hint="a Dockerfile needs at least one FROM")


class UnknownTarget(UsageError):
    code = "unknown-target"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        from builder.golang.suggest import suggestion

        names = [n for n in known if n]
        super().__init__(f'target stage "{name}" could not be found{suggestion(name, names)}',
                         notes=(f"stages with a name: {', '.join(names)}",) if names else ())


class BlankBaseName(PlanError):
    code = "blank-base-name"

    def __init__(self, word: str, location: Location) -> None:
        super().__init__(f"base name ({word}) should not be blank", location=location,
                         hint="give the ARG a default before FROM, or pass it with --build-arg")


class CircularDependency(PlanError):
    code = "circular-dependency"

    def __init__(self, stage: str, location: Location | None) -> None:
        super().__init__(f"circular dependency detected on stage: {stage}", location=location)


class EndlessTriggers(PlanError):
    code = "endless-triggers"

    def __init__(self, image: str, depth: int, count: int, location: Location | None) -> None:
        super().__init__(f"the ONBUILD triggers of `{image}` lead to further ones without an end", location=location,
                         notes=(f"at most {depth} in each other and {count:,} in all are followed",),
                         hint="an image whose ONBUILD copies from the image itself cannot be a base")


class NulByte(PlanError):
    code = "nul-byte"

    def __init__(self, text: str, location: Location | None) -> None:
        shown = text.replace("\0", "\\0")
        super().__init__(f"`{shown[:100]}` holds a NUL byte, which ends every path, argument and variable",
                         location=location)


class StageNotYetDefined(PlanError):
    code = "stage-not-yet-defined"

    def __init__(self, verb: str, source: str, location: Location) -> None:
        super().__init__(f'cannot {verb} from stage "{source}", it needs to be defined before the current stage',
                         location=location, hint="move that stage's FROM above this one")


class InvalidStageIndex(PlanError):
    code = "invalid-stage-index"

    def __init__(self, index: int, count: int, location: Location) -> None:
        super().__init__(f"invalid stage index {index}", location=location,
                         notes=(f"the file has stages 0 to {count - 1}",))


class EntitlementNeeded(UsageError):
    code = "entitlement"

    def __init__(self, entitlement: str, location: Location) -> None:
        super().__init__(f"granting entitlement {entitlement} is not allowed by build", location=location,
                         hint=f"pass `--allow {entitlement}`")


class NoDevices(PlanError):
    code = "no-devices"

    def __init__(self, device: str, location: Location) -> None:
        super().__init__(f"RUN --device: there is no device `{device}`: this builder has no CDI devices",
                         location=location, hint="bind what the step needs with --volume, or leave the flag out")
