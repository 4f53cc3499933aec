"""The custom resources as pydantic models: what is read of them. Their definitions are generated from these models.

The parts that a manifest has too are the manifest's own: the definition takes their fields from its models, and what is
read is handed on to it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from keyturn.core.errors import InputError
from keyturn.core.sanitize import plain
from keyturn.manifest import schema as manifest

GROUP, VERSION = "keyturn.dev", "v1alpha1"
KEY, ACCOUNT, CLUSTER_ACCOUNT = "ModelAccessKey", "KeyturnAccount", "ClusterKeyturnAccount"
NAMESPACE = "{namespace}"
"""The placeholder of prefixes: the namespace of the ModelAccessKey."""
NEVER_OFFERED = ("dotenv", "kubernetes")
"""Kinds of target that no account offers: files are those of the operator, and Secrets have rules of their own."""
FIELD = "MODEL_ACCESS_KEY"
"""The key of a Secret, unless the resource names another one."""
OF_MANIFEST = "x-manifest"
"""In a JSON Schema: the model of the manifest that the object is."""
ROTATE = f"{GROUP}/rotate"
"""Annotation of a ModelAccessKey: a reason for which the key rotates, once for each new text."""
RELEASE = f"{GROUP}/release"
"""Annotation of an account: what a brake held back is allowed once, such as `rotations=40`."""
LONGEST_ANNOTATION = 1024
"""Characters of an annotation that are read."""
FINALIZER = f"{GROUP}/keys"
"""Of a ModelAccessKey with `deletionPolicy: Delete` that has API keys: it goes after they are gone."""
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LONGEST_ACCOUNT = 63
"""Characters of the name of an account: its records have room for so many."""


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, hide_input_in_errors=True)


class _FromManifest:
    """Says that a field is a part of a manifest: the definition of the resource gets the fields of that model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(self._model.__pydantic_core_schema__), OF_MANIFEST: self._model.__name__}


class RotationEntry(manifest.RotationEntry):
    """How and when the key rotates."""

    trigger: Annotated[str, StringConstraints(max_length=256)] = Field(
        "", description="Any text. When it changes, the key rotates once."
    )


class AdoptDefault(_Part):
    """Consent to take over existing API keys of the right name."""

    secret: Literal["existing", "regenerate"] = Field(description="What to do with the current secret.")


