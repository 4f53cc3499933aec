"""One variable in the text of a spec: found, set, added and removed, and every other character stays."""

from __future__ import annotations

import json

import pytest

from keyturn.targets.app_spec import (
    NotThere,
    alike,
    app_id,
    app_name,
    databases,
    deployments_of,
    is_static,
    overriding,
    spec_of,
    variable,
    with_variable,
)

KEY = "MODEL_ACCESS_KEY"
EV = "EV[1:bm9uY2U=:Y2lwaGVy]"
SPEC = """{
  "name":"checkout", "alerts": [ {"rule":"DEPLOYMENT_FAILED"} ],
  "not-known" : {"number": 1.10, "big": 1e400, "text": "\\u00e9\\/"},
  "envs": [{"key":"SHARED","value":"EV[1:a:b]","type":"SECRET"}],
  "services": [
    {"name":"api","envs":[{"key": "MODEL_ACCESS_KEY", "type": "SECRET", "value": "EV[1:c:d]"}]},
    { "name" : "web", "instance_count":2,
      "envs": [
        {"key":"MODE","value":"test"},
        {"key":"MODEL_ACCESS_KEY", "scope":"RUN_TIME","type":"SECRET","value":"EV[1:bm9uY2U=:Y2lwaGVy]"}
      ] }
  ],
  "static_sites": [{"name":"site"}], "workers": [{"name":"mailer", "envs": []}, {"name": "none"}]
}"""
"""A spec with blanks, numbers and escapes that no serializer would leave as they are."""


def test_a_variable_is_found_in_its_component_only() -> None:
    """By the name of the component; without one, among those of the app."""
    found = variable(SPEC, "web", KEY)
    assert found is not None
    assert (found.value, found.type) == (EV, "SECRET")
    other = variable(SPEC, "api", KEY)
    assert other is not None
    assert other.value == "EV[1:c:d]"
    assert variable(SPEC, "", KEY) is None
    general = variable(SPEC, "web", "MODE")
    assert general is not None
    assert general.type == "GENERAL"


def test_only_the_value_changes() -> None:
    """Every other character of the spec is the same, before and after it."""
    assert with_variable(SPEC, "web", KEY, "sk-do-new") == SPEC.replace(EV, "sk-do-new")
    assert with_variable(SPEC, "", "SHARED", 'a"b') == SPEC.replace("EV[1:a:b]", 'a\\"b')


@pytest.mark.parametrize(("component", "at"), [("web", 2), ("mailer", 0), ("none", 0), ("", 1)])
def test_a_missing_variable_is_added_at_the_end(component: str, at: int) -> None:
    """As a secret of the run time; what was there stays in front of it, character by character."""
    added = with_variable(SPEC, component, "FRESH", "sk-do-new")
    parts = [json.loads(added), *json.loads(added)["services"], *json.loads(added)["workers"]]
    part = next(one for one in parts if one["name"] == (component or "checkout"))
    assert part["envs"][at] == {"key": "FRESH", "scope": "RUN_TIME", "type": "SECRET", "value": "sk-do-new"}
    removed = with_variable(added, component, "FRESH", None)
    assert removed == (SPEC if component != "none" else SPEC.replace('"name": "none"', '"name": "none", "envs": []'))


def test_a_variable_without_a_value_gets_one() -> None:
    """A placeholder that someone left in the control panel is filled."""
    spec = '{"name": "a", "envs": [{"key": "K", "type": "SECRET"}]}'
    assert with_variable(spec, "", "K", "v") == '{"name": "a", "envs": [{"key": "K", "type": "SECRET", "value": "v"}]}'


def test_removing_takes_out_one_element() -> None:
    """The others stay; a variable that is not there changes nothing."""
    removed = with_variable(SPEC, "api", KEY, None)
    assert removed == SPEC.replace('{"key": "MODEL_ACCESS_KEY", "type": "SECRET", "value": "EV[1:c:d]"}', "")
    assert with_variable(SPEC, "none", KEY, None) == with_variable(SPEC, "mailer", KEY, None) == SPEC
    left = json.loads(with_variable(SPEC, "web", KEY, None))["services"][1]["envs"]
    assert left == [{"key": "MODE", "value": "test"}]


