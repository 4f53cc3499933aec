"""`status` as one html page: no request, no script needed, a strict Content-Security-Policy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from keyturn.core.reasons import Condition, Tone
from keyturn.core.results import KeyStatus
from keyturn.report.common import Common, common
from keyturn.report.documents import StatusDocument
from keyturn.report.handoff import FIRST, LAST, handoff_text
from keyturn.report.html_assets import SCRIPT, SPRITE, STYLE
from keyturn.report.html_key import do_html, ends_html, key_html
from keyturn.report.html_parts import text, time, tone_icon, words
from keyturn.report.html_timeline import timeline
from keyturn.report.lines import count
from keyturn.report.overview import coming, counts, worst_first
from keyturn.report.pools import pool_text
from keyturn.report.remedies import remedy

FEW = 5
"""Up to so many keys that need attention start open."""
URGENT = frozenset({Tone.BAD, Tone.ATTENTION})
"""Tones that are shown before what is coming."""


def status_html(document: StatusDocument) -> str:
    """Return the document as one page of html, for a file or a server. Every text of it is escaped.

    The page makes no request. Its policy allows its one style and its one script by their hashes, and an icon.
    """
    keys = worst_first(document.keys)
    wrong = sum(1 for key in keys if key.exit_code)
    worst = keys[0].condition.tone if keys else Tone.GOOD
    headline = _headline(len(keys), wrong, document)
    shared = common([(key.key, key.every) for key in keys])
    urgent = [key for key in keys if key.condition.tone in URGENT]
    others = [key for key in keys if key.condition.tone not in URGENT]
    opened = wrong <= FEW
    body = [
        SPRITE,
        f'<div class="page"><header><p class="brand"><b>keyturn</b> {text(", ".join(_owners(keys)))}</p>',
        f"<h1>{tone_icon(Tone.BAD if document.stops else worst)}{text(headline)}</h1>",
        f'<p class="sub">As of {time(document.at, "looked")}<span id="age"></span></p></header><main>',
        _tools(document, keys),
        *(_stop(why, do) for why, do in _stops(document)),
        _shared(shared, document),
        *_groups(urgent, shared, document, opened=opened),
        timeline(coming(keys), document.at),
        *_groups(others, shared, document, opened=opened),
        _rest(document, keys),
        f"</main><footer>keyturn {text(document.keyturn)}. Exit code {document.exit_code}.</footer></div>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n{_policy()}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f"<title>{text(headline)} · keyturn</title>\n{_favicon(bool(wrong or document.stops))}\n"
        f"<style>{STYLE}</style></head>\n<body>{''.join(part for part in body if part)}"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _policy() -> str:
    """Return the policy of the page: nothing is loaded or sent, and only this style and this script count."""
    rules = f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; img-src data:"
    return (
        f'<meta http-equiv="Content-Security-Policy" content="{rules}; base-uri &#39;none&#39;; '
        'form-action &#39;none&#39;">'
    )


def _hash(source: str) -> str:
    return "sha256-" + b64encode(sha256(source.encode()).digest()).decode()


def _favicon(wrong: bool) -> str:  # noqa: FBT001 - its one argument
    colour, path = ("%23b3261e", "M5 1h6l4 4v6l-4 4H5l-4-4V5z") if wrong else ("%231b6f45", "M8 0a8 8 0 1 0 .01 0z")
    shape = f"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='{colour}' d='{path}'/%3E"
    return f'<link rel="icon" href="data:image/svg+xml,{shape}%3C/svg%3E">'


def _owners(keys: Sequence[KeyStatus]) -> list[str]:
    return sorted({key.owner for key in keys if key.owner})


def _headline(number: int, wrong: int, document: StatusDocument) -> str:
    of = f"{count(number, 'key')}{' shown' if document.hidden else ''}"
    if not number:
        return "No keys"
    if wrong:
        needs = "needs" if wrong == 1 else "need"
        return f"{wrong} of {of} {needs} attention"
    if document.stops:
        return "An apply would stop"
    return f"{of}, nothing wrong"


def _tools(document: StatusDocument, keys: Sequence[KeyStatus]) -> str:
    """Return the counts, which filter without a script, and the box that filters with one."""
    if not keys:
        return ""
    chips = ['<input class="sr" type="radio" name="only" id="only-all" checked>']
    chips.append(f'<label for="only-all"><span>all</span> <b>{len(keys)}</b></label>')
    for condition, number in counts(keys).items():
        chips.append(f'<input class="sr" type="radio" name="only" id="only-{condition.value}">')
        chips.append(
            f'<label for="only-{condition.value}">{tone_icon(condition.tone)}<span>{condition.value}</span> '
            f"<b>{number}</b></label>"
        )
    hidden = ""
    if document.hidden:
        hidden = f'<p class="muted">{count(document.hidden, "key")} of other conditions not on this page.</p>'
    return (
        f'<div class="tools"><fieldset class="chips"><legend class="sr">Show keys by condition</legend>{"".join(chips)}'
        f'</fieldset>{hidden}<div class="search" data-script hidden><label class="sr" for="filter">Filter keys</label>'
        '<input id="filter" type="search" autocomplete="off" spellcheck="false" '
        'placeholder="Key, place or reason"><kbd aria-hidden="true">/</kbd></div>'
        '<button type="button" id="toggle" data-script hidden>Open all</button>'
        '<output id="shown" for="filter" aria-live="polite"></output></div>'
    )


def _stops(document: StatusDocument) -> list[tuple[str, str]]:
    told = [(end.why, remedy(end, "KEY")) for end in document.stops]
    return told or [(why, "") for why in document.stopped]


def _stop(why: str, do: str) -> str:
    return (
        f'<section class="card stop"><h2>{tone_icon(Tone.BAD)} An apply would stop</h2><p>{text(why)}</p>'
        f'<div class="do">{do_html([do] if do else [])}</div></section>'
    )


def _shared(shared: Common, document: StatusDocument) -> str:
    """Return each cause that several keys share, once."""
    rows = [
        f'<li><div>{ends_html(end, document.at)}</div><p class="keys">{text(names)}</p>'
        f'<div class="do">{do_html([do] if do else [], shared.keys[end.code.value, end.why])}</div></li>'
        for names, end, do in shared
    ]
    if not rows:
        return ""
    title = "One cause, several keys" if len(rows) == 1 else "Causes that several keys share"
    return (
        f'<section class="shared" aria-labelledby="shared"><div class="head"><h2 id="shared">{title}</h2></div>'
        f'<ul class="card">{"".join(rows)}</ul></section>'
    )


def _groups(keys: Sequence[KeyStatus], shared: Common, document: StatusDocument, *, opened: bool) -> list[str]:
    """Return a section for each condition that a key has."""
    return [
        _group(condition, [key for key in keys if key.condition is condition], shared, document, opened=opened)
        for condition in counts(keys)
    ]


def _group(
    condition: Condition, keys: Sequence[KeyStatus], shared: Common, document: StatusDocument, *, opened: bool
) -> str:
    name = f"group-{condition.value}"
    title = condition.value.replace("-", " ").capitalize()
    rows = [key_html(key, document.at, shared, opened=opened and bool(key.exit_code)) for key in keys]
    plain = " plain" if condition is Condition.READY else ""
    return (
        f'<section class="group{plain}" data-condition="{condition.value}" aria-labelledby="{name}"><div class="head">'
        f'{tone_icon(condition.tone)}<h2 id="{name}">{title} <span class="number">{len(keys)}</span></h2>'
        f'<p>{text(condition.meaning)}</p></div><div class="card">{"".join(rows)}</div></section>'
    )


def _rest(document: StatusDocument, keys: Sequence[KeyStatus]) -> str:
    """Return what concerns no single key: API keys to make, pools, and what nobody owns."""
    parts: list[str] = []
    ends = [end for key in keys for end in key.every if end.make]
    if names := list(dict.fromkeys(name for end in ends for name in end.make)):
        first, *more = handoff_text(names, last=LAST if all(end.since for end in ends) else FIRST)
        made = "".join(f'<li class="mono">{text(name)}</li>' for name in names)
        how = "".join(f"<p>{words(row)}</p>" for row in more[len(names) :])
        parts.append(
            f'<section class="rest"><h2>To make by hand</h2><div class="card"><p>{text(first)}</p>'
            f'<ul class="names">{made}</ul>{how}</div></section>'
        )
    if document.pools:
        rows = "".join(
            f"<li>{tone_icon(Tone.ATTENTION if pool.few else Tone.GOOD)} {text(pool_text(pool))}</li>"
            for pool in document.pools
        )
        parts.append(f'<section class="rest"><h2>Pools</h2><ul class="card list">{rows}</ul></section>')
    if document.unowned is not None:
        rows = "".join(
            f'<li><span class="mono">{text(key.uuid)}</span> {text(key.name)}</li>' for key in document.unowned
        )
        rows = rows or "<li>none</li>"
        title = f"{count(len(document.unowned), 'key')} of the account owned by no manifest"
        parts.append(f'<section class="rest"><h2>{title}</h2><ul class="card list">{rows}</ul></section>')
    return "".join(parts)
