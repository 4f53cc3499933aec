"""What to do about a condition, in the words of the command line; total: a test holds a line for every remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keyturn.core.model import GOOD, Verdict
from keyturn.core.reasons import Reason, Remedy
from keyturn.core.results import End

APPLY = "`keyturn apply {key}`"

REMEDIES: Mapping[Remedy, str] = {
    Remedy.NONE: "",
    Remedy.AGAIN: APPLY,
    Remedy.LATER: "wait, or run `keyturn apply {key}` again later",
    Remedy.TAKE_OVER: "`keyturn apply {key} --take-over` moves it here",
    Remedy.RIGHT_TEAM: "use an account token of the key's own team",
    Remedy.READ_TEAM: "use a token of the right team with the scope account:read: it notes the team in records whose "
    "API keys it lists; if the token is right and the API keys were really deleted, `keyturn apply {key} --take-over`",
    Remedy.ONE_BY_ONE: "check that the token is of the right team; if the API keys were really deleted, name the keys "
    "one by one: `keyturn apply KEY`",
    Remedy.ROTATE_EACH: "try again when the API has recovered; if the secrets were replaced elsewhere, make new ones: "
    "`keyturn rotate KEY …`",
    Remedy.FIRST_STOP: "remove what stopped the run, then run again",
    Remedy.ADOPT: "`adopt: {{secret: existing}}` in the entry keeps its secret, `adopt: {{secret: regenerate}}` "
    "replaces it; or choose another `name`",
    Remedy.ADOPT_UUID: "name the API key to take in the entry: `adopt: {{secret: regenerate, a: UUID}}`; `b: UUID` for "
    "slot b",
    Remedy.ADOPT_LIVE: "say whose secret is in use: `keyturn adopt {key} --live a`, or `--live b`",
    Remedy.ADOPT_SECRET: "`keyturn adopt {key} --secret stdin` asks for the present secret (from a pipe: with "
    "`--yes`), `--secret regenerate` makes a new one",
    Remedy.PASTED: "say whose secret it is: `keyturn adopt {key} --live a`, or `--live b`; `keyturn rotate {key}` "
    "replaces it",
    Remedy.CONFIRM: "find out whose it is; if it is this key's, `keyturn adopt {key}` takes it",
    Remedy.FREE_FIELD: "deliver to another field, or empty this one; `keyturn apply {key} --take-over` replaces the "
    "value",
    Remedy.KEEP_FIELD: "if the records are somewhere else, correct `records`; `keyturn adopt {key} --secret existing "
    "--uuid UUID` keeps the secret, `keyturn apply {key} --take-over` replaces it",
    Remedy.EMPTY_PLACE: "if it is this key's, `keyturn apply {key} --take-over` empties it; `clean_targets: false` in "
    "the entry leaves it as it is",
    Remedy.MAKE_KEYS: "make the API keys in the control panel, with exactly these names, then `keyturn apply {key}`",
    Remedy.ALLOW_DELETE: "`keyturn apply --allow-delete {number}` allows it",
    Remedy.ALLOW_ROTATIONS: "`keyturn apply --allow-rotations {number}` allows it; or name fewer keys",
    Remedy.ALLOW_REMOVALS: "`keyturn apply --allow-removals {number}` allows it; or name fewer keys",
    Remedy.ALLOW_UNPROVEN: "compare the API key in the control panel with `keyturn history {key}`; if it is this "
    "key's, give it the name that the entry asks for, or `keyturn apply --allow-unproven {number}`",
    Remedy.DELETE_EXTRA: "`keyturn apply --allow-delete {number}` allows it; or delete it in the control panel",
    Remedy.FINISH_FIRST: "put the entry of that id back, let `keyturn apply` finish it, then make this change again",
    Remedy.FINISH_MOVE: "let `keyturn apply` finish the move, with the entry of the new id in the manifest",
    Remedy.ONE_RECORD: "decide which record is to go on: remove `moved` from the entry and `keyturn forget` the old "
    "id; or remove the entry and `keyturn forget {key}`, then put it back",
    Remedy.LEAVE_OLD: "let `keyturn apply` retire it when the overlap is over; a compromised one is replaced by "
    "`keyturn rotate {key}` with the entry put back; `keyturn forget {key} --leave-old-secret` leaves it alive",
    Remedy.SIGN_RECORDS: "find out who changed it; if what it says is right, `keyturn sign {key}`",
    Remedy.AGREE: "read the plan, then answer y, or run with `--yes`",
    Remedy.UNPARK: "remove the cause, then `keyturn apply {key} --unpark {key}`",
    Remedy.VERIFY: "`keyturn apply {key} --verify`",
    Remedy.FIX_TARGET: "fix the target or its policy, then `keyturn apply {key}`",
    Remedy.REPAIR_EFFECT: "repair what failed, such as the app, and deploy it again: nothing more is sent; "
    "then `keyturn apply {key}`",
    Remedy.AWAIT_EFFECT: "wait for it, such as for the deployment of the app, then `keyturn apply {key}`",
    Remedy.FIX_LOGIN: "give keyturn a token or login that is accepted",
    Remedy.FIX_ENTRY: "change the entry in the manifest",
    Remedy.FIX_KEY: "compare the API keys in the control panel with `keyturn history {key}`",
    Remedy.SET_CLOCK: "set the clock of this machine",
    Remedy.RUN_INSIDE: "set `smoke.from: skip`, or run inside the VPC of the key",
    Remedy.RAISE_TIER: "the account's tier lacks this model: choose another `smoke.model`, or raise the tier",
    Remedy.OTHER_MODEL: "change `smoke.model` or `smoke.expect_models`",
    Remedy.ALLOW_MODEL: "choose a `smoke.model` that the key may use, or allow it this model in the control panel",
    Remedy.RAISE_QUOTA: "wait until the quota is free again, or raise it",
    Remedy.ADD_BALANCE: "add balance to the account, in the control panel under Billing",
    Remedy.CHECK_NETWORK: "check the network and DigitalOcean's status page, then run again",
    Remedy.ASK_OPERATOR: "take another API key, or ask for a pattern of this name in `names` of the policy",
    Remedy.REPORT: "this is a defect of keyturn: report it with the output of `keyturn history {key}`",
}
"""A line per remedy; `{key}` is the key's id, `{number}` how many are asked about."""