def test_a_component_that_is_not_there_is_told_with_those_that_are() -> None:
    """The message helps to correct the path."""
    with pytest.raises(NotThere, match="it has api, web, site, mailer, none"):
        variable(SPEC, "wbe", KEY)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "[]",
        '{"envs": {}}',
        '{"envs": [{"key": "MODEL_ACCESS_KEY"}, {"key": "MODEL_ACCESS_KEY"}]}',
        '{"name": "a", "name": "b"}',
        '{"envs": [{"key": "MODEL_ACCESS_KEY", "value": "a", "value": "b"}]}',
        '{"envs": [1,]}',
        '{"envs": [1 2]}',
        '{"envs": [',
    ],
)
def test_a_spec_of_another_form_is_refused(spec: str) -> None:
    """It is not changed, and its text is not repeated."""
    with pytest.raises(ValueError, match=r"JSON|list|twice|duplicate") as caught:
        with_variable(spec, "", KEY, "sk-do-new")
    assert "sk-do" not in str(caught.value)


def test_a_component_that_is_there_twice_is_refused() -> None:
    """Nobody could say which one is meant."""
    with pytest.raises(ValueError, match="component web is there twice"):
        variable('{"services": [{"name": "web"}], "jobs": [{"name": "web"}]}', "web", KEY)


def test_specs_are_compared_but_for_one_variable() -> None:
    """Its value may differ; blanks and the order of members mean nothing; everything else is a change."""
    other = with_variable(SPEC, "web", KEY, "another")
    assert alike(SPEC, json.dumps(json.loads(other), sort_keys=True), "web", KEY)
    assert not alike(SPEC, other, "api", KEY)
    assert not alike(SPEC, SPEC.replace('"instance_count":2', '"instance_count":3'), "web", KEY)
    with pytest.raises(NotThere):
        alike(SPEC, '{"name": "checkout"}', "web", KEY)


def test_who_does_not_use_the_variable_of_the_whole_app() -> None:
    """The first component that runs with one of its own; a static site does not run."""
    assert overriding(SPEC, KEY) == "api"
    assert overriding(SPEC, "SHARED") == ""
    site = '{"name": "a", "static_sites": [{"name": "site", "envs": [{"key": "K", "value": "v"}]}]}'
    assert overriding(site, "K") == ""


def test_deployments_keep_the_text_of_their_specs() -> None:
    """As the answer has it, so that one can be sent again."""
    answer = f'{{"deployments": [{{"id": "d1", "phase": "ACTIVE", "spec": {SPEC}}}], "links": {{}}}}'
    assert list(deployments_of(answer)) == [("d1", "ACTIVE", SPEC)]
    with pytest.raises(ValueError, match="its phase"):
        list(deployments_of('{"deployments": [{"id": "d1", "phase": 1, "spec": {}}]}'))


def test_what_an_answer_holds() -> None:
    """The spec is a part of its text; the id is read, and the name in the spec."""
    assert app_name(SPEC) == "checkout"
    answer = f'{{"app":{{"id": "x-1","spec":{SPEC}, "active_deployment": {{"spec": {{}}}}}}}}'
    assert (app_id(answer), spec_of(answer)) == ("x-1", SPEC)
    for wrong in ("", "{}", '{"app": 1}', '{"app": {"id": 1, "spec": {}}}'):
        with pytest.raises(ValueError, match=r"JSON|there is no|its id"):
            app_id(wrong)


def test_what_else_is_asked_of_a_spec() -> None:
    """Static sites and attached databases."""
    assert [is_static(SPEC, name) for name in ("site", "web", "")] == [True, False, False]
    assert [databases(spec) for spec in (SPEC, '{"databases": [{"name": "dev"}, {"cluster_name": "db"}]}')] == [
        False,
        True,
    ]
