"""What to do about a condition, in the words of a Pulumi program; total: a test holds a line for every remedy."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.core.reasons import Remedy
from keyturn.core.results import End
from keyturn_provider.spelling import spelled

UP = "run `pulumi up` again"

REMEDIES: Mapping[Remedy, str] = {
    Remedy.NONE: "",
    Remedy.AGAIN: UP,
    Remedy.LATER: "run `pulumi up` again later",
    Remedy.TAKE_OVER: "{take_over} moves it here",
    Remedy.RIGHT_TEAM: "use an account token of the key's own team",
    Remedy.READ_TEAM: "use a token of the right team with the scope account:read",
    Remedy.ONE_BY_ONE: "check that the token is of the right team",
    Remedy.ROTATE_EACH: "try again when the API has recovered",
    Remedy.FIRST_STOP: "remove what stopped the run, then run `pulumi up` again",
    Remedy.ADOPT: "{existing} keeps its secret, {regenerate} replaces it; or choose another name",
    Remedy.ADOPT_UUID: "name the API key to take: {regenerate_a}, or {b} for slot b",
    Remedy.ADOPT_LIVE: "give {existing_live}",
    Remedy.ADOPT_SECRET: "{regenerate} makes a new one",
    Remedy.PASTED: "empty the delivery, and the next `pulumi up` makes a new secret",
    Remedy.CONFIRM: "find out whose it is; if it is this key's, {take_over} takes it",
    Remedy.FREE_FIELD: "deliver to another field, or empty this one; {take_over} replaces the value",
    Remedy.EMPTY_PLACE: "if it is this key's, {take_over} empties it; {leave} leaves it as it is",
    Remedy.KEEP_FIELD: "if the records are somewhere else, correct records; {existing_a} keeps the secret, "
    "{take_over} replaces it",
    Remedy.MAKE_KEYS: "make the API keys in the control panel, with exactly these names, then run `pulumi up` again",
    Remedy.ALLOW_DELETE: "run `pulumi up` again: its preview shows what is deleted",
    Remedy.ALLOW_ROTATIONS: UP,
    Remedy.ALLOW_REMOVALS: UP,
    Remedy.ALLOW_UNPROVEN: "compare the API key in the control panel with the outputs of the resource; if it is this "
    "key's, give it the name that the resource asks for, then run `pulumi up` again",
    Remedy.DELETE_EXTRA: "delete it in the control panel if nobody uses it, then run `pulumi up` again",
    Remedy.FINISH_FIRST: UP,
    Remedy.FINISH_MOVE: "let the command line finish the move of the record",
    Remedy.ONE_RECORD: "forget one of the two records with the command line",
    Remedy.LEAVE_OLD: "run `pulumi up` again when the overlap is over",
    Remedy.SIGN_RECORDS: "find out who changed it; if what it says is right, sign it with the command line",
    Remedy.AGREE: UP,
    Remedy.UNPARK: "remove the cause, then change {trigger}, smoke, rotation or deliver",
    Remedy.VERIFY: "{verify} replaces a secret that is refused",
    Remedy.FIX_TARGET: "fix the target or its policy, then run `pulumi up` again",
    Remedy.REPAIR_EFFECT: "repair what failed, such as the app, and deploy it again: nothing more is sent; "
    "then run `pulumi up` again",
    Remedy.AWAIT_EFFECT: "wait for it, such as for the deployment of the app, then run `pulumi up` again",
    Remedy.FIX_LOGIN: "give the provider a token or login that is accepted",
    Remedy.FIX_ENTRY: "change the arguments of the resource",
    Remedy.FIX_KEY: "compare the API keys in the control panel with the outputs of the resource",
    Remedy.SET_CLOCK: "set the clock of this machine",
    Remedy.RUN_INSIDE: "set {skip}, or run inside the VPC of the key",
    Remedy.RAISE_TIER: "the account's tier lacks this model: choose another {model}, or raise the tier",
    Remedy.OTHER_MODEL: "change {models}",
    Remedy.ALLOW_MODEL: "choose a {model} that the key may use, or allow it this model in the control panel",
    Remedy.RAISE_QUOTA: "wait until the quota is free again, or raise it",
    Remedy.ADD_BALANCE: "add balance to the account, in the control panel under Billing",
    Remedy.CHECK_NETWORK: "check the network and DigitalOcean's status page, then run `pulumi up` again",
    Remedy.ASK_OPERATOR: "take another API key, or ask for a pattern of this name in `names` of the policy",
    Remedy.REPORT: "this is a defect of keyturn: report it",
}
"""A line per remedy. `{…}` is a setting."""


def remedy(end: End) -> str:
    """Return what the operator does next; empty if nothing."""
    return spelled(REMEDIES[end.remedy])


def told(end: End) -> str:
    """Return why, and what to do."""
    return "; ".join(part for part in (end.why.rstrip("."), remedy(end)) if part)
