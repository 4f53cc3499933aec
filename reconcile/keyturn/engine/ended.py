"""How an error ends one key: the one place where an exception becomes a reason."""

from __future__ import annotations

from keyturn.core.errors import (
    Ambiguous,
    CredentialError,
    Forged,
    InputError,
    KeyturnError,
    NotAccepted,
    OwnershipError,
    RateLimited,
    TargetUnavailable,
)
from keyturn.core.reasons import Reason
from keyturn.core.results import End

LOGIN = 5
UNEXPECTED = "An unexpected {} stopped this key. This is a mistake in keyturn; the next run continues where it was."


def ended(error: Exception) -> End:
    """Return the end that an error makes of one key.

    An error that is not keyturn's own shows the name of its type only: its text could hold a secret.
    """
    if not isinstance(error, KeyturnError):
        return End(Reason.UNEXPECTED, UNEXPECTED.format(type(error).__name__))
    return End(_reason(error), str(error))


def _reason(error: KeyturnError) -> Reason:
    match error:
        case Forged():
            return Reason.FORGED
        case OwnershipError():
            return Reason.STOPPED
        case InputError():
            return Reason.MISCONFIGURED
        case CredentialError():
            return Reason.LOGIN_REFUSED
        case TargetUnavailable() | Ambiguous() | RateLimited():
            return Reason.NO_ANSWER
        case NotAccepted(status=None):
            return Reason.NO_ANSWER
        case _:
            return Reason.LOGIN_REFUSED if error.exit_code == LOGIN else Reason.FAILED