MAKE_ONE = "make the API key in the control panel, with exactly this name, then `keyturn apply {key}`"
"""Instead of MAKE_KEYS, if there is only one to make."""
UNNOTED = "`keyturn apply {key}`, which notes what to make; then make it, and apply again"
"""Instead of MAKE_KEYS, until an apply has noted the names."""


WHOLE = frozenset({Remedy.AGAIN, Remedy.LATER, Remedy.VERIFY, Remedy.FIX_TARGET})
"""Remedies that do no harm to other keys: of many keys, no name is given."""
FEW = 5
"""How many keys are named where none has to be."""


def remedy(end: End, *keys: str) -> str:
    """Return what an operator types or does next about these keys, as commands that can be pasted; empty if nothing."""
    text = UNNOTED if end.make and end.since is None else REMEDIES[end.remedy]
    if text is REMEDIES[Remedy.MAKE_KEYS] and len(end.make) == len(keys) == 1:
        text = MAKE_ONE
    if len(keys) > 1 and "keyturn adopt" in text:  # it is of one key
        return f"for each key, here {keys[0]}: {remedy(end, keys[0])}"
    if len(keys) > FEW and end.remedy in WHOLE:
        return text.replace(" {key}", "")
    text = text.replace("--unpark {key}", " ".join(f"--unpark {key}" for key in keys))
    return text.format(key=" ".join(keys), number=end.number or "N")


def remedies(ends: Iterable[End], key: str) -> list[str]:
    """Return what to do about those that make the exit code, each remedy once.

    Of a parked key only what unparks it: another run would not make a secret.
    """
    wrong = [end for end in ends if end.exit_code]
    if any(end.remedy is Remedy.UNPARK for end in wrong):
        wrong = [end for end in wrong if end.remedy not in {Remedy.AGAIN, Remedy.VERIFY}]
    return [text for text in dict.fromkeys(remedy(end, key) for end in wrong) if text]


def of_verdict(verdict: Verdict, key: str = "KEY") -> str:
    """Return what to do about a verdict, empty if nothing is wrong."""
    return "" if verdict in GOOD else remedy(End(Reason.of(verdict.value)), key)
