"""What the generated SDK does otherwise than its generator has it.

Its version is that of keyturn, which brings this package. And inputs may also be a dictionary, as programs for the
dynamic resources of earlier versions give them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TypeVar, cast

from semver import VersionInfo

Args = TypeVar("Args")
Options = TypeVar("Options")


def _get_semver_version() -> VersionInfo:
    return VersionInfo.parse(version("keyturn"))


def get_resource_args_opts(
    args_type: type[Args], options_type: type[Options], *given: object, **named: object
) -> tuple[Args | None, Options | None]:
    """Return the inputs of a resource as one object, None if each is given by keyword; and its options.

    A dictionary is joined with the keywords. Raises TypeError for an input that there is not.
    """
    rest = list(given)
    args = rest.pop(0) if rest and isinstance(rest[0], args_type | Mapping) else named.pop("args", None)
    options = rest[0] if rest and isinstance(rest[0], options_type) else named.pop("opts", None)
    if isinstance(args, Mapping):
        named.pop("opts", None)
        args = args_type(**{**args, **named})
    return cast("Args | None", args), cast("Options | None", options)