Values = dict[str, Any]
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=rf"^{_LABEL}$")]
"""The name of a namespace. It becomes a part of a path, as the two below do: nothing in it may end or climb a path."""
ObjectName = Annotated[Name, StringConstraints(pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
"""The name of a Secret or of an account."""
DataKey = Annotated[Name, StringConstraints(pattern="^[-._a-zA-Z0-9]+$")]
"""A key of a Secret."""
Prefix = Annotated[str, StringConstraints(max_length=100)]
Adopt = Annotated[Values, _FromManifest(manifest.AdoptEntry)]
KeyRotation = Annotated[Values, _FromManifest(RotationEntry)]
Rotation = Annotated[Values, _FromManifest(manifest.RotationEntry)]
Smoke = Annotated[Values, _FromManifest(manifest.SmokeEntry)]


class AccountRef(_Part):
    """The account that the key belongs to."""

    kind: Literal["KeyturnAccount", "ClusterKeyturnAccount"] = Field(
        "KeyturnAccount", description="`KeyturnAccount` is looked for in the namespace of the key."
    )
    name: Annotated[ObjectName, StringConstraints(max_length=LONGEST_ACCOUNT)] = Field(
        description="Name of the account."
    )


class SecretPlace(_Part):
    """A key of a Secret in the namespace of the ModelAccessKey."""

    name: ObjectName = Field(description="Name of the Secret. It is made if there is none.")
    key: DataKey = Field(FIELD, description="Key of the Secret.")


class TargetPlace(_Part):
    """A path and field of a target that the account offers."""

    name: Name = Field(description="Name of the target.")
    path: Annotated[str, StringConstraints(min_length=1, max_length=512)] = Field(
        description="Path in the target. It begins with the target's `pathPrefix`."
    )
    field: Annotated[str, StringConstraints(max_length=manifest.NAME_LENGTH)] = Field(
        "", description="Field at that path. Default: the whole value."
    )


class Place(_Part):
    """A place to which the secret is written: exactly one of `secret` and `target`."""

    secret: SecretPlace | None = None
    target: TargetPlace | None = None


class KeySpec(_Part):
    """A model access key: API keys of an account, and the places that hold the live secret."""

    account_ref: AccountRef = Field(description="The account. It never changes.")
    name: Annotated[str, StringConstraints(max_length=manifest.NAME_LENGTH)] = Field(
        "",
        description="Name in DigitalOcean; `alternating` adds -a and -b. It begins with the account's `namePrefix`. "
        "Default: the prefix and the name of this resource, or NAMESPACE-NAME if the account has no prefix.",
    )
    adopt: Adopt | None = None
    rotation: KeyRotation | None = None
    smoke: Smoke | None = None
    deliver: Annotated[list[Place], Field(min_length=1, max_length=20)] | None = Field(
        None,
        description=f"Where the secret is written. Default: a Secret with the name of this resource, key {FIELD}.",
    )
    suspend: bool = Field(default=False, description="Leave the key alone for now.")
    deletion_policy: Literal["Retain", "Delete"] = Field(
        "Retain",
        description="When this resource is deleted: `Retain` leaves API keys and deliveries alone, `Delete` deletes "
        "the API keys and empties the deliveries.",
    )


class LocalTokenRef(_Part):
    """A key of a Secret in the namespace of the account."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: DataKey = Field("token", description="Key of the Secret.")


class TokenRef(LocalTokenRef):
    """A key of a Secret."""

    namespace: Label = Field(description="Namespace of the Secret.")


class KeyDefaults(_Part):
    """Values for every key that does not have its own. They are merged field by field; lists replace."""

    adopt: AdoptDefault | None = None
    rotation: Rotation | None = None
    smoke: Smoke | None = None


class Limits(_Part):
    """Limits of one round."""

    rotations_per_round: int = Field(
        20, ge=0, le=100_000, description="Scheduled rotations, adoptions and heals of one round."
    )


class Pool(_Part):
    """Spare API keys that were made in the control panel. A missing key takes one of them."""

    prefix: Annotated[str, StringConstraints(min_length=3, max_length=manifest.NAME_LENGTH)] = Field(
        description="Prefix of the names of the spares."
    )
    low: int = Field(0, ge=0, le=1000, description="The condition PoolLow says if fewer spares than this are left.")


class AccountSpec(_Part):
    """A DigitalOcean account for the keys of one namespace."""

    token_secret_ref: LocalTokenRef = Field(description="Where the account token is.")
    name_prefix: Prefix = Field(
        "", description="API keys of other names are never named, adopted or taken. `{namespace}` is the key's."
    )
    defaults: KeyDefaults = KeyDefaults()
    limits: Limits = Limits()
    pool: Pool | None = None


class Requirement(_Part):
    """A requirement of a label selector."""

    key: Name
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[str], Field(max_length=100)] = []

    def met(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet it."""
        found = labels.get(self.key)
        match self.operator:
            case "In":
                return found in self.values
            case "NotIn":
                return found not in self.values
            case "Exists":
                return found is not None
            case "DoesNotExist":
                return found is None


class Selector(_Part):
    """A label selector, as everywhere in Kubernetes: an empty one selects everything."""

    match_labels: dict[str, str] = {}
    match_expressions: Annotated[list[Requirement], Field(max_length=20)] = []

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet every requirement."""
        exact = all(labels.get(name) == value for name, value in self.match_labels.items())
        return exact and all(requirement.met(labels) for requirement in self.match_expressions)


class OfferedTarget(_Part):
    """A store of secrets that keys of this account may deliver to."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$", max_length=32)] = Field(
        description="The name that deliveries use."
    )
    type: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description=f"A kind that `keyturn targets` lists, except {' and '.join(NEVER_OFFERED)}."
    )
    settings: Values = Field({}, description="Its settings, as in a manifest.")
    path_prefix: Annotated[str, StringConstraints(max_length=256)] = Field(
        description="Every path begins with it. It ends with /. `{namespace}` is the namespace of the key."
    )


