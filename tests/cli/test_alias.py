"""A second name of a place: nothing is removed, by whatever name it is known."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Stage

EU = """  eu:
    type: vault
    address: ${KEYTURN_VAULT}
    mount: secret

"""


def versions(stage: Stage, bot: str) -> object:
    """Return how often the path was written."""
    found: dict[str, object] = stage.openbao.call("GET", f"secret/metadata/{stage.prefix}/{bot}")["data"]  # type: ignore[assignment]
    return found["current_version"]


def test_a_delivery_that_takes_the_other_name_of_its_place_stays(stage: Stage) -> None:
    """There and back; and it still rotates."""
    stage.make_keys()
    stage.run("apply", "--yes")
    secret, before = stage.delivered("report"), versions(stage, "report")
    assert secret
    place = f"{{target: vault, path: {stage.prefix}/report"
    stage.edit("    mount: secret\n\n", f"    mount: secret\n{EU}")
    for old, new in ((place, place.replace("vault", "eu")), (place.replace("vault", "eu"), place)):
        stage.edit(old, new)
        assert "remove" not in stage.run("plan").stdout
        stage.run("apply", "--yes")
        assert (stage.delivered("report"), versions(stage, "report")) == (secret, before)
    stage.run("rotate", "report-bot", "--yes")
    assert stage.delivered("report") != secret


def elsewhere(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    """Add a target that is the vault by another address, and return the place of a delivery there."""
    address = stage.openbao.address.replace("127.0.0.1", "localhost")
    assert address != stage.openbao.address
    monkeypatch.setenv("KEYTURN_ALLOWED_ORIGINS", f"vault={address}")
    stage.edit("    mount: secret\n\n", f"    mount: secret\n{EU.replace('${KEYTURN_VAULT}', address)}")
    return f"{{target: eu, path: {stage.prefix}/report"


def test_another_address_of_a_place_is_told_from_another_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name tells: two writes that change nothing do. The secret stays in every version of the path."""
    stage.make_keys()
    stage.run("apply", "--yes")
    secret, before = stage.delivered("report"), versions(stage, "report")
    stage.edit(f"{{target: vault, path: {stage.prefix}/report", elsewhere(stage, monkeypatch))
    assert f"unless it is another name of eu:{stage.prefix}/report" in stage.run("plan").stdout
    applied = stage.run("apply", "--yes").stdout
    assert f"vault:{stage.prefix}/report#MODEL_ACCESS_KEY is another name of eu:{stage.prefix}/report" in applied
    assert versions(stage, "report") == int(str(before)) + 2
    for version in range(1, int(str(before)) + 3):
        path = f"secret/data/{stage.prefix}/report?version={version}"
        held: dict[str, dict[str, str]] = stage.openbao.call("GET", path)["data"]  # type: ignore[assignment]
        assert held["data"]["MODEL_ACCESS_KEY"] == secret
    stage.run("apply", "--yes")
    assert versions(stage, "report") == int(str(before)) + 2
    stage.run("rotate", "report-bot", "--yes")
    assert stage.delivered("report") != secret


def test_a_delivery_that_moves_to_another_place_is_still_emptied(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although its new target could be the same vault by another address."""
    stage.make_keys()
    stage.run("apply", "--yes")
    secret = stage.delivered("report")
    stage.edit(f"{{target: vault, path: {stage.prefix}/report", elsewhere(stage, monkeypatch) + "-moved")
    stage.run("apply", "--yes")
    assert (stage.delivered("report"), stage.delivered("report-moved")) == (None, secret)
    assert versions(stage, "report-moved") == 1
