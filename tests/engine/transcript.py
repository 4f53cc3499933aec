"""`python -m tests.engine.transcript`: stacks' lives on the real engine, each command with its requests.

Dynamic resources in Python, then the full provider in YAML and in TypeScript. At the end of each life every file of the
backend and the home (state, history, backups, plugins), all events and the log at its most talkative are searched for
each secret and token.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from keyturn.sandbox import Sandbox
from keyturn_provider.plugin import words
from tests.engine.build import engine
from tests.engine.full_site import FullSite, NodeSite, YamlSite
from tests.engine.harness import Site
from tests.engine.languages import host, node_modules
from tests.support.openbao import OpenBao

ID = "shop.dev.bot"
URN = f"urn:pulumi:dev::shop::{words.KEY}::bot"
DYNAMIC = f"urn:pulumi:dev::shop::{words.DYNAMIC[words.KEY]}::bot"
MINT = ("regenerate",)


def tell(
    site: Site, command: str, do: Callable[[], object], mutating: tuple[str, ...] = (), *, shown: bool = True
) -> int:
    """Run a command, print its screen and its requests; return how many things are not as expected."""
    before = len(site.said)
    do()
    print(f"\n$ pulumi {command}")
    if shown:
        print("\n".join(text.strip() for text in site.said[before:] if text.strip()))
    requests = site.requests()
    print("requests to the API:")
    for seen in requests:
        print(f"  {seen.verb:<6} {seen.path}  {seen.status}{'  (changes the account)' if seen.mutating else ''}")
    if not requests:
        print("  none")
    resource = next((item for item in site.state() if item["urn"] in (URN, DYNAMIC)), {})
    print(f"resource id: {resource.get('id', 'none')}; the vault's secret is accepted: {site.accepted()}")
    found = tuple(seen.op for seen in requests if seen.mutating)
    wrong = int(found != mutating) + int(resource.get("id", ID) != ID)
    if wrong:
        print(f"NOT AS EXPECTED: {', '.join(mutating) or 'no changing request'}, and the id {ID}")
    return wrong


def live(site: Site) -> int:
    """Tell a dynamic key's life in a stack; return how many things are not as expected."""
    rotated = site.key(rotation_trigger="release 7")
    wrong = tell(site, "preview", lambda: site.show_preview(site.key()))
    wrong += tell(site, "up", lambda: site.up(site.key()), ("create", "rename"))
    wrong += tell(site, "up", lambda: site.up(site.key()))
    wrong += tell(site, "up  # with another rotation_trigger", lambda: site.up(rotated), MINT)
    wrong += tell(site, "refresh", site.refresh)
    wrong += tell(site, "destroy", site.destroy, ("delete",))
    return wrong + search(site)


def live_full(site: FullSite, language: str) -> int:
    """Tell a key's life with the full provider, from a dynamic resource on; return what is not as expected."""
    before = Site(site.folder, site.engine, site.sandbox, site.openbao, site.prefix, site.variables, stacks=site.stacks)
    wrong = tell(before, "up  # a dynamic resource in Python", lambda: before.up(before.key()), ("create", "rename"))
    moved = site.key(options={"aliases": [DYNAMIC]})
    wrong += tell(site, f"preview  # a program in {language}", lambda: site.show_preview(moved))
    wrong += tell(site, "up", lambda: site.up(moved))
    key = site.key()
    wrong += tell(site, "up", lambda: site.up(key))
    due = site.key(rotation={"strategy": "in-place", "every": "1s"})
    wrong += tell(site, "preview  # its secret is older than `every`", lambda: site.show_preview(due))
    wrong += tell(site, "up", lambda: site.up(due), MINT)
    wrong += tell(site, "up  # without `every`", lambda: site.up(key))
    site.put("sk-by-hand")
    wrong += tell(site, "preview  # someone wrote to the vault", lambda: site.show_preview(key))
    wrong += tell(site, "up", lambda: site.up(key))
    site.variables["KEYTURN_RECORDS"] = json.dumps({**site.targets["vault"], "prefix": f"{site.prefix}/keyturn"})
    wrong += tell(site, f"state delete {URN}", lambda: site.forget(URN))
    wrong += tell(site, f"import {words.KEY} bot {ID}", lambda: site.adopt(words.KEY, "bot", ID))
    wrong += tell(site, "up", lambda: site.up(key))
    events = site.folder / "events.json"
    site.variables["PULUMI_DEBUG_COMMANDS"] = "true"  # for the log of events
    talkative = ("--logtostderr", "--logflow", "--verbose=9", "--event-log", str(events))
    rotated = site.key(rotation_trigger="release 7")
    command = "up --logtostderr --logflow --verbose=9 --event-log FILE  # with a rotationTrigger; not shown"
    wrong += tell(site, command, lambda: site.up(rotated, *talkative), MINT, shown=False)
    wrong += int(not events.exists())
    wrong += tell(site, "destroy", lambda: site.destroy(program=rotated), ("delete",))
    return wrong + search(site)


def search(site: Site) -> int:
    """Tell how many files hold a secret or a token in plain, and return it."""
    files = sum(path.is_file() for path in site.folder.rglob("*"))
    leaks = site.leaks()
    print(f"\n{files} files of backend, home and project were searched, state, history, backups and events among them,")
    print(f"and {len(site.screen())} characters of screens and logs, for {len(site.sandbox.state.secrets)} secrets and")
    print(f"the tokens: {len(leaks)} hold one {leaks or ''}")
    return len(leaks)


def main() -> int:
    """Return 1 if anything is not as expected."""
    wrong = 0
    with tempfile.TemporaryDirectory() as bao, OpenBao(Path(bao)) as openbao:
        for title in ("Python, dynamic resources", "YAML", "TypeScript"):
            print(f"\n# {title}")
            with tempfile.TemporaryDirectory() as home, Sandbox(create="allowed") as sandbox:
                prefix, variables = f"life-{title[:4].lower()}", {"VAULT_TOKEN": openbao.root_token}
                site = (Path(home), engine(), sandbox, openbao, prefix, variables)
                if title == "YAML":
                    wrong += live_full(YamlSite(*site, host=host("yaml")), title)
                elif title == "TypeScript":
                    wrong += live_full(NodeSite(*site, host=host("nodejs"), modules=node_modules()), title)
                else:
                    wrong += live(Site(*site))
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main())
