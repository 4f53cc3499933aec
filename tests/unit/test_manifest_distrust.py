"""A manifest may come from a pull request: it brings no secret, reads no secret and sends none anywhere."""

from __future__ import annotations

import pytest

from keyturn.core.origins import origin_of
from tests.support.manifests import ENVIRONMENT, KEYS, TOP, mistake, mistakes, read

TAIL = "Zq8Wv3Lm1Xc7Rt5Yb2Nk"
SECRETS = [
    f"sk-do-{TAIL}",
    f"dop_v1_{TAIL}",
    f"doo_v1_{TAIL}",
    f"hvs.{TAIL}",
    f"hvb.{TAIL}",
    f"s.{TAIL}abcd",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"eyJ{TAIL}",
    f"https://hooks.slack.com/services/{TAIL}",
    f"https://discord.com/api/webhooks/1/{TAIL}",
    f"Bearer sk-do-{TAIL}",
    f"${{KEYTURN_X:-sk-do-{TAIL}}}",
]
VAULT = '  vault: {type: vault, address: "https://vault.example.com:8200"}\n'


def with_vault(setting: str) -> str:
    """Return a manifest whose vault has one more setting."""
    return TOP.replace(VAULT, VAULT.replace("}", f", {setting}}}")) + KEYS


def with_address(address: str) -> str:
    """Return a manifest whose vault is elsewhere."""
    return (TOP + KEYS).replace("https://vault.example.com:8200", address)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["name: '{}'", "adopt: {{secret: '{}'}}", "smoke: {{model: '{}'}}", "'{}': x"])
def test_a_literal_secret_is_refused_and_not_repeated(secret: str, place: str) -> None:
    """Whatever field it is in, and where it is the name of one: one mistake at its place."""
    found = mistakes(f"{TOP}{KEYS}    {place.format(secret)}\n")
    shown = "\n".join(map(str, found))
    assert ["a literal secret" in each.text and each.line == 12 for each in found] == [True]
    assert TAIL[:6] not in shown
    assert "IOSFODNN" not in shown


@pytest.mark.parametrize("field", ["token", "password", "secret_id", "secretId", "api_key", "PASSWORD"])
def test_a_field_that_is_named_like_a_secret_holds_none(field: str) -> None:
    """Whatever its value looks like, and even where the field is not known."""
    for setting in (f"{field}: hunter2", f"auth: {{{field}: hunter2}}", f"{field}: [hunter2]"):
        only = mistake(with_vault(setting))
        assert "a literal secret" in only.text
        assert "hunter2" not in str(only)


def test_a_key_may_be_named_token() -> None:
    """Ids and target names are no fields."""
    assert (
        read(
            (TOP + KEYS)
            .replace("bot:", "token:")
            .replace("vault: ", "password: ")
            .replace("target: password: ", "target: ")
            .replace("target: vault", "target: password")
        )
        .keys[0]
        .id
        == "token"
    )


@pytest.mark.parametrize("text", ["ask-do-it", "s.short", "AKIA", "asia-prod", "desk-dop_v2", "path/to/hvsx"])
def test_ordinary_words_are_no_secrets(text: str) -> None:
    """The marks are those of real formats."""
    assert read(f"{TOP}{KEYS}    name: {text}\n").keys[0].name == text


def test_broken_yaml_does_not_repeat_a_secret() -> None:
    """PyYAML quotes what it stumbled over."""
    for text in (
        f"a: *{SECRETS[0]}\n",
        f"a: !{SECRETS[0]}!x y\n",
        f"a: '{SECRETS[0]}\n",
        f"%TAG {SECRETS[0]} x\n---\na: b",
    ):
        assert TAIL[:6] not in "\n".join(map(str, mistakes(text)))


def test_a_secret_that_was_pasted_as_a_name_is_not_repeated() -> None:
    """Neither as what was meant, nor as what has a delivery already."""
    keys = "".join(f"  {key}: {{deliver: [{{target: {{}}, path: p, field: K}}]}}\n" for key in (SECRETS[0], "bot"))
    for text in (keys.replace("{}", "vault"), KEYS.replace("target: vault", "target: nowhere")):
        found = mistakes(f"{TOP}keys:\n{text.removeprefix('keys:')}".replace("  files:", f"  {SECRETS[3]}:"))
        assert any("[secret]" in each.text for each in found)
        assert TAIL[:6] not in "\n".join(map(str, found))


