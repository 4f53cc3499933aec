"""The list of the account's API keys, indexed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from keyturn.core.model import ApiKey


class Listing(tuple[ApiKey, ...]):  # noqa: SLOT001 - the indexes are kept with it
    """A list of API keys that finds one by its uuid or name without a search: thousands of keys look in one list."""

    @classmethod
    def of(cls, keys: tuple[ApiKey, ...]) -> Listing:
        """Return the keys as a listing: themselves, if they are one."""
        return keys if isinstance(keys, Listing) else cls(keys)

    @cached_property
    def by_uuid(self) -> Mapping[str, ApiKey]:
        """The keys by their uuid; the first of several."""
        return {key.uuid: key for key in reversed(self)}

    @cached_property
    def by_name(self) -> Mapping[str, tuple[ApiKey, ...]]:
        """The keys by their name, in the order of the list."""
        found: dict[str, list[ApiKey]] = {}
        for key in self:
            found.setdefault(key.name, []).append(key)
        return {name: tuple(keys) for name, keys in found.items()}

    @cached_property
    def living(self) -> Listing:
        """The keys that are not deleted."""
        living = tuple(key for key in self if key.deleted_at is None)
        return self if len(living) == len(self) else Listing(living)
