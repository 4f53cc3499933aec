"""Files that the settings of a target name: directories of secrets, and certificates.

A manifest may come from a pull request. Without the operator's permission it reaches only what is below its directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from keyturn.core.errors import InputError
from keyturn.core.origins import to_list
from keyturn.targets.origins import NoConsent, listed_in

ALLOWED_ROOTS = "KEYTURN_ALLOWED_ROOTS"
LARGEST_AUTHORITY = 1 << 20
"""The largest size of a certificate file, in bytes."""


def root_mistakes(setting: str, root: str, base: Path, environment: Mapping[str, str]) -> Iterator[InputError]:
    """Yield a mistake if the real path of a directory is neither below the manifest's nor below a permitted one.

    `base` is the manifest's directory. KEYTURN_ALLOWED_ROOTS lists permitted directories, separated as in PATH.
    """
    real = os.path.realpath(base / root)
    listed = (one for one in listed_in(ALLOWED_ROOTS, environment, os.pathsep) if Path(one).is_absolute())
    if any(Path(real).is_relative_to(os.path.realpath(one)) for one in listed):
        return
    if Path(real).is_relative_to(os.path.realpath(base)):
        # A link could be changed without a change of the manifest, and no policy would see it.
        if real != os.path.normpath(Path(os.path.realpath(base), os.path.relpath(base / root, base))):
            yield InputError(
                "a symbolic link is on the way to this directory",
                where=setting,
                evidence=f"it leads to {real}",
                remedy="Name the directory itself.",
            )
    else:
        yield NoConsent(
            f"the directory {real} is not below the directory of the manifest",
            where=setting,
            evidence=f"it is not listed in {ALLOWED_ROOTS}",
            remedy=f"If it is right, type: {to_list(ALLOWED_ROOTS, real, environment, os.pathsep)}",
        )


def authority_mistakes(setting: str, file: str, base: Path) -> Iterator[InputError]:
    """Yield a mistake if the real path of a certificate file is not below the manifest's directory `base`."""
    if file and not Path(os.path.realpath(base / file)).is_relative_to(os.path.realpath(base)):
        yield InputError(
            "a certificate file has to be below the directory of the manifest",
            where=setting,
            remedy="Name a file elsewhere in the environment.",
        )


def authority(setting: str, variable: str, environment: Mapping[str, str], base: Path, where: str) -> tuple[Path, str]:
    """Return the file of the certificate authority and its text; an empty text if none is named.

    The file of the environment's `variable` comes before that of the manifest's `setting`, which thus cannot replace
    it. Both are relative to the manifest's directory `base`.

    Raises:
        InputError: no regular file, larger than LARGEST_AUTHORITY, or without a certificate in PEM format.
    """
    named = environment.get(variable) or setting
    if not named:
        return base, ""
    file, source = base / named, variable if environment.get(variable) else "ca_cert"
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
    else:
        with os.fdopen(handle, "rb") as stream:
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_AUTHORITY:
                text = stream.read(LARGEST_AUTHORITY).decode("ascii", errors="ignore")
                if _holds_certificate(text):
                    return file, text
                why = "it holds no certificate in PEM format"
            else:
                why = f"it is not a regular file of at most {LARGEST_AUTHORITY} bytes"
    raise InputError("this certificate file cannot be used", where=where, evidence=f"{source}: {named}, {why}")


def read_small(file: Path) -> str:
    """Return the text of a regular file of at most LARGEST_AUTHORITY bytes. A named pipe is not waited for.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else, too large, or no UTF-8.
    """
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("no regular file")
        content = stream.read(LARGEST_AUTHORITY + 1)
    if len(content) > LARGEST_AUTHORITY:
        raise ValueError("too large")
    return content.decode()


def _holds_certificate(text: str) -> bool:
    import ssl

    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return bool(text)
