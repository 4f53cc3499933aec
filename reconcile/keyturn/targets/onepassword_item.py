"""PURE: the parts of a Connect item that keyturn uses, and the names of its fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

Listed = BeforeValidator(lambda found: found or ())
"""A list that may be null or left out."""


class Reference(BaseModel):
    """A reference to another part by its id."""

    id: str = ""


class Section(BaseModel):
    """A heading of an item."""

    id: str
    label: str = ""


class ItemField(BaseModel):
    """A field of an item."""

    id: str
    type: str = "STRING"
    label: str = ""
    value: str = Field(default="", repr=False)
    section: Reference | None = None


class Summary(BaseModel):
    """An item in a list. `state` is empty for an active item."""

    id: str
    title: str = ""
    version: int = 0
    state: str = ""


class Item(Summary):
    """An item with its fields."""

    sections: Annotated[tuple[Section, ...], Listed] = ()
    fields: Annotated[tuple[ItemField, ...], Listed] = ()


def split_field(field: str) -> tuple[str, str]:
    """Return section and label. The section is empty if there is none."""
    before, dot, after = field.partition(".")
    return (before, after) if dot else ("", field)


def called(item: Item, name: str) -> list[ItemField]:
    """Return the fields with this name in a manifest: the label, alone or after the section's label or id."""
    labels = {section.id: section.label for section in item.sections}

    def fits(field: ItemField) -> bool:
        section = field.section.id if field.section else ""
        return name in {field.label, f"{section}.{field.label}", f"{labels.get(section, '')}.{field.label}"}

    return [field for field in item.fields if fits(field)]


def concealed(label: str, section: str, value: str | None) -> dict[str, object]:
    """Return a new field, in the section with this id if there is one."""
    place = {"section": {"id": section}} if section else {}
    return {"type": "CONCEALED", "label": label, "value": value or "", **place}


def pointer(field: ItemField) -> str:
    """Return the JSON pointer (RFC 6901) to a field."""
    return f"/fields/{field.id.replace('~', '~0').replace('/', '~1')}"
