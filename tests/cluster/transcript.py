"""`python -m tests.cluster.transcript`: the operator as a user sees it, on a real API server: each command, its output.

The API server has no nodes, so the operator runs beside it, as its service account, and a sandbox is DigitalOcean.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import STDOUT

from keyturn.sandbox import Sandbox
from tests.blocks import ROOT
from tests.cluster.control_plane import Cluster, program
from tests.cluster.resources import Resources
from tests.support.clients import client
from tests.support.network import stay_on_loopback
from tests.support.process import bare_environment, free_port, run, start, wait_until

HOME, SPACE, MAK = "keyturn-system", "payments", "checkout-bot"
INSTALL = """helm install keyturn deploy/helm/keyturn --namespace keyturn-system \\
  --set image.repository=registry.example.com/platform/keyturn --set tenants=all --set watchSecrets=true"""
READ = "kubectl -n payments get secret %s -o jsonpath='{.data.MODEL_ACCESS_KEY}' | base64 -d > %s"
CALL = """curl -s -o /dev/null -w 'HTTP %%{http_code}' $INFERENCE/v1/chat/completions \\
  -H "Authorization: Bearer $(cat %s)" \\
  --json '{"model": "llama3.3-70b-instruct", "messages": [{"role": "user", "content": "Say yes."}]}'"""
REASON = """kubectl -n payments wait mak %s --timeout=90s \\
  --for=jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'=%s"""
WHY = """kubectl -n %s get mak %s \\
  -o jsonpath='{range .status.conditions[?(@.type=="Ready")]}{.reason}: {.message}{end}'"""


@dataclass
class Terminal:
    """Prints commands and what they print, and notes what was not to be expected."""

    cluster: Cluster
    sandbox: Sandbox
    folder: Path
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print it."""
        self.said.append(text)
        print(text, flush=True)

    def scene(self, title: str) -> None:
        """Begin the next part."""
        self.say(f"\n## {title}")

    def type(self, command: str, *expected: str, code: int = 0) -> None:
        """Run a command. `expected`: what its output has to hold."""
        path = f"{client('helm').parent}{os.pathsep}{os.environ['PATH']}"
        config = str(self.folder / "admin")
        known = {"INFERENCE": self.sandbox.url, "HOME": str(self.folder), "KUBECONFIG": config, "PATH": path}
        done = run(["bash", "-uc", command], env=bare_environment(**known), cwd=self.folder, seconds=120)
        output = f"{done.stdout}{done.stderr}".rstrip()
        self.say(f"\n$ {command}\n{output}".rstrip())
        if done.returncode != code:
            self._note(f"`{command}` ends with {done.returncode}")
        for text in expected:
            if text not in output:
                self._note(f"`{command}` does not say: {text}")

    def apply(self, manifest: str, *expected: str, code: int = 0) -> None:
        """Apply a manifest that is typed in."""
        self.type(f"kubectl apply -f - <<EOF\n{manifest.strip()}\nEOF", *expected, code=code)

    def panel(self, *names: str) -> None:
        """Make API keys as someone does in the control panel."""
        for name in names:
            self.sandbox.panel_create(name)
        self.say(f"\n(Someone makes these API keys in the control panel: {', '.join(names)}.)")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; a user would look again a little later."""
        try:
            wait_until(condition, what, seconds=100, every=0.2)
        except TimeoutError as error:
            self._note(str(error))

    def judged(self, name: str, namespace: str = SPACE) -> bool:
        """Tell whether the operator has looked at a key as it is now."""
        found = self.cluster.call("GET", f"{KEYS.format(namespace)}/{name}")
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    def _note(self, what: str) -> None:
        self.wrong.append(what)
        self.say(f"NOT AS EXPECTED: {what}")


KEYS = "/apis/keyturn.dev/v1alpha1/namespaces/{}/modelaccesskeys"


def key(name: str, spec: str, namespace: str = SPACE) -> str:
    """Return a ModelAccessKey of the account of the examples."""
    return f"""
apiVersion: keyturn.dev/v1alpha1
kind: ModelAccessKey
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  accountRef: {{kind: ClusterKeyturnAccount, name: team}}
  smoke: {{model: llama3.3-70b-instruct}}
{spec}"""


