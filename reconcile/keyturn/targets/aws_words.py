"""Turns errors of AWS into ours. Only the code and known phrases are read; no text is repeated."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection

import httpx
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from keyturn.core.errors import (
    CredentialError,
    InputError,
    KeyturnError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.targets.bounded_http import NEVER_SENT, Unreadable
from keyturn.targets.servers import Action, causes

FORBIDDEN = 403
SERVER_ERROR = 500

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
THROTTLED = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
KEY = frozenset({"DecryptionFailure", "EncryptionFailure"})

NO_LOGIN = (
    boto.ConfigParseError,
    boto.CredentialRetrievalError,
    boto.InvalidConfigError,
    boto.MetadataRetrievalError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
)


def code_of(error: ClientError) -> str:
    """Return the error's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def said(error: ClientError, phrases: Collection[str]) -> bool:
    """Tell whether the error's text contains one of these lower-case phrases."""
    text = str(error.response.get("Error", {}).get("Message", "")).lower()
    return any(phrase in text for phrase in phrases)


def in_words(action: Action, error: Exception, request: float) -> KeyturnError:
    """Return our error for an error of botocore or of the connection. `request` is the deadline in seconds."""
    if isinstance(error, KeyturnError):
        return error
    if isinstance(error, ClientError):
        return _answered(action, error)
    if isinstance(error, NO_LOGIN):
        return CredentialError(
            "no AWS credentials found",
            where=action.where,
            evidence=type(error).__name__,
            remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.",
        )
    if isinstance(error, boto.ParamValidationError | boto.InvalidRegionError | boto.UnknownEndpointError):
        return InputError(
            f"could not {action.doing}: AWS does not accept this name, region or value",
            where=action.where,
            evidence=type(error).__name__,
        )
    never = isinstance(error, NEVER_SENT)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
        why = "its certificate is not trusted"
    elif never:
        why = "could not connect"
    elif isinstance(error, Unreadable):
        why = str(error)
    elif isinstance(error, httpx.RequestError):
        why = f"no answer within {request:g} s, or the connection was lost"
    else:  # the library cannot read the answer, and its error may repeat it
        why = "this is not an answer of AWS"
    return TargetUnavailable(
        f"could not {action.doing}: {why}",
        where=action.where,
        evidence=type(error).__name__,
        remedy="Check the region, the network and AWS_CA_BUNDLE." if never else "Run again.",
        ambiguous=action.decides and not never,
    )


def _answered(action: Action, error: ClientError) -> KeyturnError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    evidence = code if re.fullmatch(r"[A-Za-z.]{1,64}", code) else f"status {status}"
    where, doing = action.where, action.doing
    if code in REFUSED:
        return CredentialError(
            "AWS refuses these credentials",
            where=where,
            evidence=evidence,
            remedy="Replace them. If they are right, check this machine's clock.",
        )
    if code in KEY or (code in DENIED and said(error, ["kms"])):
        return TargetForbidden(
            f"could not {doing}: this login may not use the secret's KMS key",
            where=where,
            evidence=evidence,
            remedy="Allow kms:Decrypt and kms:GenerateDataKey for the key, and check that it is enabled.",
        )
    if code in DENIED or status == FORBIDDEN:
        return TargetForbidden(
            f"this login may not {doing}",
            where=where,
            evidence=evidence,
            remedy=action.remedy,
        )
    if code in THROTTLED:
        return TargetUnavailable(f"could not {doing}: AWS asks to slow down", where=where, evidence=evidence)
    if status >= SERVER_ERROR:
        return TargetUnavailable(
            f"could not {doing}: AWS reports an internal error",
            where=where,
            evidence=evidence,
            remedy="Run again.",
            ambiguous=action.decides,
        )
    if said(error, ["marked for deletion", "marked deleted", "scheduled for deletion"]):
        return scheduled(where)
    if said(error, ["replica"]):
        return TargetMisfit(
            "this secret is a replica, which cannot be written",
            where=where,
            evidence=evidence,
            remedy="Name the region of the primary secret.",
        )
    if code == "ResourceNotFoundException":
        return TargetMisfit(f"could not {doing}: there is no such secret", where=where, evidence=evidence)
    return TargetMisfit(f"could not {doing}: AWS refuses it", where=where, evidence=evidence)


def scheduled(where: str) -> TargetMisfit:
    """Return the error for a secret that is scheduled for deletion."""
    return TargetMisfit(
        "this secret was deleted: it is scheduled for deletion",
        where=where,
        remedy="Nothing was changed. Restore it: aws secretsmanager restore-secret --secret-id NAME.",
    )