def test_variables_are_expanded_where_an_address_goes() -> None:
    """With a default where the variable is missing or empty."""
    text = with_address("https://${KEYTURN_HOST}:${KEYTURN_PORT:-8200}").replace(
        "type: vault,", "type: vault, mount: 'a-${KEYTURN_MOUNT:-kv}', auth: {role: '${KEYTURN_ROLE:-}x'},"
    )
    settings = read(text, {**ENVIRONMENT, "KEYTURN_HOST": "vault.example.com", "KEYTURN_MOUNT": ""}).targets[0].settings
    assert settings == {"address": "https://vault.example.com:8200", "mount": "a-kv", "auth": {"role": "x"}}


def test_what_a_variable_stands_for_is_not_shown() -> None:
    """Neither by the settings nor in a mistake, even where a target repeats the value."""
    environment = {**ENVIRONMENT, "KEYTURN_REGION": "good-hidden"}
    target = read(with_vault("region: '${KEYTURN_REGION}'"), environment).targets[0]
    assert target.settings["region"] == "good-hidden"
    assert "hidden" not in repr(target)
    assert "${KEYTURN_REGION}" in repr(target)
    only = mistake(with_vault("region: '${KEYTURN_REGION}'"), {**ENVIRONMENT, "KEYTURN_REGION": "bad-hidden"})
    assert only.text == "${KEYTURN_REGION} is no region"
    address = mistake(with_address("${KEYTURN_A}"), {"KEYTURN_A": "https://hidden.example.com"})
    assert "hidden" not in str(address)
    assert address.text == (
        "no credential may be sent to the origin of ${KEYTURN_A} (VAULT_ADDR is not set). "
        'If it is right, type: export VAULT_ADDR="${KEYTURN_A}"'
    )


def test_a_default_is_shown() -> None:
    """It stands in the manifest: the command that allows it can be typed as it is."""
    only = mistake(with_address("${KEYTURN_A:-https://other.example.com}"), {})
    assert only.text.endswith("export VAULT_ADDR=https://other.example.com:443")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("mount: '${HOME}'", "only variables named KEYTURN_"),
        ("mount: '${VAULT_TOKEN}'", "only variables named KEYTURN_"),
        ("mount: '${keyturn_x}'", "only variables named KEYTURN_"),
        ("mount: '${KEYTURN_X'", "only variables named KEYTURN_"),
        ("mount: '${KEYTURN_X:-${VAULT_TOKEN}}'", "only variables named KEYTURN_"),
        ("mount: '${KEYTURN_X:=y}'", "only variables named KEYTURN_"),
        ("mount: '${KEYTURN_RECORD_KEY}'", "KEYTURN_RECORD_KEY is a variable of keyturn itself"),
        ("mount: '${KEYTURN_NOTIFY_OPS_SECRET:-x}'", "KEYTURN_NOTIFY_OPS_SECRET is a variable of keyturn itself"),
        ("mount: '${KEYTURN_NONE}'", "KEYTURN_NONE: not set or empty, and without a default"),
        ("mount: '${KEYTURN_SECRET}'", "contains a secret"),
        ("mount: '${KEYTURN_ODD}'", "invisible character"),
        ("auth: {method: '${KEYTURN_X}'}", "variables are read only in address, host, url, region, role and mount"),
        ("'${KEYTURN_X}': y", "variables are read only in"),
    ],
)
def test_other_variables_are_refused(setting: str, text: str) -> None:
    """One mistake, that says which are read."""
    environment = {**ENVIRONMENT, "KEYTURN_X": "x", "KEYTURN_SECRET": SECRETS[0], "KEYTURN_ODD": "a\u202eb"}
    found = [each for each in mistakes(with_vault(setting), environment) if "is not a field" not in each.text]
    assert [text in each.text for each in found] == [True]