class ClusterAccountSpec(AccountSpec):
    """A DigitalOcean account for the keys of several namespaces."""

    token_secret_ref: TokenRef = Field(description="Where the account token is.")
    name_prefix: Annotated[Prefix, StringConstraints(min_length=1)] = Field(
        description="API keys of other names are never named, adopted or taken. `{namespace}` is the key's."
    )
    allowed_namespaces: Selector = Field(
        description="Labels of the namespaces whose keys may use the account. An empty selector allows all."
    )
    targets: Annotated[list[OfferedTarget], Field(max_length=20)] = Field(
        [], description="Stores of secrets that keys may deliver to, besides the Secrets of their own namespace."
    )


class ApiKeyState(_Part):
    """An API key of the account that belongs to this key."""

    slot: str
    name: str
    uuid: str


class DeliveryState(_Part):
    """A delivery, and whether it holds the live secret."""

    place: str
    state: Literal["Held", "OutOfDate"]


class Handoff(_Part):
    """API keys that an operator has to make in the control panel."""

    names: list[str]
    url: str


class Condition(_Part):
    """A condition, as everywhere in Kubernetes."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


class KeyState(_Part):
    """What the operator found at its last look."""

    observed_generation: int = -1
    live: str = Field("", description="The slot whose secret is delivered.")
    key_generation: int = Field(0, description="Counts the secrets that were delivered.")
    api_keys: list[ApiKeyState] = Field([], description="The API keys that this resource has.")
    next_rotation_time: str = Field("", description="When the next scheduled rotation starts at the earliest.")
    retire_time: str = Field("", description="When the old secret stops working.")
    deliveries: list[DeliveryState] = []
    handoff: Handoff | None = None
    conditions: list[Condition] = []


class PoolState(_Part):
    """The spares of the pool."""

    free: int


class AccountState(_Part):
    """What the operator found at its last look."""

    observed_generation: int = -1
    keys: int = Field(0, description="How many resources use the account.")
    pool: PoolState | None = None
    conditions: list[Condition] = []


class Metadata(_Part):
    """What is read of the metadata of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    annotations: dict[str, str] = {}

    @field_validator("annotations")
    @classmethod
    def _ours(cls, found: dict[str, str]) -> dict[str, str]:
        """Keep what is read, and of that the beginning: the rest can be large."""
        return {name: found[name][:LONGEST_ANNOTATION] for name in (ROTATE, RELEASE) if name in found}


class KeyResource(_Part):
    """A ModelAccessKey."""

    metadata: Metadata
    spec: KeySpec
    status: KeyState = KeyState()


class AccountResource(_Part):
    """A KeyturnAccount."""

    kind: Literal["KeyturnAccount"]
    metadata: Metadata
    spec: AccountSpec
    status: AccountState = AccountState()


class ClusterAccountResource(_Part):
    """A ClusterKeyturnAccount."""

    kind: Literal["ClusterKeyturnAccount"]
    metadata: Metadata
    spec: ClusterAccountSpec
    status: AccountState = AccountState()


Account = AccountResource | ClusterAccountResource
Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], found: Mapping[str, object]) -> Model:
    """Return an object of the API as its model. Raises InputError with every wrong field; no value is repeated."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        details = error.errors(include_url=False)
    wrong = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
    raise InputError(plain(wrong, 600))
