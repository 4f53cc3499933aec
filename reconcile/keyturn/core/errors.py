"""The errors of keyturn: one root, one paragraph each, one exit code each.

    KeyturnError                 exit 1   something failed
    ├── InputError               exit 3   the manifest or the command line is wrong
    │   └── ManifestError                 all its mistakes at once
    ├── OwnershipError           exit 4   another owner's key, field or record; or a brake
    │   ├── Forged                        a record or claim without a valid signature
    │   ├── RunStopped                    the whole run stops, not only this key
    │   └── PolicyError                   the operator's policy does not allow it: all violations at once
    ├── CredentialError          exit 5   a token or a login is refused
    ├── Conflict                 exit 1   a compare-and-set failed: modified concurrently
    ├── LeaseLost                exit 1   this run may no longer write
    ├── ApiError                 exit 1   the API answered no, or not at all
    │   ├── NotAccepted                   definite: connection never made, 400, 422: nothing happened
    │   ├── ApiForbidden         exit 5   definite: 401, 403 of the account token
    │   ├── NotFound                      definite: 404
    │   ├── CreateRetired                 definite: 410 on create
    │   ├── RateLimited                   definite: 429, or unsent: wait, then call again
    │   └── Ambiguous                     5xx, timeout, reset, unreadable: it may have happened, or still happen
    └── TargetError              exit 1   a target said no
        ├── TargetUnavailable             no answer, sealed, throttled: try again later (may be ambiguous)
        ├── TargetForbidden               this login may not do that
        ├── TargetMisfit                  wrong mount, KV v1, binary value, not writable: an operator has to act
        └── ChangeUndone                  the write is there, and has undone what someone else changed

No error holds a secret, a token or a body: an API error keeps the status, the error id, the request id and the
text of known shape, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class KeyturnError(Exception):
    """A failure told in one paragraph: where, what, evidence, remedy."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", evidence: str = "", remedy: str = "") -> None:
        """Keep the four parts; empty ones are left out of the text."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.evidence = evidence
        self.remedy = remedy

    def __str__(self) -> str:
        """Join the parts into one paragraph on one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.evidence:
            text = f"{text} ({self.evidence})"
        if not text.endswith((".", "!", "?")):
            text += "."
        return f"{text} {self.remedy}" if self.remedy else text


class InputError(KeyturnError):
    """The command line or a file that an operator wrote is wrong."""

    exit_code = 3


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a manifest; line and column count from 1, 0 where unknown."""

    file: str
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        """Show as `file:line:column: path: text`, the form that editors follow; without a line only the file."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        path = f"{self.path}: " if self.path else ""
        return f"{place}: {path}{self.text}"


class ManifestError(InputError):
    """Every mistake of a manifest, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Keep the mistakes sorted by place."""
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    def __str__(self) -> str:
        """One line per mistake."""
        return self.what


class OwnershipError(KeyturnError):
    """A brake or an ownership rule stopped this key."""

    exit_code = 4


class Forged(OwnershipError):
    """A record or claim has no valid signature: it was forged, copied or rolled back, or never signed."""


class RunStopped(OwnershipError):
    """The whole run stops: another team's token, two or more keys gone at once, an API that refuses every key."""


class PolicyError(OwnershipError):
    """Every violation of the operator's policy in manifests, in the order of the files."""

    def __init__(self, violations: Sequence[Mistake]) -> None:
        """Keep the violations sorted by place."""
        self.violations = tuple(sorted(violations))
        super().__init__("\n".join(str(violation) for violation in self.violations))

    def __str__(self) -> str:
        """One line per violation."""
        return self.what


class CredentialError(KeyturnError):
    """A token or a target's login is refused."""

    exit_code = 5


class Conflict(KeyturnError):
    """A compare-and-set found another version, or our field changed, since it was read."""


class LeaseLost(KeyturnError):
    """This run's lease ran out before the bytes of a mutating call went out; nothing was sent."""


class ApiError(KeyturnError):
    """The DigitalOcean API answered no, or not at all."""

    definite = True

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        evidence: str = "",
        remedy: str = "",
        status: int | None = None,
    ) -> None:
        """Keep the HTTP status, None where there was no answer."""
        super().__init__(what, where=where, evidence=evidence, remedy=remedy)
        self.status = status


class NotAccepted(ApiError):
    """Definite no: the connection was never made, or 400, 422."""


class ApiForbidden(ApiError):
    """Definite no: 401 or 403 for the account token."""

    exit_code = 5


class NotFound(ApiError):
    """Definite no: 404."""


class CreateRetired(ApiError):
    """Definite no: 410, the API no longer creates keys."""


class RateLimited(ApiError):
    """Definite no: 429, or not even sent since one was to be expected. The same call may be made a while later."""


class Ambiguous(ApiError):
    """It may have happened, and may even happen later: 5xx, timeout, reset, an unreadable answer."""

    definite = False


class TargetError(KeyturnError):
    """A target said no, or did not answer.

    `ambiguous` is True where a write was sent and no answer tells whether it took effect.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        evidence: str = "",
        remedy: str = "",
        ambiguous: bool = False,
    ) -> None:
        """Keep whether the write may have taken effect."""
        super().__init__(what, where=where, evidence=evidence, remedy=remedy)
        self.ambiguous = ambiguous


class TargetUnavailable(TargetError):
    """No answer, sealed, throttled, a server error: the same call may work later."""


class TargetForbidden(TargetError):
    """The login is accepted and may not do this."""


class TargetMisfit(TargetError):
    """Wrong mount, wrong engine version, wrong type of value, no such place: an operator has to act."""


class ChangeUndone(TargetError):
    """A write or removal succeeded, and may have undone a change of someone else, who has to be told.

    `version` is the new version, or marker, of the write.
    """

    version = ""
