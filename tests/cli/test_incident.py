"""`rotate --all` and `--only`: every key that is meant is rotated, and the history says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.desk import SHORT, Desk, desk
from tests.real.run import ForkServer

MANY = 30
"""More than `limits.rotations_per_run` lets a run adopt or rotate by itself."""
POLICY = """\
apiVersion: keyturn-policy/v1
owners:
  desk:
    names: ["**"]
    records: {{target: local}}
    targets: {{env: {{type: dotenv, root: ./secrets}}}}
    deliver: ["env:**#MODEL_ACCESS_KEY"]
    timing: {{settle: 1s, request: 1s, lease: 20s, overlap: 1s}}
    limits: {{rotations: {rotations}, deletes: 0, removals: 0}}
"""


def _adopted(made: Desk, count: int, *, alternating: int = 0) -> list[str]:
    """Adopt so many keys, the first of them with two slots; return their ids."""
    made.more = {"timing": {**SHORT, "lease": "20s"}}  # an alternating key is tried for 5 s before its delivery
    names = [f"k{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        made.existing(name, "alternating" if number < alternating else "in-place")
    made.run("apply", "--yes", "--allow-rotations", str(count))
    return names


@pytest.mark.timeout(60)
def test_every_key_leaked(nursery: ForkServer) -> None:
    """One command rotates all keys beyond every limit of a run; each old secret dies, each history names the reason."""
    with desk(nursery) as made:
        names = _adopted(made, MANY, alternating=4)
        before = {name: made.held(name) for name in names}
        report = made.json("rotate", "--all", "--compromised", "--reason", "INC-42", "--yes")["runs"][0]
        assert len(report["reports"]) == MANY
        assert report["deferred"] == []
        assert [name for name in names if made.held(name) == before[name]] == []
        assert [name for name in names if not made.sandbox.accepts(made.held(name))] == []
        assert [name for name in names if made.sandbox.accepts(before[name])] == []
        lines = made.run("history", "--all", "--since", "1h").stdout.splitlines()
        assert [name for name in names if not any(name in line and "INC-42" in line for line in lines)] == []
        told = made.json("history", "--all", "--since", "1h")["keys"]
        causes = {
            one["key"]: {(event["cause"] or {}).get("trigger") for event in one["events"] if "INC-42" in str(event)}
            for one in told
        }
        assert causes == {name: {"compromised"} for name in names}
        assert made.leaks() == []


def test_a_condition_names_the_keys(nursery: ForkServer) -> None:
    """`--only refused` rotates the key whose consumers are refused and no other; without such a key nothing is done."""
    with desk(nursery) as made:
        names = _adopted(made, 3)
        before = {name: made.held(name) for name in names}
        [uuid] = [key.uuid for key in made.sandbox.state.keys.values() if key.name == "k01"]
        made.sandbox.by_hand("regenerate", uuid)
        made.run("rotate", "--only", "refused", "--yes")
        assert [name for name in names if made.held(name) != before[name]] == ["k01"]
        assert made.sandbox.accepts(made.held("k01"))
        mark = made.mark()
        answer = made.run("rotate", "--only", "refused", "--yes")
        assert "No key is in the condition refused, as far as is known." in answer.stderr
        assert made.json("rotate", "--only", "parked", "--only", "gone", "--yes")["runs"] == []
        made.sandbox.arm("list", "error-503", times=None)
        answer = made.run("rotate", "--only", "refused", "--yes", code=1)
        assert "The condition of k00, k01, k02 is not known, so they are left out: " in answer.stderr
        assert made.mark() == mark


@pytest.mark.parametrize("args", [(), ("bot", "--all"), ("--all", "--only", "refused"), ("bot", "--only", "due")])
def test_exactly_one_selection(nursery: ForkServer, args: tuple[str, ...]) -> None:
    """Keys by name, all, or a condition: none or two of them are wrong usage."""
    with desk(nursery) as made:
        made.add("bot")
        answer = made.run("rotate", *args, "--yes", code=3)
        assert "exactly one of the three" in answer.stderr


def test_no_key_is_left_out_in_silence(nursery: ForkServer) -> None:
    """An entry to be deleted is held, a record without an entry is named; the exit code tells; the rest is rotated."""
    with desk(nursery) as made:
        _adopted(made, 3)
        before = made.held("k00")
        made.keys["k01"] = {"state": "absent"}
        del made.keys["k02"]
        answer = made.run("rotate", "--all", "--yes", code=4)
        assert "1 API key would be deleted" in answer.stdout
        assert "left alone: k02" in answer.stdout
        assert made.held("k00") != before


def test_the_policy_holds_for_all_and_for_none(nursery: ForkServer) -> None:
    """Three keys and a policy of two: `--all` rotates none of them and says so; keys that are named are rotated."""
    with desk(nursery) as made:
        names = _adopted(made, 3)
        policy = Path(made.folder / "policy.yaml")
        policy.write_text(POLICY.format(rotations=2))
        made.more |= {"limits": {"rotations_per_run": 2}}
        made.write()
        mark = made.mark()
        answer = made.run("rotate", "--all", "--yes", "--policy", str(policy), code=4)
        assert "the policy does not allow 3 rotations" in answer.stderr
        assert "only 2" in answer.stderr
        assert made.mark() == mark
        before = {name: made.held(name) for name in names}
        made.run("rotate", *names, "--yes", "--policy", str(policy))
        assert all(made.held(name) != before[name] for name in names)
