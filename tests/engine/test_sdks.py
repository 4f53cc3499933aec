"""The SDKs that are checked in: what the generator makes of the schema, and what the overlay adds to Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pulumi import ResourceOptions

from pulumi_keyturn import DeliverArgs, ModelAccessKeyArgs, overlay
from tests.checks import tracked
from tests.generated import ROOT
from tests.sdks import HOMES, overlaid

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ResourceOptions(protect=True)
PLACE = {"target": "vault", "path": "x"}


def test_they_are_fresh(generated_sdks: dict[Path, str]) -> None:
    """`make sdks` writes them. No file is left from an earlier schema."""
    there = [path for path in tracked() if any(path.is_relative_to(home) for home in HOMES.values())]
    assert there == sorted(generated_sdks)
    assert [str(path) for path in there if (ROOT / path).read_text() != generated_sdks[path]] == []


@pytest.mark.parametrize(
    ("given", "named", "name"),
    [
        (({"deliver": [PLACE], "name": "bot"}, OPTIONS), {}, "bot"),
        (({"deliver": [PLACE]}, OPTIONS), {"name": "bot"}, "bot"),
        ((), {"args": {"deliver": [PLACE], "name": "bot"}, "opts": OPTIONS}, "bot"),
        ((ModelAccessKeyArgs(deliver=[DeliverArgs(**PLACE)], name="bot"), OPTIONS), {}, "bot"),
        ((OPTIONS,), {"deliver": [PLACE]}, ""),
        ((), {"deliver": [PLACE], "opts": OPTIONS}, ""),
    ],
)
def test_inputs_may_be_a_dictionary(given: tuple[object, ...], named: dict[str, object], name: str) -> None:
    """As programs for the dynamic resources have them, joined with keywords; without one nothing is changed."""
    args, opts = overlay.get_resource_args_opts(ModelAccessKeyArgs, ResourceOptions, *given, **named)
    assert opts is OPTIONS
    assert (args.name if args else "") == name


def test_an_input_that_there_is_not_is_refused() -> None:
    """By its name."""
    with pytest.raises(TypeError, match="rotate_every"):
        overlay.get_resource_args_opts(ModelAccessKeyArgs, ResourceOptions, {"deliver": [], "rotate_every": "1d"})


def test_the_overlay_takes_the_place_of_functions() -> None:
    """Of these two, and of no other line."""
    functions = "def get_resource_args_opts(x):\n    return x\n\n\ndef _get_semver_version():\n    pass\n"
    text = f"import a\nfrom parver import V\n\n{functions}b = 1\n"
    assert overlaid(text) == (
        "import a\n\nfrom pulumi_keyturn.overlay import get_resource_args_opts\n\n\n"
        "from pulumi_keyturn.overlay import _get_semver_version\nb = 1\n"
    )
