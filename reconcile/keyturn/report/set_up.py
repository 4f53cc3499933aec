"""Documents about the set-up: what `doctor`, `validate` and `targets` found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keyturn import __version__
from keyturn.core.checkup import Check
from keyturn.core.errors import Mistake


@dataclass(frozen=True, slots=True)
class DoctorDocument:
    """What an examination of the set-up found, in the order in which it was examined."""

    at: datetime
    exit_code: int
    checks: tuple[Check, ...]
    kind: Literal["doctor"] = "doctor"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class ValidManifest:
    """A manifest without a mistake: its owner, and how many keys and targets it has."""

    owner: str
    keys: int
    targets: int


@dataclass(frozen=True, slots=True)
class ValidationDocument:
    """What a check of manifests found.

    `unsure`: settings that this environment lacks, and that other commands need; they are no mistakes.
    """

    exit_code: int
    manifests: tuple[ValidManifest, ...]
    mistakes: tuple[Mistake, ...] = ()
    violations: tuple[Mistake, ...] = ()
    unsure: tuple[Mistake, ...] = ()
    kind: Literal["validation"] = "validation"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class TargetSetting:
    """One setting of a kind of target, such as `auth.method`."""

    name: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One installed kind of target. `problem`: why it cannot be used, such as a missing library; else empty.

    `deliveries`: it can hold secrets. `reads`: they can be read back; if not, `marks`: each write changes a marker.
    `effect`: they are in use only after what follows a write, such as a deployment.
    """

    type: str
    package: str
    compare_and_set: bool = False
    versions: bool = False
    records: bool = False
    deliveries: bool = True
    reads: bool = True
    marks: bool = False
    effect: bool = False
    settings: tuple[TargetSetting, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TargetsDocument:
    """The installed kinds of target."""

    targets: tuple[TargetKind, ...]
    kind: Literal["targets"] = "targets"
    schema: Literal[1] = 1
    keyturn: str = __version__
