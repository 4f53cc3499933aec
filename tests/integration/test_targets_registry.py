"""Targets whose library is not installed, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("kind", "library", "extra", "settings", "environment"),
    [
        ("aws-secrets-manager", "boto3", "aws", {"region": "eu-central-1"}, {}),
        (
            "onepassword-connect",
            "onepasswordconnectsdk",
            "onepassword",
            {"host": "http://[::1]", "vault": "v"},
            {"OP_CONNECT_HOST": "http://[::1]"},
        ),
        ("onepassword", "onepassword", "onepassword-sdk", {"vault": "a" * 26}, {}),
    ],
)
def test_without_its_library_a_target_s_settings_are_known_and_the_extra_is_named(
    kind: str, library: str, extra: str, settings: object, environment: object
) -> None:
    """`validate` works offline without the vendor's library; using the target says what to type."""
    script = f"""
import sys
sys.modules[{library!r}] = None
from keyturn.core.errors import InputError
from keyturn.targets import registry
from keyturn.targets.base import TargetContext
assert set({settings!r}) <= registry.find({kind!r}).settings_model.model_json_schema()["properties"].keys()
assert not {{"requests", "botocore", "httpx"}} & sys.modules.keys()
try:
    registry.make({kind!r}, TargetContext("v", {settings!r}, {environment!r}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert f"Install keyturn[{extra}]," in done.stdout
