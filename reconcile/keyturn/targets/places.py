"""The place of a target: its settings in one normal form. Plans show it, and it tells one store from another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from keyturn.core.errors import InputError
from keyturn.core.origins import origin_of

Items = tuple[tuple[str, str], ...]
"""Settings by their names in the manifest, such as `auth.mount`, each with its value in normal form."""

LOGIN = "auth"


class TargetSettings(BaseModel):
    """Base of a settings model. Its methods suit any target; a target with a better normal form overrides them.

    A settings model that is another pydantic model is treated like one that overrides nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def place(self, base: Path) -> Items:
        """Return every setting that has a value. `base` is the manifest's directory."""
        del base
        return flat(self.model_dump(mode="json"))

    def file_mistakes(self, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake for each file or directory of the settings that a manifest in `base` may not name.

        The `where` of each mistake is the name of a setting. `NoConsent` means that another environment could allow it.
        """
        del base, environment
        return ()

    def delivery_mistakes(self, path: str, field: str, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake for a delivery that cannot be, or that a manifest may not name. No network is used.

        The `where` of each mistake is `path` or `field`. `NoConsent` means that another environment could allow it.
        """
        del path, field, environment
        return ()

    def store(self, base: Path) -> Items:
        """Return what tells this store from others: two targets with the same items are one store.

        By default: every setting that differs from its default, except the login.
        """
        del base
        return stored(self)


def place_of(settings: BaseModel, base: Path) -> Items:
    """Return the place of any settings model."""
    return settings.place(base) if isinstance(settings, TargetSettings) else flat(settings.model_dump(mode="json"))


def file_mistakes_of(settings: BaseModel, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
    """Yield the mistakes about files of any settings model."""
    return settings.file_mistakes(base, environment) if isinstance(settings, TargetSettings) else ()


def delivery_mistakes_of(
    settings: BaseModel, path: str, field: str, environment: Mapping[str, str]
) -> Iterable[InputError]:
    """Yield the mistakes about a delivery of any settings model."""
    if isinstance(settings, TargetSettings):
        return settings.delivery_mistakes(path, field, environment)
    return ()


def store_of(settings: BaseModel, base: Path) -> Items:
    """Return what tells the store of any settings model from others."""
    return settings.store(base) if isinstance(settings, TargetSettings) else stored(settings)


def stored(settings: BaseModel) -> Items:
    """Return the settings of a model that differ from their defaults, except the login."""
    return flat(settings.model_dump(mode="json", exclude_defaults=True, exclude={LOGIN}))


def flat(values: Mapping[str, object]) -> Items:
    """Return nested settings with dotted names, without those that have no value."""
    return tuple(_flat(values, ""))


def normal_origin(address: str) -> str:
    """Return the origin of an address: `https://host:port`. What is not an address is returned as it is."""
    try:
        return origin_of(address)
    except InputError:
        return address


def normal_path(path: str, base: Path) -> str:
    """Return the real path: relative to `base` if it is below it, so that it is the same in another checkout."""
    here, real = os.path.realpath(base), os.path.realpath(base / path)
    return os.path.relpath(real, here) if Path(real).is_relative_to(here) else real


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            yield from _flat(inner, f"{name}.{part}" if name else str(part))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{index}")
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif value not in {None, ""}:
        yield name, str(value)
