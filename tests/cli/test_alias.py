"""A second name of the vault that also holds the records is the same place: nothing is removed, and nothing written."""

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


def test_a_name_that_cannot_be_recognised_is_noted_by_the_plan(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address of the same vault: the new place holds the secret already."""
    stage.make_keys()
    stage.run("apply", "--yes")
    other = stage.openbao.address.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("KEYTURN_ALLOWED_ORIGINS", f"vault={other}")
    stage.edit("    mount: secret\n\n", f"    mount: secret\n{EU.replace('${KEYTURN_VAULT}', other)}")
    place = f"{{target: vault, path: {stage.prefix}/report"
    stage.edit(place, place.replace("vault", "eu"))
    told = stage.run("plan").stdout
    assert f"eu:{stage.prefix}/report#MODEL_ACCESS_KEY may be vault:{stage.prefix}/report#MODEL_ACCESS_KEY" in told
    assert "consumers may find nothing there for a moment" in told
