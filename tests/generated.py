"""The files that are made from the code: `python -m tests.generated` writes them, `tests.checks` compares them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from keyturn.cli import main as keyturn
from keyturn.cli.schema import KINDS
from keyturn.core.reasons import Condition, Reason
from keyturn.kube.crds import definitions
from keyturn.report.remedies import REMEDIES
from tests import manifest_page, wings
from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
SCHEMA = Path("sdk/schema.json")
WIDTH = 100
CHART = Path("deploy/helm/keyturn")
MADE = "# Made from the code by `make generate`.\n"
REASONS = """# Conditions and reasons

This page is made from the catalogue (`reconcile/keyturn/core/reasons.py`) by `make generate`.

Every command shows the most urgent condition of a key first; the table has them in this order.
The exit code of a command is that of its keys: 4 before 5 before 3 before 1.
JSON documents have the condition, the reason, `since`, `until` and the kind of remedy.
Settings of Pulumi are spelled as in the schema; dynamic resources say the same in Python, such as `take_over=True`.
"""
PREFACE = "# Command line\n\nThis page is made from the code by `make generate`.\n"


def generated() -> dict[Path, str]:
    """Return every generated file, its path from the root of the repository, with what it should hold."""
    schemas = {Path("schemas") / f"{name}.v1.json": schema(name) for name in KINDS}
    pages = {
        Path("docs/cli.md"): "\n".join([PREFACE, *reference(keyturn, None)]),
        Path("docs/manifest.md"): manifest_page.page(json.loads(schemas[Path("schemas/manifest.v1.json")])),
        Path("docs/reasons.md"): "\n".join(reasons()) + "\n",
        wings.PAGE: wings.drawn((ROOT / wings.PAGE).read_text(encoding="utf-8")),
    }
    crds = {crd["spec"]["names"]["plural"]: custom_resource(crd) for crd in definitions()}
    manifests = {Path("deploy/crds") / f"{plural}.yaml": f"{MADE}{text}" for plural, text in crds.items()}
    policies = (ROOT / "deploy/admission/policies.yaml").read_text(encoding="utf-8")
    templates = {
        CHART / "templates/crds.yaml": template("crds", "---\n".join(crds.values())),
        CHART / "templates/admission.yaml": template("admission", policies),
    }
    return schemas | pages | manifests | templates | {SCHEMA: package_schema()}


def package_schema() -> str:
    """Return the schema of the Pulumi package."""
    from keyturn import __version__
    from keyturn_provider.plugin.schema import package

    return package(__version__) + "\n"


def custom_resource(crd: Mapping[str, object]) -> str:
    """Return a CustomResourceDefinition as YAML."""
    return yaml.safe_dump(dict(crd), sort_keys=False, width=120)


def template(switch: str, documents: str) -> str:
    """Return documents as a template of the chart, for the values that switch them on."""
    return f"{MADE}{{{{- if .Values.{switch}.install }}}}\n{documents}{{{{- end }}}}\n"


def schema(name: str) -> str:
    """Return what `keyturn schema NAME` prints; `RuntimeError` with its stderr if it fails."""
    answer = run([sys.executable, "-m", "keyturn.cli", "schema", name], env=bare_environment())
    if answer.returncode:
        raise RuntimeError(f"keyturn schema {name}: {answer.stderr}")
    return answer.stdout


def reference(command: click.Command, parent: click.Context | None) -> Iterator[str]:
    """Yield the help of a command, then of those below it, each as a section of Markdown."""
    name = (command.name or "keyturn") if parent else "keyturn"
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = list(command.context_settings.get("help_option_names", context.help_option_names))
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            if found := command.get_command(context, below):
                yield from reference(found, context)


def reasons() -> Iterator[str]:
    """Yield the page of conditions and reasons, from the catalogue and the remedies of both faces."""
    from keyturn_provider.remedies import REMEDIES as PULUMI
    from keyturn_provider.spelling import SCHEMA

    yield REASONS
    yield "| condition | tone | exit code | meaning |\n|---|---|---|---|"
    for condition in Condition:
        yield f"| [{condition}](#{condition}) | {condition.tone} | {condition.exit_code} | {condition.meaning} |"
    for condition in Condition:
        yield f"\n## {condition}\n"
        yield "| reason | meaning | command line | Pulumi |\n|---|---|---|---|"
        for reason in Reason:
            if reason.condition is condition:
                faces = [table[reason.remedy].format(key="KEY", number="N", **SCHEMA) for table in (REMEDIES, PULUMI)]
                yield f"| `{reason}` | {reason.meaning} | {' | '.join(face or '-' for face in faces)} |"


def main() -> None:
    """Write all generated files."""
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
