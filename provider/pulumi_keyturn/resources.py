"""The resources that programs declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import pulumi
from pulumi import ResourceOptions
from pulumi.dynamic import Resource

from pulumi_keyturn import inputs
from pulumi_keyturn.args import ModelAccessKeyArgs, SmokeCheckArgs
from pulumi_keyturn.provider import KeyProvider, SmokeCheckProvider

Facts = Mapping[str, str]
STACK = "pulumi:pulumi:Stack"


class ModelAccessKey(Resource, module="keyturn", name="ModelAccessKey"):
    """A DigitalOcean model access key whose secret is kept in other places, never in Pulumi's state unless asked for.

    Its id is the id of its record, which a rotation never changes. Moments are ISO 8601 in UTC, None if there is
    none. Raises ValueError for an unknown input or `import_`; `pulumi preview` or `pulumi up` says the rest.
    """

    uuid: pulumi.Output[str]
    """The API key in use."""
    slots: pulumi.Output[Mapping[str, Facts]]
    """The API keys (uuid and name) by slot: `a`, and `b` with alternating."""
    generation: pulumi.Output[int]
    """How many secrets were delivered."""
    rotated_at: pulumi.Output[str | None]
    next_rotation_at: pulumi.Output[str | None]
    retire_at: pulumi.Output[str | None]
    """When the old secret of alternating may be killed: by the first up after it."""
    digest: pulumi.Output[str]
    """16 hex digits that change with the secret and tell nothing of it."""
    deliveries: pulumi.Output[list[Facts]]
    """Where the secret is: target, path, field and version; what consumers are given instead of the secret."""
    health: pulumi.Output[str]
    """`healthy`, or what the last refresh found."""
    secret: pulumi.Output[str | None]
    """The secret itself, only with `expose_secret`; encrypted in the state."""

    def __init__(
        self,
        resource_name: str,
        args: ModelAccessKeyArgs | None = None,
        opts: ResourceOptions | None = None,
        **more: Unpack[ModelAccessKeyArgs],
    ) -> None:
        """Declare the key; inputs are given as `args`, by keyword, or both."""
        opts = opts or ResourceOptions()
        if opts.import_:
            raise ValueError(
                f"{resource_name}: a dynamic resource cannot be imported. Take import_ out and say "
                "adopt={'secret': 'existing'}, which takes over the API key of that name with its present secret."
            )
        given = _given(resource_name, {**(args or {}), **more}, inputs.KEY)
        if given.get("deliver") is None and not opts.id:
            raise ValueError(f"{resource_name}: deliver is required: at least one place where the secret is kept.")
        secret = ResourceOptions(additional_secret_outputs=["secret"])
        found = ("uuid", "slots", "generation", "rotated_at", "next_rotation_at", "retire_at", "digest", "deliveries")
        # A key that is only looked up is another resource's: this one owns nothing.
        origin = {} if opts.id else _origin(resource_name, opts.parent)
        props = {**given, **origin, **dict.fromkeys((*found, "health", "secret"))}
        super().__init__(KeyProvider(), resource_name, props, ResourceOptions.merge(opts, secret))


class SmokeCheck(Resource, module="keyturn", name="SmokeCheck"):
    """A check that the inference API accepts what deliveries hold: otherwise the up fails.

    It is made when declared, when an input changes (`deliveries` of a key do, with each rotation), and by the first up
    after `every` has passed. Raises ValueError for an unknown input.
    """

    verdict: pulumi.Output[str]
    """`accepted`, or `skipped`."""
    checked_at: pulumi.Output[str]
    next_check_at: pulumi.Output[str | None]

    def __init__(
        self,
        resource_name: str,
        args: SmokeCheckArgs | None = None,
        opts: ResourceOptions | None = None,
        **more: Unpack[SmokeCheckArgs],
    ) -> None:
        """Declare the check; inputs are given as `args`, by keyword, or both."""
        given = _given(resource_name, {**(args or {}), **more}, inputs.SMOKE_CHECK)
        origin = _origin(resource_name, opts.parent if opts else None)
        props = {**given, **origin, "verdict": None, "checked_at": None, "next_check_at": None}
        super().__init__(SmokeCheckProvider(), resource_name, props, opts)


def _given(resource_name: str, given: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    if wrong := sorted(set(given) - set(known)):
        raise ValueError(f"{resource_name}: there is no input {', '.join(wrong)}; there are {', '.join(known)}.")
    return dict(given)


def _origin(resource_name: str, parent: pulumi.Resource | None) -> dict[str, object]:
    """Return where the resource is declared: a provider does not know."""
    inside = parent is not None and parent.pulumi_resource_type != STACK
    # The bare URN: as an output of the parent it would make this resource wait for its siblings.
    bare: Any = parent.urn.future() if parent and inside else None
    urn: object = pulumi.Output.from_input(bare) if bare else None
    return dict(zip(inputs.ORIGIN, (pulumi.get_project(), pulumi.get_stack(), urn, resource_name), strict=True))
