"""Login to a Kubernetes API server: from the pod, or from the operator's kubeconfig. A manifest names neither.

The manifest names the address of the server. The credential is the pod's, or that of a context whose cluster has this
address: the current context, or one that KEYTURN_ALLOWED_CONTEXTS lists. So no manifest sends a secret to another one
of the operator's clusters. The files are described in the documentation of Kubernetes ("kubeconfig (v1)", "Accessing
the API from a Pod", "client-go credential plugins").
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from keyturn.core.errors import CredentialError, InputError
from keyturn.core.origins import origin_of, to_list
from keyturn.core.secret import sendable
from keyturn.targets.bounded_http import trust
from keyturn.targets.files import read_small
from keyturn.targets.origins import NoConsent, bare_origin, listed_in
from keyturn.targets.plugin import PluginError, output_of

ALLOWED_CONTEXTS = "KEYTURN_ALLOWED_CONTEXTS"
KUBECONFIG = "KUBECONFIG"
IN_CLUSTER = "https://kubernetes.default.svc"
"""The address of the API server for pods."""

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
OURS = "KEYTURN_"
"""Variables that no credential plugin gets."""
KEPT = 60.0
"""Seconds for which a token of a file is used before the file is read again: the kubelet renews it."""

_REFUSED = ("insecure-skip-tls-verify", "proxy-url", "tls-server-name")
_REFUSED_LOGINS = ("username", "auth-provider", "as", "as-groups", "as-uid", "as-user-extra")


@dataclass(frozen=True, slots=True)
class Context:
    """A context of a kubeconfig, resolved. `origin` is empty if its server is not a plain address."""

    name: str
    cluster: Mapping[str, object]
    user: Mapping[str, object] = field(repr=False)
    folder: Path

    @property
    def origin(self) -> str:
        """The origin of its server."""
        try:
            return str(bare_origin(str(self.cluster.get("server", ""))))
        except InputError:
            return ""


class Login:
    """The credential for one server. Thread-safe."""

    def __init__(self, context: Context | None, environment: Mapping[str, str], seconds: float) -> None:
        """Keep the context; None is the pod's own login. Nothing is read yet. `seconds` bound a credential plugin."""
        self._context = context
        self._environment = environment
        self._seconds = seconds
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    @property
    def source(self) -> str:
        """Where the credential comes from, for messages."""
        return f"the context {self._context.name!r} of {KUBECONFIG}" if self._context else f"the pod, {SERVICE_ACCOUNT}"

    def token(self, refused: str = "") -> str:
        """Return the bearer token, empty for a login by certificate. A `refused` one is looked up again.

        Raises CredentialError if there is no credential.
        """
        with self._lock:
            if time.monotonic() >= self._until or self._token == refused:
                self._token, self._until = self._read()
            return self._token

    def trust(self) -> ssl.SSLContext:
        """Return what trusts the server's certificate authority and shows the client's certificate, if it has one.

        Raises InputError if a file cannot be used.
        """
        where = self.source
        try:
            pem = self._authority()
            context = ssl.create_default_context(cadata=pem) if pem else trust("", where)
            if self._context and (pair := self._pair(self._context)):
                _load(context, *pair)
        except (OSError, ValueError, ssl.SSLError) as error:
            why = type(error).__name__
        else:
            return context
        raise InputError("a certificate or key cannot be used", where=where, evidence=why)

    def _authority(self) -> str:
        if self._context is None:
            return read_small(SERVICE_ACCOUNT / "ca.crt")
        return _inline_or_file(self._context, self._context.cluster, "certificate-authority")

    @staticmethod
    def _pair(context: Context) -> tuple[str, str] | None:
        pair = [_inline_or_file(context, context.user, name) for name in ("client-certificate", "client-key")]
        return (pair[0], pair[1]) if all(pair) else None

    def _read(self) -> tuple[str, float]:
        """Return the token and until when it is used, on the monotonic clock."""
        if self._context is None:
            return self._of_file(SERVICE_ACCOUNT / "token"), time.monotonic() + KEPT
        user = self._context.user
        if isinstance(user.get("token"), str) and user["token"]:
            return _plain(str(user["token"]), self.source), float("inf")
        if isinstance(user.get("tokenFile"), str):
            return self._of_file(self._context.folder / str(user["tokenFile"])), time.monotonic() + KEPT
        plugin = user.get("exec")
        if isinstance(plugin, dict):
            return self._of_plugin(self._context, plugin)
        if self._pair(self._context):
            return "", float("inf")
        raise CredentialError("it has no token and no certificate", where=self.source)

    def _of_file(self, file: Path) -> str:
        try:
            return _plain(read_small(file).strip(), self.source)
        except (OSError, ValueError) as error:
            why = type(error).__name__
        raise CredentialError("the file of its token cannot be read", where=self.source, evidence=f"{file}, {why}")

    def _of_plugin(self, context: Context, plugin: Mapping[str, object]) -> tuple[str, float]:
        """Run the credential plugin of the kubeconfig, without a terminal."""
        status = self._run(context, plugin)
        token, expires = status.get("token"), status.get("expirationTimestamp")
        if not isinstance(token, str) or not token:
            raise CredentialError("its credential plugin gave no token", where=self.source)
        return _plain(token, self.source), time.monotonic() + (KEPT if expires else 10 * KEPT)

    def _run(self, context: Context, plugin: Mapping[str, object]) -> Mapping[str, object]:
        named = str(plugin.get("command", ""))
        command = str(context.folder / named) if os.sep in named else shutil.which(named, path=self._path())
        words = [str(word) for word in _list(plugin.get("args"))]
        added = {
            str(one.get("name")): str(one.get("value")) for one in _list(plugin.get("env")) if isinstance(one, dict)
        }
        version = str(plugin.get("apiVersion", ""))
        asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        try:
            written = output_of(
                [command or named, *words],
                {
                    **{name: self._environment[name] for name in self._environment if not name.startswith(OURS)},
                    **added,
                    "KUBERNETES_EXEC_INFO": json.dumps(asked),
                },
                self._seconds,
            )
        except PluginError as error:
            why = str(error)
        else:
            with suppress(ValueError, RecursionError):
                found = json.loads(written)
                if isinstance(found, dict) and isinstance(found.get("status"), dict):
                    status: Mapping[str, object] = found["status"]
                    return status
            why = "no ExecCredential on its output"
        raise CredentialError(f"its credential plugin {named} failed", where=self.source, evidence=why)

    def _path(self) -> str:
        return self._environment.get("PATH", os.defpath)


