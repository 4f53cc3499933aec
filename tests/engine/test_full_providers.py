"""Several full providers in one stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.full_site import BOTH, PROVIDER
from tests.engine.harness import Program

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite


@BOTH
def test_two_providers_in_one_stack_have_two_teams(full: FullSite) -> None:
    """Each key is in the team of its own provider's token, although the environment has a token, too."""
    tokens = {"ours": full.sandbox.token, "theirs": full.sandbox.add_token(team="other").value}
    program = two_teams(full, tokens)
    full.up(program)
    assert sorted(full.mutations()) == ["create", "create", "rename", "rename"]  # both keys at once
    assert {key.team: key.name for key in full.sandbox.state.keys.values()} == {"sandbox": "bot", "other": "bot"}
    assert full.accepted("ours")
    assert full.accepted("theirs")
    full.up(program)
    assert full.mutations() == []
    full.destroy()
    assert full.mutations() == ["delete"] * 2
    assert full.leaks() == []


def two_teams(full: FullSite, tokens: dict[str, str]) -> Program:
    """Return a program with a provider and a key per token, each with records of its own; both keys have one name."""
    providers, keys = {}, {}
    for name, token in tokens.items():
        full.configure(name, token)
        records = {"target": "vault", "prefix": f"{full.prefix}/{name}-keyturn"}
        properties = {"digitaloceanToken": f"${{{name}}}", "records": records}
        providers[f"account-{name}"] = {"type": PROVIDER, "properties": properties}
        options = {"provider": f"${{account-{name}}}"}
        keys[f"bot-{name}"] = full.declared(name, name="bot", records=None, options=options)
    secrets = {name: {"type": "string", "secret": True} for name in tokens}
    return Program(data={"config": secrets, "resources": {**providers, **keys}})
