"""The catalogue of what keyturn can answer: each reason with its condition and its remedy; the only such list.

A sentence states facts, and no command or flag stands in it: each face has its own words for a remedy.
`docs/reasons.md` is generated from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self


class Tone(StrEnum):
    """How urgent a condition is."""

    GOOD = "good"
    CALM = "calm"
    NOTICE = "notice"
    ATTENTION = "attention"
    BAD = "bad"


class Condition(StrEnum):
    """What an operator sees first of a key. The order is by urgency, the most urgent first."""

    tone: Tone
    exit_code: int
    meaning: str

    def __new__(cls, value: str, tone: Tone, exit_code: int, meaning: str) -> Self:
        """Make a member that is its word, with what follows from it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.tone, member.exit_code, member.meaning = tone, exit_code, meaning
        return member

    REFUSED = "refused", Tone.BAD, 1, "consumers are refused: the API does not accept the delivered secret"
    GONE = "gone", Tone.BAD, 1, "an API key is missing"
    DRIFTED = "drifted", Tone.BAD, 1, "a delivery is not what it should be"
    PARKED = "parked", Tone.BAD, 1, "no more secrets are made until an operator says so"
    LOGIN_REFUSED = "login-refused", Tone.BAD, 5, "a token or a target's login is refused"
    FAILED = "failed", Tone.BAD, 1, "this run failed; what is known from before is still shown"
    UNKNOWN = "unknown", Tone.BAD, 1, "a server could not be asked; the last known state is shown"
    MISCONFIGURED = "misconfigured", Tone.ATTENTION, 3, "the manifest or the set-up of this machine is wrong"
    HELD = "held", Tone.ATTENTION, 4, "a brake, an owner or a policy stops it"
    ACTION_NEEDED = "action-needed", Tone.ATTENTION, 1, "an operator has to do something"
    BUSY = "busy", Tone.NOTICE, 1, "another run has the key"
    WAITING = "waiting", Tone.NOTICE, 0, "it waits for a known moment"
    DUE = "due", Tone.CALM, 0, "something is to be done, and nobody is harmed meanwhile"
    OVERLAP = "overlap", Tone.CALM, 0, "two secrets work, the old one until a known moment"
    READY = "ready", Tone.GOOD, 0, "every target holds a secret that the API accepts, as far as was looked"


class Remedy(StrEnum):
    """What kind of thing an operator can do; each face says it in its own words."""

    NONE = "none"
    AGAIN = "again"
    LATER = "later"
    TAKE_OVER = "take-over"
    RIGHT_TEAM = "right-team"
    READ_TEAM = "read-team"
    ONE_BY_ONE = "one-by-one"
    ROTATE_EACH = "rotate-each"
    FIRST_STOP = "first-stop"
    ADOPT = "adopt"
    ADOPT_UUID = "adopt-uuid"
    ADOPT_LIVE = "adopt-live"
    ADOPT_SECRET = "adopt-secret"
    PASTED = "pasted"
    CONFIRM = "confirm"
    FREE_FIELD = "free-field"
    KEEP_FIELD = "keep-field"
    EMPTY_PLACE = "empty-place"
    MAKE_KEYS = "make-keys"
    ALLOW_DELETE = "allow-delete"
    ALLOW_ROTATIONS = "allow-rotations"
    ALLOW_REMOVALS = "allow-removals"
    ALLOW_UNPROVEN = "allow-unproven"
    DELETE_EXTRA = "delete-extra"
    FINISH_FIRST = "finish-first"
    LEAVE_OLD = "leave-old"
    FINISH_MOVE = "finish-move"
    ONE_RECORD = "one-record"
    SIGN_RECORDS = "sign-records"
    AGREE = "agree"
    UNPARK = "unpark"
    VERIFY = "verify"
    FIX_TARGET = "fix-target"
    REPAIR_EFFECT = "repair-effect"
    AWAIT_EFFECT = "await-effect"
    FIX_LOGIN = "fix-login"
    FIX_ENTRY = "fix-entry"
    FIX_KEY = "fix-key"
    SET_CLOCK = "set-clock"
    RUN_INSIDE = "run-inside"
    RAISE_TIER = "raise-tier"
    OTHER_MODEL = "other-model"
    ALLOW_MODEL = "allow-model"
    RAISE_QUOTA = "raise-quota"
    ADD_BALANCE = "add-balance"
    CHECK_NETWORK = "check-network"
    ASK_OPERATOR = "ask-operator"
    REPORT = "report"


