"""How a program sets an input, for messages: as Python sets it, or as the schema names it in any language."""

from __future__ import annotations

from collections.abc import Mapping

PYTHON: Mapping[str, str] = {
    "existing": "adopt={'secret': 'existing'}",
    "existing_a": "adopt={'secret': 'existing', 'a': UUID}",
    "existing_live": "adopt={'secret': 'existing', 'live': 'a' or 'b'}",
    "regenerate": "adopt={'secret': 'regenerate'}",
    "regenerate_a": "adopt={'secret': 'regenerate', 'a': UUID}",
    "b": "'b': UUID",
    "leave": "clean_targets=False",
    "model": "'model' of smoke",
    "models": "'model' or 'expect_models' of smoke",
    "retain": "on_delete='retain'",
    "skip": "smoke={'from': 'skip'}",
    "take_over": "take_over=True",
    "trigger": "rotation_trigger",
    "verify": "verify=True",
}
"""What the users of dynamic resources write."""

SCHEMA: Mapping[str, str] = {
    "existing": "`adopt: {secret: existing}`",
    "existing_a": "`adopt: {secret: existing, a: UUID}`",
    "existing_live": "`adopt: {secret: existing, live: a}`, or `live: b`",
    "regenerate": "`adopt: {secret: regenerate}`",
    "regenerate_a": "`adopt: {secret: regenerate, a: UUID}`",
    "b": "`b: UUID`",
    "leave": "`cleanTargets: false`",
    "model": "`model` of `smoke`",
    "models": "`model` or `expectModels` of `smoke`",
    "retain": "`onDelete: retain`",
    "skip": "`smoke: {from: skip}`",
    "take_over": "`takeOver: true`",
    "trigger": "`rotationTrigger`",
    "verify": "`verify: true`",
}
"""The same for the users of the full provider."""

any_language = False
"""Whether this is the process of the full provider, which sets it."""


def spelled(text: str) -> str:
    """Return a text whose settings, such as `{take_over}`, are spelled for the users of this process."""
    return text.format_map(SCHEMA if any_language else PYTHON)