@contextlib.contextmanager
def operator(shown: Terminal) -> Iterator[Path]:
    """Run the operator with the rights that the chart gives its service account; yield its log."""
    log, cluster = shown.folder / "operator.log", shown.cluster
    config = cluster.write_kubeconfig(shown.folder / "operator", cluster.login(HOME, "keyturn"))
    exports = {name: text for name, text in shown.sandbox.exports.items() if "TOKEN" not in name}
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "keyturn.cli", "operator", "--listen", listen, "--watch-secrets"]
    pod = {"KUBECONFIG": str(config), "POD_NAMESPACE": HOME, "POD_NAME": "keyturn-0", "HOME": str(shown.folder)}
    with (
        log.open("w") as sink,
        start(command, env=bare_environment(**pod, **exports), cwd=shown.folder, stdout=sink.fileno(), stderr=STDOUT),
    ):
        wait_until(lambda: "Serves" in log.read_text(), "the operator", seconds=60)
        yield log


def install(shown: Terminal) -> None:
    """Install the chart."""
    shown.scene("Install")
    shown.type("kubectl apply -f deploy/install/namespace.yaml", "namespace/keyturn-system created")
    shown.type(INSTALL, "STATUS: deployed")
    for plural in ("modelaccesskeys", "clusterkeyturnaccounts", "keyturnaccounts"):
        wait_until(partial(Resources(shown.cluster).served, plural), plural, seconds=60)


def live(shown: Terminal) -> None:
    """From a key that waits to one that rotates, and is repaired."""
    begin = "kubectl apply -f examples/kubernetes/keys"
    shown.scene("A key that waits for someone, until its Secret works")
    shown.type("kubectl -n keyturn-system create secret generic do-token --from-file=token=token.txt")
    shown.type(f"{begin}/accounts/account.yaml -f {begin[17:]}/payments/namespace.yaml")
    shown.say("\n(The example keeps an old secret for 24 hours. Here it is 20 seconds, so that its end can be seen.)")
    overlap = '{"spec": {"defaults": {"rotation": {"overlap": "20s"}}}}'
    shown.type(f"kubectl patch ckta team --type=merge --patch '{overlap}'", "patched")
    shown.type(f"{begin}/payments/{MAK}.yaml", "checkout-bot created")
    shown.until(partial(shown.judged, MAK), "the first look")
    shown.type("kubectl -n payments get mak", "False", "HandOff")
    shown.type(f"kubectl -n payments describe mak {MAK}", f"exactly these names: {SPACE}-{MAK}-a, {SPACE}-{MAK}-b")
    shown.panel(f"{SPACE}-{MAK}-a", f"{SPACE}-{MAK}-b")
    shown.type(f"kubectl -n payments wait mak {MAK} --for=condition=Ready --timeout=90s", "condition met")
    shown.type("kubectl -n payments get mak,secret", "True")
    shown.type(READ % (MAK, "first"))
    shown.type(CALL % "first", "HTTP 200")

    shown.scene("A rotation that is asked for: both secrets work, until the old one is retired")
    shown.type(REASON % (MAK, "AtRest"), "condition met")
    shown.type(f'kubectl -n payments annotate mak {MAK} keyturn.dev/rotate="INC-42"')
    shown.type(f"kubectl -n payments wait mak {MAK} --for=jsonpath='{{.status.keyGeneration}}'=2 --timeout=90s", "met")
    shown.type(READ % (MAK, "second"))
    shown.type(CALL % "second", "HTTP 200")
    shown.type(CALL % "first", "HTTP 200")
    shown.type(f"kubectl -n payments get mak {MAK} -o wide", "Overlap")
    shown.type(REASON % (MAK, "AtRest"), "condition met")
    shown.type(CALL % "first", "HTTP 401")
    shown.type(f"kubectl -n payments describe mak {MAK}", "Rotated", "Verified")

    shown.scene("A Secret that is deleted")
    shown.type(f"kubectl -n payments delete secret {MAK}", "deleted")
    path = f"/api/v1/namespaces/{SPACE}/secrets?fieldSelector=metadata.name={MAK}"
    shown.until(lambda: bool(shown.cluster.call("GET", path)["items"]), "the Secret")
    shown.type(READ % (MAK, "third"))
    shown.type(CALL % "third", "HTTP 200")

    shown.scene("A key that takes spares from the pool")
    shown.panel("spare-1", "spare-2", "spare-3")
    pool = '{"spec": {"pool": {"prefix": "spare-", "low": 2}}}'
    shown.type(f"kubectl patch ckta team --type=merge --patch '{pool}'", "patched")
    shown.apply(key("report-bot", ""), "created")
    shown.type("kubectl -n payments wait mak report-bot --for=condition=Ready --timeout=90s", "condition met")
    shown.type("kubectl -n payments get mak", "report-bot")
    low = "--for=condition=PoolLow --timeout=90s"
    shown.type(f"kubectl wait ckta team {low}", "condition met")
    shown.type("kubectl describe ckta team", "PoolLow", "1 spare is left of 'spare-'; low is 2")
    shown.type(READ % ("report-bot", "report"))
    shown.type(CALL % "report", "HTTP 200")


