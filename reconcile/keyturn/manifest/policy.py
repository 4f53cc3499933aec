"""The operator's policy: a file outside the manifests that says what each owner's manifest may do.

What a policy leaves out is not allowed: an absent list is empty, an absent number is the default of a manifest.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from keyturn.core.errors import ManifestError, Mistake
from keyturn.core.model import LONGEST_FREEZE
from keyturn.core.permits import PARTS, Permit, admits, literal
from keyturn.manifest.distrust import read_untrusted
from keyturn.manifest.explain import validate
from keyturn.manifest.mistakes import Mistakes, Path, show_path
from keyturn.manifest.receivers import Program
from keyturn.manifest.schema import Duration, Id, Kinds, LimitsEntry, RotationEntry, TargetEntry, TimingEntry
from keyturn.manifest.schema import Path as TargetPath
from keyturn.manifest.tree import LIMIT_BYTES, Fields, place_at, scalars
from keyturn.manifest.yaml_text import parse
from keyturn.targets.places import Items, place_of

VERSION = "keyturn-policy/v1"

_TIMING, _LIMITS = TimingEntry(), LimitsEntry()
_MOST = 100_000


def _delivery(pattern: str) -> str:
    target, colon, path = pattern.partition("#")[0].partition(":")
    if not (target and colon and path):
        raise ValueError("must be target:path#field, or target:path for a whole value; * and ** are allowed")
    return pattern


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=512)]
DeliveryPattern = Annotated[Pattern, AfterValidator(_delivery)]
Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{4,}$")]
Count = Annotated[int, Field(ge=0, le=_MOST)]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


class RecordsRule(_Rule):
    """The place of the records."""

    target: str = Field(description="A name from this owner's `targets`, or `local`.")
    prefix: TargetPath = "keyturn"


class LimitsRule(_Rule):
    """The most that one run may do."""

    rotations: Count = Field(
        _LIMITS.rotations_per_run, description="Rotations, adoptions and heals; also the most for `rotations_per_run`."
    )
    deletes: Count = Field(0, description="API keys that an operator may allow to be deleted.")
    removals: Count = Field(20, description="Deliveries from which the secret may be removed.")


class TimingRule(_Rule):
    """The shortest times that the manifest may set, and the longest freeze."""

    settle: Duration = _TIMING.settle
    lease: Duration = _TIMING.lease
    request: Duration = _TIMING.request
    overlap: Duration = Field(
        RotationEntry.model_fields["overlap"].default, description="Shortest overlap of an `alternating` key."
    )
    every: Duration | None = Field(None, description="Shortest `rotation.every`; absent: any.")
    freeze: Duration = Field(
        LONGEST_FREEZE,
        description="Longest freeze, and the longest time for which all freezes together hold back what is due.",
    )


class OwnerRule(_Rule):
    """What the manifests of one owner may do."""

    records: RecordsRule
    names: list[Pattern] = Field([], description="Patterns of the names of API keys, with -a, -b, and pool prefixes.")
    targets: dict[Id, TargetEntry] = Field(
        {}, description="The targets, written as in a manifest. A manifest's target must have equal settings."
    )
    deliver: list[DeliveryPattern] = Field([], description="Patterns of deliveries: target:path#field.")
    allow: list[Literal["existing", "skip", "take-over", "no-cleaning"]] = Field(
        [],
        description="`existing`: adopt with the present secret. `skip`: no smoke-check. `take-over`: take over keys, "
        "fields and records of others. `no-cleaning`: `clean_targets: false`.",
    )
    key_prefixes: list[Prefix] = Field([], description="Further prefixes of secrets that are model access keys.")
    commands: list[Program] = Field(
        [], description="Programs that hooks and receivers may run, each by its exact absolute path."
    )
    notify: list[Pattern] = Field(
        [], description="Patterns of the receivers of notices: of their names, or of the URL if the manifest has one."
    )
    limits: LimitsRule = LimitsRule()
    timing: TimingRule = TimingRule()


class PolicyFile(_Rule):
    """The operator's policy: what the manifest of each owner may do."""

    api_version: Literal["keyturn-policy/v1"] = Field(alias="apiVersion")
    owners: dict[Pattern, OwnerRule] = Field(
        description="A rule per owner (the manifest's `name`) or pattern of owners. An exact name wins, then the first "
        "pattern that matches. Any other owner is refused."
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule for one owner, with what its messages need to know. `name` is the owner or pattern as written."""

    policy: Policy
    name: str
    model: OwnerRule

    def at(self, *path: str | int) -> str:
        """Return the position and the path of a part of the rule."""
        return self.policy.at("owners", self.name, *path)

    def place(self, target: str, kinds: Kinds, base: FilePath) -> Items | None:
        """Return the place of a target of the rule; None if its type is not installed or its settings are wrong."""
        entry = self.model.targets[target]
        if entry.type not in kinds:
            return None
        try:
            model = kinds[entry.type].settings_model.model_validate(entry.model_extra or {})
        except ValidationError:
            return None
        return place_of(model, base)

    @property
    def permit(self) -> Permit:
        """What a run has to ask for."""
        limits = self.model.limits
        return Permit(
            names=tuple(self.model.names),
            rotations=limits.rotations,
            deletes=limits.deletes,
            removals=limits.removals,
            allow=frozenset(self.model.allow),
            key_prefixes=tuple(self.model.key_prefixes),
            deliver=tuple(self.model.deliver),
            where={part: self.at(*part.split(".")) if part else self.at() for part in PARTS},
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy without a mistake, and where each part of it stands."""

    file: str
    model: PolicyFile
    root: Fields

    def at(self, *path: str | int) -> str:
        """Return `file:line: path` of a part, or of what it would be in."""
        return f"{self.file}:{place_at(self.root, path).line}: {show_path(path)}"

    def rule(self, owner: str) -> Rule | None:
        """Return the rule for an owner: of its exact name, or else the first whose pattern matches."""
        owners = self.model.owners
        exact = [name for name in owners if name == literal(owner)]
        name = next((name for name in (*exact, *owners) if admits([name], owner)), None)
        return None if name is None else Rule(self, name, owners[name])


def read_policy(path: FilePath, kinds: Kinds) -> Policy:
    """Return the policy in file `path`.

    Raises:
        ManifestError: all mistakes of the file, or that it is no regular file, is larger than 1 MiB or unreadable.
    """
    return parse_policy(_source(path), str(path), kinds)


def parse_policy(source: bytes, file: str, kinds: Kinds) -> Policy:
    """Return the policy with this content; `file` is how its mistakes name it. Raises ManifestError: all mistakes."""
    mistakes = Mistakes(file)
    root = parse(source, mistakes)
    for scalar, where in scalars(root):
        if isinstance(scalar.value, str) and "${" in scalar.value:
            mistakes.settle(scalar.place, where, "a policy reads no variables; write the value")
    root = read_untrusted(root, {}, mistakes)
    fallback = {"apiVersion": VERSION, "owners": {}}
    model, _ = validate(PolicyFile, root, (), mistakes, place=place_at(root, ()), fallback=fallback)
    for owner, rule in model.owners.items() if model else ():
        _check_targets(root, owner, rule, kinds, mistakes)
    if model is None or mistakes.found:
        raise mistakes.stop()
    return Policy(file, model, root)


def _check_targets(root: Fields, owner: str, rule: OwnerRule, kinds: Kinds, mistakes: Mistakes) -> None:
    """Note wrong settings of targets, and a name that is no target. A kind that is not installed is left alone."""
    known = {*rule.targets, "local"}
    path: Path = ("owners", owner, "records", "target")
    if rule.records.target not in known:
        mistakes.add(place_at(root, path), path, "is neither `local` nor a name from `targets` of this owner")
    for name, entry in rule.targets.items():
        path = ("owners", owner, "targets", name)
        node = _node(root, path)
        if not isinstance(node, Fields) or entry.type not in kinds:
            continue
        written = Fields({field: value for field, value in node.entries.items() if field != "type"}, node.place)
        validate(kinds[entry.type].settings_model, written, path, mistakes, place=place_at(root, path))


def _node(root: Fields, path: Path) -> object:
    node: object = root
    for part in path:
        if not isinstance(node, Fields) or part not in node.entries:
            return None
        node = node.entries[str(part)].value
    return node


def _source(path: FilePath) -> bytes:
    try:
        # Without waiting for a writer, if it is a named pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _wrong(path, "is not a regular file, so it is not read as a policy")
            source = file.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise _wrong(path, "there is no such policy; `keyturn policy init --out FILE` writes one") from None
    except IsADirectoryError:
        raise _wrong(path, "is a directory; a policy is one file") from None
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from None
    if not source.strip():
        raise _wrong(path, "the policy is empty; `keyturn policy init --out FILE` writes one")
    return source


def _wrong(path: FilePath, text: str) -> ManifestError:
    return ManifestError([Mistake(str(path), 0, 0, "", text)])