def present_address(environment: Mapping[str, str]) -> str:
    """Return the address of the pod's API server, or elsewhere that of the current context of KUBECONFIG.

    Raises InputError if there is neither.
    """
    if environment.get(HOST):
        return IN_CLUSTER
    found = next((one.origin for one in _contexts(environment).allowed[:1]), "")
    if found:
        return found
    raise InputError("there is no API server to log in to", evidence=f"{KUBECONFIG} has no usable current context")


def login_mistakes(setting: str, address: str, environment: Mapping[str, str]) -> Iterator[InputError]:
    """Yield each reason why there is no credential for `address`. Files are read, and no network is used.

    `setting` is the `where` of each mistake. An address that is no bare https origin is wrong in every environment; any
    other mistake is `NoConsent`.
    """
    try:
        origin = str(bare_origin(address))
    except InputError as error:
        error.where = setting
        yield error
        return
    if not origin.startswith("https:"):
        yield InputError("the address of a Kubernetes API server begins with https", where=setting)
    elif origin == origin_of(IN_CLUSTER):
        if not environment.get(HOST):
            evidence, remedy = f"{HOST} is not set", f"Elsewhere, set {setting} to the `server` of a kubeconfig."
            yield NoConsent("this address is for pods only", where=setting, evidence=evidence, remedy=remedy)
    else:
        try:
            found = _contexts(environment)
        except InputError as error:
            yield NoConsent(error.what, where=setting, evidence=error.evidence, remedy=error.remedy)
            return
        if not any(context.origin == origin for context in found.allowed):
            yield _no_context(setting, origin, found, environment)


def login(address: str, environment: Mapping[str, str], seconds: float) -> Login:
    """Return the login for an address without mistakes. Raises InputError if its context cannot be used."""
    origin = str(bare_origin(address))
    if origin == origin_of(IN_CLUSTER):
        return Login(None, environment, seconds)
    context = next(one for one in _contexts(environment).allowed if one.origin == origin)
    for part, refused in ((context.cluster, _REFUSED), (context.user, _REFUSED_LOGINS)):
        if named := next((name for name in refused if part.get(name)), ""):
            where = f"the context {context.name!r} of {KUBECONFIG}"
            raise InputError(f"keyturn does not support {named}", where=where, remedy="Use a context without it.")
    return Login(context, environment, seconds)