class Reason(StrEnum):
    """Why a key stands as it does: a code, the condition that follows, the remedy, and what it means."""

    condition: Condition
    remedy: Remedy
    meaning: str

    def __new__(cls, code: str, condition: Condition, remedy: Remedy, meaning: str) -> Self:
        """Make a member that is its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.condition, member.remedy, member.meaning = condition, remedy, meaning
        return member

    @property
    def word(self) -> str:
        """The word for people: the condition's, or its own if there is no key, or no entry, that could be ready."""
        return self.value if self in {Reason.ABSENT, Reason.UNMANAGED} else self.condition.value

    @classmethod
    def of(cls, code: str) -> Self:
        """Return the reason with this code, such as the value of a verdict."""
        return next(reason for reason in cls if reason.value == code)

    # At rest, or waiting for time.
    AT_REST = "at-rest", Condition.READY, Remedy.NONE, "Nothing is to be done."
    ABSENT = "absent", Condition.READY, Remedy.NONE, "The key is gone, as the entry asks."
    UNMANAGED = "unmanaged", Condition.READY, Remedy.NONE, "The record has no entry; nothing of it is touched."
    TO_DO = "to-do", Condition.DUE, Remedy.AGAIN, "The next run changes something."
    DUE = "due", Condition.DUE, Remedy.AGAIN, "A rotation is due."
    RETIRE_DUE = "retire-due", Condition.DUE, Remedy.AGAIN, "The overlap is over; the old secret is to be retired."
    OVERLAP = "overlap", Condition.OVERLAP, Remedy.NONE, "The old secret works until the overlap ends."
    BACK_OFF = "back-off", Condition.WAITING, Remedy.LATER, "After failures the next try waits."
    DEFERRED = "deferred", Condition.WAITING, Remedy.LATER, "More rotations are due than one run may start."
    FROZEN = "frozen", Condition.WAITING, Remedy.LATER, "A rotation or a retire is due, and the manifest freezes it."
    RETIRE_FIRST = "retire-first", Condition.FAILED, Remedy.FIX_TARGET, "A rotation waits for a retire that cannot be."
    ANOTHER_RUN = "another-run", Condition.BUSY, Remedy.LATER, "Another run is working on the key."

    # An operator has to act.
    HAND_OFF = "hand-off", Condition.ACTION_NEEDED, Remedy.MAKE_KEYS, "API keys have to be made in the control panel."
    NO_STANDBY = "no-standby", Condition.ACTION_NEEDED, Remedy.MAKE_KEYS, "A rotation waits for the second API key."
    SEVERAL_CANDIDATES = (
        "several-candidates", Condition.ACTION_NEEDED, Remedy.ADOPT_UUID, "Several API keys could be adopted."
    )  # fmt: skip
    LIVE_UNKNOWN = (
        "live-unknown", Condition.ACTION_NEEDED, Remedy.ADOPT_LIVE, "The API does not show whose secret is in use."
    )  # fmt: skip
    PASTED = "pasted", Condition.ACTION_NEEDED, Remedy.PASTED, "A delivery holds a secret that keyturn did not make."
    NO_PRESENT_SECRET = (
        "no-present-secret", Condition.ACTION_NEEDED, Remedy.ADOPT_SECRET, "There is no single secret to adopt."
    )  # fmt: skip
    PRESENT_SECRET_REFUSED = (
        "present-secret-refused", Condition.ACTION_NEEDED, Remedy.ADOPT_SECRET, "The secret to adopt is refused."
    )  # fmt: skip
    ACCOUNT_TOKEN = "account-token", Condition.ACTION_NEEDED, Remedy.FIX_TARGET, "A delivery holds an account token."
    ADOPT_NOT_FOUND = (
        "adopt-not-found",
        Condition.ACTION_NEEDED,
        Remedy.FIX_ENTRY,
        "The API key to adopt is not listed.",
    )
    WRONG_SLOTS = (
        "wrong-slots",
        Condition.ACTION_NEEDED,
        Remedy.FIX_ENTRY,
        "The API keys to adopt do not fit the slots.",
    )
    PLACE_UNPROVEN = (
        "place-unproven", Condition.ACTION_NEEDED, Remedy.EMPTY_PLACE, "Only the record says whose a value is."
    )  # fmt: skip

    # A brake, an owner or a team.
    NAMESAKE = "namesake", Condition.HELD, Remedy.ADOPT, "An API key of the wanted name exists and is not this key's."
    ANOTHER_OWNER = "another-owner", Condition.HELD, Remedy.TAKE_OVER, "The record belongs to another owner."
    ANOTHER_TEAM = "another-team", Condition.HELD, Remedy.RIGHT_TEAM, "The account token is another team's."
    ANOTHER_ACCOUNT = (
        "another-account", Condition.HELD, Remedy.READ_TEAM, "No API key is listed, and the team is not known."
    )  # fmt: skip
    CLAIMED = "claimed", Condition.HELD, Remedy.TAKE_OVER, "Another key has the API key, secret or field."
    UNCLAIMED = "unclaimed", Condition.HELD, Remedy.TAKE_OVER, "No claim says that the API key is this key's."
    CREATED_AT_DIFFERS = "created-at-differs", Condition.HELD, Remedy.FIX_KEY, "The API key is not the one recorded."
    FIELD_IN_USE = (
        "field-in-use", Condition.HELD, Remedy.FREE_FIELD, "A delivery holds something that keyturn did not write."
    )  # fmt: skip
    SECRET_IN_USE = (
        "secret-in-use", Condition.HELD, Remedy.KEEP_FIELD, "A delivery holds a secret that no record of the key knows."
    )  # fmt: skip
    NOT_CONFIRMED = (
        "not-confirmed", Condition.HELD, Remedy.CONFIRM, "An operator has to confirm whose API key or secret it is."
    )  # fmt: skip
    DELETE_NEEDS_CONSENT = (
        "delete-needs-consent", Condition.HELD, Remedy.ALLOW_DELETE, "API keys would be deleted."
    )  # fmt: skip
    TOO_MANY_DELETES = "too-many-deletes", Condition.HELD, Remedy.ALLOW_DELETE, "More API keys would go than allowed."
    TOO_MANY_ROTATIONS = (
        "too-many-rotations", Condition.HELD, Remedy.ALLOW_ROTATIONS, "More keys would get new secrets than allowed."
    )  # fmt: skip
    MOVED_AWAY = (
        "moved-away", Condition.HELD, Remedy.FINISH_MOVE, "The record is moving to another id."
    )  # fmt: skip
    MOVED_BOTH = "moved-both", Condition.HELD, Remedy.ONE_RECORD, "Both the old id and the new one have a record."
    MOVED_OF_OTHERS = "moved-of-others", Condition.HELD, Remedy.NONE, "The record to move belongs to another owner."
    MOVE_UNFINISHED = (
        "move-unfinished", Condition.HELD, Remedy.FINISH_FIRST, "The record to move has unfinished work."
    )  # fmt: skip
    FORGET_UNFINISHED = (
        "forget-unfinished", Condition.HELD, Remedy.FINISH_FIRST, "A key to forget has unfinished work."
    )  # fmt: skip
    OLD_SECRET_LEFT = (
        "old-secret-left", Condition.HELD, Remedy.LEAVE_OLD, "A key to forget has an old secret that is to die."
    )  # fmt: skip
    EXTRA = "extra", Condition.HELD, Remedy.DELETE_EXTRA, "An API key would go that a create without an answer left."
    UNPROVEN = (
        "unproven", Condition.HELD, Remedy.ALLOW_UNPROVEN, "An API key to change may not be this key's own."
    )  # fmt: skip
    TOO_MANY_REMOVALS = (
        "too-many-removals", Condition.HELD, Remedy.ALLOW_REMOVALS, "More deliveries would be emptied than allowed."
    )  # fmt: skip
    FORGED = "forged", Condition.HELD, Remedy.SIGN_RECORDS, "A record or claim has no valid signature."
    ALL_GONE = "all-gone", Condition.HELD, Remedy.ONE_BY_ONE, "Every live API key of the run is missing."
    ALL_REFUSED = "all-refused", Condition.HELD, Remedy.ROTATE_EACH, "The API refuses every key that was checked."
    OUTSIDE_POLICY = (
        "outside-policy", Condition.HELD, Remedy.ASK_OPERATOR, "The policy admits no API key of this name."
    )  # fmt: skip
    RUN_STOPPED = "run-stopped", Condition.HELD, Remedy.FIRST_STOP, "The whole run stopped before this key."
    STOPPED = "stopped", Condition.HELD, Remedy.NONE, "A rule of ownership stopped this key."
    NOT_AGREED = "not-agreed", Condition.HELD, Remedy.AGREE, "The plan was not confirmed."

    # Something is wrong.
    REFUSED = "refused", Condition.REFUSED, Remedy.VERIFY, "The API refuses a secret."
    GONE = "gone", Condition.GONE, Remedy.AGAIN, "An API key of the record is not listed any more."
    KEY_MISSING = "key-missing", Condition.GONE, Remedy.AGAIN, "The API key to change is in no complete list."
    DRIFTED = "drifted", Condition.DRIFTED, Remedy.VERIFY, "A delivery holds another value than the live secret."
    EMPTIED = "emptied", Condition.DRIFTED, Remedy.VERIFY, "A delivery holds nothing."
    COMPROMISED = "compromised", Condition.FAILED, Remedy.AGAIN, "A compromised secret may still be accepted."
    UNFINISHED = "unfinished", Condition.FAILED, Remedy.AGAIN, "A run ended before it finished what it had begun."
    EFFECT_PENDING = (
        "effect-pending", Condition.WAITING, Remedy.LATER, "A delivered secret is not in use yet."
    )  # fmt: skip
    EFFECT_FAILED = (
        "effect-failed", Condition.DRIFTED, Remedy.REPAIR_EFFECT, "A delivered secret did not come into use."
    )  # fmt: skip
    EFFECT_OUTAGE = (
        "effect-outage",
        Condition.REFUSED,
        Remedy.AWAIT_EFFECT,
        "A delivered secret is not in use yet, and the one in use is dead.",
    )
    PENDING = "pending", Condition.FAILED, Remedy.AGAIN, "Something is left that this run could not put right."
    PARKED = "parked", Condition.PARKED, Remedy.UNPARK, "Several runs in a row failed after they made a secret."
    LOGIN_REFUSED = "login-refused", Condition.LOGIN_REFUSED, Remedy.FIX_LOGIN, "A token or a login is refused."
    NO_ANSWER = "no-answer", Condition.UNKNOWN, Remedy.LATER, "A server did not answer."
    MISCONFIGURED = "misconfigured", Condition.MISCONFIGURED, Remedy.FIX_ENTRY, "The manifest or the set-up is wrong."
    UNREADABLE = "unreadable", Condition.UNKNOWN, Remedy.FIX_TARGET, "A delivery cannot be read."
    UNREACHABLE = "unreachable", Condition.UNKNOWN, Remedy.CHECK_NETWORK, "The inference API does not answer."
    VPC = "vpc", Condition.ACTION_NEEDED, Remedy.RUN_INSIDE, "The API key works inside its VPC only."
    TIER = "tier", Condition.ACTION_NEEDED, Remedy.RAISE_TIER, "The account's tier lacks the model."
    MODEL = "model", Condition.ACTION_NEEDED, Remedy.OTHER_MODEL, "There is no such model."
    MODEL_DENIED = "model-denied", Condition.ACTION_NEEDED, Remedy.ALLOW_MODEL, "The API key may not use the model."
    QUOTA = "quota", Condition.ACTION_NEEDED, Remedy.RAISE_QUOTA, "A quota of the account is used up."
    BALANCE = "balance", Condition.ACTION_NEEDED, Remedy.ADD_BALANCE, "The account has no balance."
    MODELS_DIFFER = "models-differ", Condition.ACTION_NEEDED, Remedy.FIX_KEY, "The two API keys may use other models."
    OLD_SECRET_ALIVE = "old-secret-alive", Condition.FAILED, Remedy.FIX_KEY, "A secret that should be dead is accepted."
    CLOCK_SKEW = "clock-skew", Condition.FAILED, Remedy.SET_CLOCK, "This machine's clock differs from the API's."
    PREFLIGHT_FAILED = "preflight-failed", Condition.FAILED, Remedy.FIX_TARGET, "A delivery cannot be written."
    MAY_HOLD_IT = (
        "may-hold-it",
        Condition.FAILED,
        Remedy.FIX_TARGET,
        "A target that cannot be read may hold the secret.",
    )
    DELIVERY_PENDING = "delivery-pending", Condition.FAILED, Remedy.FIX_TARGET, "A delivery lacks the new secret."
    MINT_FAILED = "mint-failed", Condition.FAILED, Remedy.AGAIN, "The API did not make a secret."
    TOO_MANY_MINTS = "too-many-mints", Condition.FAILED, Remedy.AGAIN, "Too many requests for a secret had no answer."
    NEW_SECRET_REFUSED = (
        "new-secret-refused", Condition.FAILED, Remedy.AGAIN, "The API refuses a new secret that no consumer has."
    )  # fmt: skip
    LAST_RUN_FAILED = (
        "last-run-failed", Condition.FAILED, Remedy.AGAIN, "The last run that made a secret failed."
    )  # fmt: skip
    RENAME_FAILED = "rename-failed", Condition.FAILED, Remedy.AGAIN, "The API key was not renamed."
    DELIVER_FAILED = (
        "deliver-failed",
        Condition.FAILED,
        Remedy.FIX_TARGET,
        "A delivery could not be brought up to date.",
    )
    HOOK_FAILED = "hook-failed", Condition.FAILED, Remedy.AGAIN, "The hook after a delivery failed."
    CLEAN_FAILED = "clean-failed", Condition.FAILED, Remedy.FIX_TARGET, "An old delivery could not be cleaned."
    RETIRE_FAILED = "retire-failed", Condition.FAILED, Remedy.AGAIN, "The old secret was not retired."
    DELETE_FAILED = "delete-failed", Condition.FAILED, Remedy.AGAIN, "The API key was not deleted."
    INTERRUPTED = "interrupted", Condition.FAILED, Remedy.AGAIN, "A signal stopped the run."
    NO_SLOT = "no-slot", Condition.FAILED, Remedy.REPORT, "The record contradicts itself."
    ENDLESS = "endless", Condition.FAILED, Remedy.REPORT, "The key did not converge."
    FAILED = "failed", Condition.FAILED, Remedy.AGAIN, "An error stopped this key."
    UNEXPECTED = "unexpected", Condition.FAILED, Remedy.REPORT, "A mistake in keyturn stopped this key."


STATES = tuple(dict.fromkeys((*(one.value for one in Condition), *(reason.word for reason in Reason))))
"""Every word that people may be shown as the state of a key: the conditions, the most urgent first, and the others."""

_BEFORE_ALL = (4, 5)
"""The exit codes that win over 1: an owner or a brake, then a refused login."""


def exit_code(conditions: Iterable[Condition]) -> int:
    """Return the exit code of several keys: 4 before 5 before 1, else 0. Every command ends with this one."""
    return mixed(condition.exit_code for condition in conditions)


def mixed(codes: Iterable[int]) -> int:
    """Return the exit code of several parts: 4 before 5 before any other but 0."""
    found = set(codes)
    return next((code for code in _BEFORE_ALL if code in found), max(found - {0}, default=0))