def test_variables_outside_of_targets_are_refused() -> None:
    """A name that a variable makes would not be the same for everybody."""
    environment = {**ENVIRONMENT, "KEYTURN_X": "x"}
    for line in ("name: '${KEYTURN_X}'", "smoke: {model: '${KEYTURN_X}'}", "adopt: {secret: '${KEYTURN_X}'}"):
        assert "variables are read only in" in mistake(f"{TOP}{KEYS}    {line}\n", environment).text


def test_a_credential_goes_only_to_its_own_origin() -> None:
    """That of the vendor's variable, or an allowed one."""
    other = "https://other.example.com"
    assert mistake(with_address(other)).text == (
        "no credential may be sent to https://other.example.com:443 (VAULT_ADDR is https://vault.example.com:8200). "
        "If VAULT_ADDR is right, correct the address. "
        "If the address is right, type: export KEYTURN_ALLOWED_ORIGINS='vault=https://other.example.com:443'"
    )
    assert mistake(with_address("${KEYTURN_A:-" + other + "}")).text.partition(". ")[2] == (
        'If VAULT_ADDR is right, type: export KEYTURN_A="$VAULT_ADDR". '
        "If the address is right, type: export KEYTURN_ALLOWED_ORIGINS='vault=https://other.example.com:443'"
    )
    assert mistake(with_address(other)).line == 4
    assert read(with_address(other), {"KEYTURN_ALLOWED_ORIGINS": f"https://x, vault={other}:443"}).targets
    assert read(with_address(f"{other}/"), {"VAULT_ADDR": "https://OTHER.example.com:443/"}).targets
    assert mistakes(with_address("https://vault.example.com:8200"), {})


def test_a_second_set_of_credentials_has_its_own_origin() -> None:
    """`env_prefix` names it; the first set's address does not do."""
    text = with_vault("auth: {env_prefix: EU_}")
    assert "EU_VAULT_ADDR" in mistake(text).text
    assert read(text, {"EU_VAULT_ADDR": "https://vault.example.com:8200"}).targets


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.com:8200",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://localhost@evil.com",
        "http://127.0.0.1:80@evil.com/",
        "https://user:pw@vault.example.com:8200",
        "https://vault.example.com.:8200",
        "http://localhost.",
        "http://localhost\\\\@evil.com",
        "http://[::ffff:127.0.0.1]:8200",
        "http://[fe80::1%25lo]",
        "http://0x7f.0.0.1",
        "http://2130706433",
        "http://0.0.0.0",
        "https://vault.example.com:8200/v1",
        "https://vault.example.com:8200?x",
        "https://vault.example.com:99999",
        "https://vault.example.com:0",
        "https://vault .example.com",
        "https://",
        "vault.example.com:8200",
        "file:///etc/passwd",
        "https://[::1",
        "https://a..b",
    ],
)
def test_an_address_that_is_not_plainly_one_is_refused(address: str) -> None:
    """Even where it is allowed by name."""
    environment = {
        "VAULT_ADDR": address,
        "KEYTURN_ALLOWED_ORIGINS": "vault=https://vault.example.com:8200,vault=https://evil.com",
    }
    found = mistakes(with_address(address), environment)
    assert {each.path for each in found} == {"targets.vault.address"}


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8200", "http://localhost:1", "http://[::1]:8200", "http://127.9.9.9"]
)
def test_plain_http_goes_to_this_machine(address: str) -> None:
    """Where the variable or the list says so too."""
    assert read(with_address(address), {"VAULT_ADDR": address}).targets


def test_a_list_of_origins_that_cannot_be_read_is_told() -> None:
    """Rather than taken for an empty one."""
    only = mistake(TOP + KEYS, {**ENVIRONMENT, "KEYTURN_ALLOWED_ORIGINS": "evil.com"})
    assert "KEYTURN_ALLOWED_ORIGINS" in only.text


def test_origins_are_compared_in_one_form() -> None:
    """Case, default ports, IDN and the notation of IPv6."""
    assert origin_of("HTTPS://Vault.Example.com/x?y#z") == "https://vault.example.com:443"
    assert origin_of("http://localhost") == "http://localhost:80"
    assert origin_of("https://bücher.example:8443") == "https://xn--bcher-kva.example:8443"
    assert origin_of("https://[2001:DB8:0:0::1]") == "https://[2001:db8::1]:443"
