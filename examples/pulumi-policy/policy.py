"""House rules for model access keys: no secret in the state, and none without a rotation."""

from collections.abc import Mapping

from pulumi import ResourceTransformationArgs
from pulumi.runtime import register_stack_transformation

KEYS = ("keyturn:index:ModelAccessKey", "pulumi-python:dynamic/keyturn:ModelAccessKey")
"""The type of a key, and the one up to version 0.1: a rule for one of them lets all keys of the other pass."""
OLDEST = 90
"""Days after which a secret must be replaced."""


class PolicyError(Exception):
    """A resource that breaks a house rule."""


def hold_keys_to_the_rules(args: ResourceTransformationArgs) -> None:
    """Refuse a key that exposes its secret, or that does not say how it rotates; everything else passes unchanged.

    The values that decide are plain ones: an output would be known too late to refuse anything.
    """
    if args.type_ not in KEYS:
        return
    props: Mapping[str, object] = args.props
    if props.get("expose_secret") not in {None, False}:
        raise PolicyError(f"{args.name}: expose_secret is forbidden here: pass `deliveries` on, not the secret.")
    if args.opts.id:  # only looked up: the rules of its own stack say how it rotates
        return
    rotation = props.get("rotation")
    every = rotation.get("every") if isinstance(rotation, Mapping) else None
    days = every.removesuffix("d") if isinstance(every, str) else ""
    if not days.isdigit() or int(days) > OLDEST:
        raise PolicyError(f"{args.name}: rotation.every is required, in days, {OLDEST}d at most.")


def install() -> None:
    """Apply the rules to every key of the stack that is declared from now on."""
    register_stack_transformation(hold_keys_to_the_rules)