def tenants(shown: Terminal) -> None:
    """What a namespace may not do with the account, each with its sentence."""
    shown.scene("A name outside of the prefix: refused by the API server, and without its policies by the operator")
    outside = key("outside", "  name: shop-bot")
    shown.apply(outside, "spec.name must begin with payments-", code=1)
    shown.type("kubectl delete -k deploy/admission", "deleted")
    shown.until(lambda: not shown.cluster.call("GET", POLICIES)["items"], "the end of the policies")
    shown.until(partial(_accepted, shown), "the end of their enforcement")
    shown.apply(outside, "created")
    shown.until(partial(shown.judged, "outside"), "the look")
    shown.type(WHY % (SPACE, "outside"), "OutsidePolicy: the name 'shop-bot-a' does not begin with 'payments-'")

    shown.scene("A namespace that the account does not allow")
    shown.type("kubectl create namespace elsewhere", "created")
    shown.apply(key("bot", "", "elsewhere"), "created")
    shown.until(partial(shown.judged, "bot", "elsewhere"), "the look")
    shown.type(WHY % ("elsewhere", "bot"), "OutsidePolicy: the account does not allow the namespace elsewhere")

    shown.scene("A Secret of someone else")
    shown.type("kubectl -n payments create secret generic database --from-literal=password=theirs", "created")
    shown.apply(key("thief", "  deliver: [{secret: {name: database}}]"), "created")
    shown.until(partial(shown.judged, "thief"), "the look")
    shown.type(WHY % (SPACE, "thief"), "FieldInUse: the Secret database exists, and keyturn did not make it")
    shown.type("kubectl -n payments get secret database -o jsonpath='{.data}'", '{"password":"dGhlaXJz"}')

    shown.scene("An API key of another namespace, by its uuid")
    shown.panel("shop-bot")
    uuid = next(one.uuid for one in shown.sandbox.state.keys.values() if one.name == "shop-bot")
    spec = f"  adopt: {{secret: regenerate, a: {uuid}}}\n  rotation: {{strategy: in-place}}"
    shown.apply(key("by-uuid", spec), "created")
    shown.until(partial(shown.judged, "by-uuid"), "the look")
    shown.type(WHY % (SPACE, "by-uuid"), "OutsidePolicy: ")
    shown.type("kubectl get mak -A", "payments")


POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def _accepted(shown: Terminal) -> bool:
    manifest = shown.folder / "try.yaml"
    manifest.write_text(key("outside", "  name: shop-bot"))
    command = (str(client("kubectl")), "apply", "--dry-run=server", "-f", str(manifest))
    return run(command, env=bare_environment(KUBECONFIG=str(shown.folder / "admin"))).returncode == 0


def leaks(shown: Terminal, log: Path) -> int:
    """Search what was shown, and the log of the operator, for every secret."""
    texts = "\n".join([*shown.said, log.read_text()])
    secrets = [*(one.value for one in shown.sandbox.state.secrets.values()), shown.sandbox.token, shown.cluster.admin]
    found = [one for one in secrets if one in texts or base64.b64encode(one.encode()).decode() in texts]
    shown.say(f"\nWhat was shown, and the log of the operator, were searched for {len(secrets)} secrets and tokens:")
    shown.say(f"{len(found)} were found.")
    return len(found)


def main() -> int:
    """Return 1 where anything is not as expected."""
    stay_on_loopback()
    with (
        tempfile.TemporaryDirectory() as work,
        Cluster(program(), Path(work)) as cluster,
        tempfile.TemporaryDirectory() as folder,
        Sandbox(seed=1) as sandbox,
    ):
        shown = Terminal(cluster, sandbox, Path(folder))
        for name in ("deploy", "examples"):
            (shown.folder / name).symlink_to(ROOT / name)
        (shown.folder / "token.txt").write_text(sandbox.token)
        cluster.write_kubeconfig(shown.folder / "admin", cluster.admin)
        install(shown)
        with operator(shown) as log:
            live(shown)
            tenants(shown)
            bad = leaks(shown, log) + len(shown.wrong)
            if shown.wrong:
                print(log.read_text()[-3000:])
    return min(1, bad)


if __name__ == "__main__":
    sys.exit(main())
