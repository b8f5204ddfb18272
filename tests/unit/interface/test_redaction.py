"""What identifies people is found by form and check digits, and nothing else is."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_interface.domain.redaction import Redaction, redacted, without
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan, content_hash, fingerprint
from memos_kernel.names import CubeName, VaultName

ALL = frozenset(Redaction)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to nora.b+x@mail.example.co.uk, please.", "Write to [email], please."),
        ("<Ben@example.org>", "<[email]>"),
        ("müller@bücher.example", "[email]"),
        ("Call +44 20 7946 0958 or +1 (202) 555-0143!", "Call [phone] or [phone]!"),
        ("Card 4111 1111 1111 1111, or 5500-0000-0000-0004.", "Card [card], or [card]."),
        ("IBAN DE89 3704 0044 0532 0130 00 and GB82WEST12345698765432", "IBAN [iban] and [iban]"),
        ("From 192.168.0.17 and 2001:db8::ff00:42:8329.", "From [ip] and [ip]."),
        ("10.0.0.1:8080, ip:10.0.0.1, ::ffff:192.0.2.1", "[ip]:8080, ip:[ip], [ip]"),
        ("4111 1111 1111 1111 12/27", "[card] 12/27"),
        ("4111.1111.1111.1111 123 and 4111\u00a01111\u00a01111\u00a01111-", "[card] 123 and [card]-"),
        ("BE68 5390 0754 7034 BIC KREDBEBB", "[iban] BIC KREDBEBB"),
        ("de89-3704-0044-0532-0130-00", "[iban]"),
        ("o'brien@example.org or a@xn--mnchen-3ya.xn--p1ai", "[email] or [email]"),
        ("nora@example.org: +442079460958, 10.0.0.1", "[email]: [phone], [ip]"),
    ],
)
def test_what_identifies_people_is_replaced_by_its_kind(text, expected):
    assert without(text, ALL) == expected


@pytest.mark.parametrize(
    "text",
    [
        "She paid 4111 1111 1111 1112 yen.",  # no check digit that fits
        "DE89 3704 0044 0532 0130 01",
        "Version 1.2.3.4.5 of 999.1.1.1",
        "At 12:30 we met; the ratio was 3:2.",
        "look @ this, a@b",
        "f :: Int -> Int",
        "The order 1234567890123 came.",
        "In 2024 we sold 20,000 of 35 kinds.",
        "",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert without(text, ALL) == text


def test_a_language_with_a_region_makes_its_national_numbers_known():
    assert without("Ring 020 7946 0958.", ALL) == "Ring 020 7946 0958."
    assert without("Ring 020 7946 0958.", ALL, language="en-GB") == "Ring [phone]."
    assert without("Ring 020 7946 0958.", ALL, language="en") == "Ring 020 7946 0958."


def test_only_what_is_asked_for_is_replaced():
    text = "nora@example.org from 10.0.0.1"
    assert without(text, frozenset({Redaction.IP})) == "nora@example.org from [ip]"
    assert without(text, frozenset()) == text


def test_an_id_that_was_made_of_the_text_does_not_tell_it():
    payload = Plaintext("I am nora@example.org")
    made = f"m-{hashlib.sha256(payload.text.encode()).hexdigest()[:16]}"
    source = SourceSpan(message_id=made)
    name, vault = CubeName("t", "c"), VaultName("t", "v")
    cube = MemCube(name=name, vault=vault, kind=Kind.PLAINTEXT, payload=payload, sources=(source,))
    clean = redacted(cube, ALL).sources[0].message_id
    assert clean == f"m-{hashlib.sha256(b'I am [email]').hexdigest()[:16]}"


def test_a_cube_is_redacted_in_text_labels_and_sources():
    source = SourceSpan(message_id="m", speaker="nora@example.org", session="10.0.0.1")
    payload = Plaintext("I am nora@example.org", "en")
    made = MemCube(
        name=CubeName("t", "c"),
        vault=VaultName("t", "v"),
        kind=Kind.PLAINTEXT,
        payload=payload,
        sources=(source,),
        labels={"by": "nora@example.org", "sort": "note"},
        content_hash=content_hash(payload, (source,)),
        fingerprint=fingerprint(payload.text),
    )
    clean = redacted(made, ALL)
    assert clean.text == "I am [email]"
    assert clean.labels == {"by": "[email]", "sort": "note"}
    assert (clean.sources[0].speaker, clean.sources[0].session) == ("[email]", "[ip]")
    assert clean.content_hash == content_hash(clean.payload, clean.sources)
    assert clean.fingerprint == fingerprint("I am [email]")
    assert redacted(made, frozenset()) is made


@given(st.text(alphabet=st.sampled_from("ab1234567890 .:@-+DEGB"), max_size=60))
def test_any_text_is_redacted_once_and_for_all(text):
    once = without(text, ALL)
    assert without(once, ALL - {Redaction.PHONE}) == without(once, ALL - {Redaction.PHONE})
    for kind in (Redaction.EMAIL, Redaction.CARD, Redaction.IBAN, Redaction.IP):
        assert without(without(text, frozenset({kind})), frozenset({kind})) == without(text, frozenset({kind}))