def server_of(address: str, environment: Mapping[str, str]) -> str:
    """Return the origin to connect to: in a pod the one that the kubelet names, which needs no name service."""
    origin = str(bare_origin(address))
    if origin != origin_of(IN_CLUSTER):
        return origin
    host = environment.get(HOST, "")
    return origin_of(f"https://{f'[{host}]' if ':' in host else host}:{environment.get(PORT) or '443'}")


@dataclass(frozen=True, slots=True)
class _Contexts:
    """All contexts of the kubeconfig, and those that a manifest may use."""

    every: tuple[Context, ...]
    allowed: tuple[Context, ...]


def _contexts(environment: Mapping[str, str]) -> _Contexts:
    """Read the kubeconfig. Of two entries with one name the first counts, as for kubectl. Raises InputError."""
    named = [Path(part) for part in environment.get(KUBECONFIG, "").split(os.pathsep) if part]
    if not named:
        raise InputError(
            "there is no kubeconfig",
            evidence=f"{KUBECONFIG} is not set",
            remedy=f"Set it to the file of your login, for example: export {KUBECONFIG}=$HOME/.kube/config",
        )
    current, clusters, users = "", dict[str, tuple[object, Path]](), dict[str, tuple[object, Path]]()
    contexts: dict[str, Mapping[str, object]] = {}
    for file in named:
        whole = _parsed(file)
        current = current or str(whole.get("current-context") or "")
        for kind, kept in (("clusters", clusters), ("users", users)):
            for entry in _entries(whole, kind):
                kept.setdefault(str(entry.get("name")), (entry.get(kind[:-1]), file.absolute().parent))
        for entry in _entries(whole, "contexts"):
            inner = entry.get("context")
            contexts.setdefault(str(entry.get("name")), inner if isinstance(inner, dict) else {})
    found = []
    for name, inner in contexts.items():
        cluster, folder = clusters.get(str(inner.get("cluster")), ({}, Path()))
        user, home = users.get(str(inner.get("user")), ({}, folder))
        if isinstance(cluster, dict) and isinstance(user, dict) and home == folder:
            found.append(Context(name, cluster, user, folder))
    permitted = [current, *listed_in(ALLOWED_CONTEXTS, environment, ",")]
    allowed = sorted((one for one in found if one.name in permitted), key=lambda one: permitted.index(one.name))
    return _Contexts(tuple(found), tuple(allowed))


def _no_context(setting: str, origin: str, found: _Contexts, environment: Mapping[str, str]) -> NoConsent:
    other = next((one.name for one in found.every if one.origin == origin), "")
    shown = ", ".join(f"{one.name} leads to {one.origin or 'no plain address'}" for one in found.allowed)
    return NoConsent(
        f"no credential may be sent to {origin}",
        where=setting,
        evidence=shown or "the kubeconfig has no current context",
        remedy=f"If it is right, type: {to_list(ALLOWED_CONTEXTS, other, environment, ',')}"
        if other
        else f"No context of {KUBECONFIG} leads there.",
    )


def _parsed(file: Path) -> Mapping[str, object]:
    try:
        whole = yaml.safe_load(read_small(file))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = type(error).__name__
    else:
        if isinstance(whole, dict):
            return whole
        why = "it is not a mapping"
    raise InputError("the kubeconfig cannot be read", evidence=f"{file}, {why}")


def _entries(whole: Mapping[str, object], kind: str) -> list[Mapping[str, object]]:
    return [entry for entry in _list(whole.get(kind)) if isinstance(entry, dict)]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _inline_or_file(context: Context, part: Mapping[str, object], name: str) -> str:
    """Return a PEM text that is inline in base64, or in a file; empty if there is neither."""
    if inline := part.get(f"{name}-data"):
        return base64.b64decode(str(inline), validate=True).decode("ascii")
    return read_small(context.folder / str(part[name])) if part.get(name) else ""


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a pair. OpenSSL reads files only, so both lie in one for a moment, which only this user can read."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        context.load_cert_chain(file.name)


def _plain(token: str, where: str) -> str:
    if token and sendable(token):
        return token
    raise CredentialError("its token is empty, or contains spaces or unprintable characters", where=where)
