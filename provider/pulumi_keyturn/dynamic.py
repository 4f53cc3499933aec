"""The dynamic resources of earlier versions, for programs that cannot start the provider's executable.

Their types and states are those of earlier versions. `pulumi_keyturn.ModelAccessKey` takes their keys over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import pulumi
from pulumi import ResourceOptions
from pulumi.dynamic import Resource

from keyturn_provider import inputs
from pulumi_keyturn.args import ModelAccessKeyArgs, SmokeCheckArgs
from pulumi_keyturn.provider import KeyProvider, SmokeCheckProvider

Facts = Mapping[str, str]
STACK = "pulumi:pulumi:Stack"


class ModelAccessKey(Resource, module="keyturn", name="ModelAccessKey"):
    """A DigitalOcean model access key. Its secret is kept in targets, and not in Pulumi's state unless requested.

    Its id is the id of its record, which a rotation never changes. Times are ISO 8601 in UTC, or None. Raises
    ValueError for an unknown input or `import_`; `pulumi preview` and `pulumi up` report all other mistakes.
    """

    uuid: pulumi.Output[str]
    """The API key in use."""
    slots: pulumi.Output[Mapping[str, Facts]]
    """The API keys (uuid and name) by slot: `a`, and `b` with alternating."""
    generation: pulumi.Output[int]
    """The number of delivered secrets."""
    rotated_at: pulumi.Output[str | None]
    next_rotation_at: pulumi.Output[str | None]
    retire_at: pulumi.Output[str | None]
    """The time after which an up may retire the old secret of `alternating`."""
    digest: pulumi.Output[str]
    """16 hex digits that change with the secret and reveal nothing of it."""
    deliveries: pulumi.Output[list[Facts]]
    """The deliveries with target, path, field and version. Give these to consumers instead of the secret."""
    health: pulumi.Output[str]
    """`healthy`, or the finding of the last refresh."""
    secret: pulumi.Output[str | None]
    """The secret itself, only with `expose_secret`. Encrypted in the state."""

    def __init__(
        self,
        resource_name: str,
        args: ModelAccessKeyArgs | None = None,
        opts: ResourceOptions | None = None,
        **more: Unpack[ModelAccessKeyArgs],
    ) -> None:
        """Declare the key. Inputs are given as `args`, by keyword, or both."""
        opts = opts or ResourceOptions()
        if opts.import_:
            raise ValueError(
                f"{resource_name}: a dynamic resource cannot be imported. Remove import_ and use "
                "adopt={'secret': 'existing'}, which takes over the API key of that name with its current secret."
            )
        given = _given(resource_name, {**(args or {}), **more}, inputs.KEY)
        if given.get("deliver") is None and not opts.id:
            raise ValueError(f"{resource_name}: deliver is required: set at least one delivery.")
        secret = ResourceOptions(additional_secret_outputs=["secret"])
        found = ("uuid", "slots", "generation", "rotated_at", "next_rotation_at", "retire_at", "digest", "deliveries")
        # A key that is only looked up belongs to another resource: this one owns nothing.
        origin = {} if opts.id else _origin(resource_name, opts.parent)
        props = {**given, **origin, **dict.fromkeys((*found, "health", "secret"))}
        super().__init__(KeyProvider(), resource_name, props, ResourceOptions.merge(opts, secret))


class SmokeCheck(Resource, module="keyturn", name="SmokeCheck"):
    """A check that the inference API accepts the secrets of deliveries. Otherwise the up fails.

    It runs when it is declared, when an input changes (the `deliveries` of a key change with each rotation), and in the
    first up after `every` has passed. Raises ValueError for an unknown input.
    """

    verdict: pulumi.Output[str]
    """`accepted` or `skipped`."""
    checked_at: pulumi.Output[str]
    next_check_at: pulumi.Output[str | None]

    def __init__(
        self,
        resource_name: str,
        args: SmokeCheckArgs | None = None,
        opts: ResourceOptions | None = None,
        **more: Unpack[SmokeCheckArgs],
    ) -> None:
        """Declare the check. Inputs are given as `args`, by keyword, or both."""
        given = _given(resource_name, {**(args or {}), **more}, inputs.SMOKE_CHECK)
        origin = _origin(resource_name, opts.parent if opts else None)
        props = {**given, **origin, "verdict": None, "checked_at": None, "next_check_at": None}
        super().__init__(SmokeCheckProvider(), resource_name, props, opts)


def _given(resource_name: str, given: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    if wrong := sorted(set(given) - set(known)):
        raise ValueError(f"{resource_name}: unknown input {', '.join(wrong)}; known: {', '.join(known)}.")
    return dict(given)


def _origin(resource_name: str, parent: pulumi.Resource | None) -> dict[str, object]:
    """Return the inputs that identify the resource: a provider does not get them from the engine."""
    inside = parent is not None and parent.pulumi_resource_type != STACK
    # The URN without its dependency: as an output of the parent, it would make this resource wait for its siblings.
    bare: Any = parent.urn.future() if parent and inside else None
    urn: object = pulumi.Output.from_input(bare) if bare else None
    return dict(zip(inputs.DYNAMIC, (pulumi.get_project(), pulumi.get_stack(), urn, resource_name), strict=True))
