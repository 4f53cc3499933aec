"""What to do about a condition, in the words of a resource; total: a test holds a line for every remedy."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.core.reasons import Remedy
from keyturn.kube.resources import RELEASE as RELEASE_ANNOTATION

RECORD = "use the command line on the record"
ACCOUNT = "of the account"
RELEASE, ON_ACCOUNT = f"the annotation {RELEASE_ANNOTATION}", "on the account"

REMEDIES: Mapping[Remedy, str] = {
    Remedy.NONE: "",
    Remedy.AGAIN: "nothing is to be done, it is tried again",
    Remedy.LATER: "nothing is to be done, it goes on by itself",
    Remedy.TAKE_OVER: f"another resource or manifest has it: choose another name, or {RECORD} to take it over",
    Remedy.RIGHT_TEAM: "the account needs a token of the key's own team",
    Remedy.READ_TEAM: "the account needs a token of the right team with the scope account:read",
    Remedy.ONE_BY_ONE: f"check that the token is of the right team; if the API keys were really deleted, {RECORD}",
    Remedy.ROTATE_EACH: "if the secrets were replaced elsewhere, change `rotation.trigger` of each key",
    Remedy.FIRST_STOP: f"remove what stopped the look, as the condition {ACCOUNT} says",
    Remedy.ADOPT: "`adopt: {{secret: existing}}` keeps its secret, `adopt: {{secret: regenerate}}` replaces it; or "
    "choose another `name`",
    Remedy.ADOPT_UUID: "name the API key to take: `adopt: {{secret: regenerate, a: UUID}}`, or `b: UUID` for slot b",
    Remedy.ADOPT_LIVE: "say whose secret is in use: `adopt: {{secret: existing, live: a}}`, or `live: b`",
    Remedy.ADOPT_SECRET: "`adopt: {{secret: regenerate}}` makes a new one",
    Remedy.PASTED: "remove the value from the delivery, or change `rotation.trigger` to replace it",
    Remedy.CONFIRM: f"find out whose it is; if it is this key's, {RECORD} to confirm it",
    Remedy.FREE_FIELD: "deliver elsewhere, or remove the value there; if keyturn did not make the Secret, the "
    "annotation keyturn.dev/allow on it, with the name of the resource, permits it",
    Remedy.EMPTY_PLACE: f"if it is this key's, {RECORD} to empty it",
    Remedy.KEEP_FIELD: "if the records are in another namespace, correct that; `adopt: {{secret: existing, a: UUID}}` "
    "keeps the secret",
    Remedy.MAKE_KEYS: "make the API keys in the control panel",
    Remedy.ALLOW_DELETE: f"`deletionPolicy: Delete` allows it; once, {RELEASE}=deletes={{number}} {ON_ACCOUNT} does",
    Remedy.ALLOW_ROTATIONS: f"{RELEASE}=rotations={{number}} {ON_ACCOUNT} allows it once",
    Remedy.ALLOW_REMOVALS: f"{RELEASE}=removals={{number}} {ON_ACCOUNT} allows it once",
    Remedy.ALLOW_UNPROVEN: "compare the API key in the control panel with the status; if it is this key's, give it the "
    f"name that the resource asks for, or allow it once by {RELEASE}=unproven={{number}} {ON_ACCOUNT}",
    Remedy.DELETE_EXTRA: "delete it in the control panel if nobody uses it",
    Remedy.FINISH_FIRST: "nothing is to be done, the earlier work is finished first",
    Remedy.FINISH_MOVE: f"{RECORD} to finish the move",
    Remedy.ONE_RECORD: f"{RECORD} to forget one of the two",
    Remedy.LEAVE_OLD: "wait until the overlap is over",
    Remedy.SIGN_RECORDS: "find out who changed it; if what it says is right, sign it with the command line",
    Remedy.AGREE: RECORD,
    Remedy.UNPARK: "remove the cause, then change `rotation.trigger`",
    Remedy.VERIFY: "nothing is to be done, the next look repairs it",
    Remedy.FIX_TARGET: f"fix the place of the delivery, its rights, or the target {ACCOUNT}",
    Remedy.REPAIR_EFFECT: "repair what failed, such as the app, and deploy it again: nothing more is sent",
    Remedy.AWAIT_EFFECT: "wait for it, such as for the deployment of the app",
    Remedy.FIX_LOGIN: f"give a token that is accepted in the Secret {ACCOUNT}, or a login to the target",
    Remedy.FIX_ENTRY: "change the resource",
    Remedy.FIX_KEY: "compare the API keys in the control panel with the status",
    Remedy.SET_CLOCK: "set the clock of the node",
    Remedy.RUN_INSIDE: "`smoke: {{from: skip}}`, or run the operator inside the VPC of the key",
    Remedy.RAISE_TIER: "the account's tier lacks this model: choose another `smoke.model`, or raise the tier",
    Remedy.OTHER_MODEL: "change `smoke.model` or `smoke.expectModels`",
    Remedy.ALLOW_MODEL: "choose a `smoke.model` that the key may use, or allow it this model in the control panel",
    Remedy.RAISE_QUOTA: "wait until the quota is free again, or raise it",
    Remedy.ADD_BALANCE: "add balance to the account, in the control panel under Billing",
    Remedy.CHECK_NETWORK: "check the network and DigitalOcean's status page",
    Remedy.ASK_OPERATOR: f"keep to `namePrefix`, `allowedNamespaces` and `targets` {ACCOUNT}, or let its owner change "
    "them",
    Remedy.REPORT: "this is a defect of keyturn: report it",
}
"""A line per remedy. Braces are doubled, as in the other tables."""


def by_itself(text: str) -> str:
    """Return what was found without the advice to run again: an operator does."""
    return text.replace("Run again.", "It is tried again.").replace("Run again ", "It is tried again ")
