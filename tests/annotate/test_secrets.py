"""Secrets and personal data: found where they are, spared where nothing is, masked without a trace."""

import base64
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codemill.annotate import build
from codemill.annotate.mask import mask
from codemill.annotate.personal import emails, ipv4, ipv6
from tests.annotate.batches import annotate

PICK = random.Random(7)


def noise(length, alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"):
    return "".join(PICK.choices(alphabet, k=length))


# Put together here, so that no file of the repository looks as if it held one.
TOKEN = "gh" + "p_" + "16C7e42F292c6912E7710c838347Ae178B4a"
PEM_BODY = "\n".join(base64.b64encode(PICK.randbytes(48)).decode() for _ in range(12))
PEM = "-----BEGIN RSA " + f"PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA " + "PRIVATE KEY-----"
PASSWORD = noise(12)
URI = f"postgres://ledger:{PASSWORD}@db.lantern.io/parcel"
PARTS = {"keys": TOKEN, "emails": "ada.lovelace@lantern.io", "ips": "93.184.216.34"}


@pytest.fixture(scope="module")
def scan():
    annotator = build("secrets")
    annotator.load()

    def run(content):
        from codemill.annotate.base import annotate_safely
        from tests.annotate.batches import batch

        data = content.encode() if isinstance(content, str) else content
        (row,) = annotate_safely(annotator, batch([("", data)])).to_pylist()
        assert row["error"] is None
        return row

    return run


def found(row, content, kind):
    data = content.encode() if isinstance(content, str) else content
    return [data[span["start"] : span["end"]].decode() for span in row["spans"] if span["kind"] == kind]


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "confidence"), [(TOKEN, "high"), (PEM, "high")])
def test_keys_are_found_at_their_bytes(scan, secret, confidence):
    content = f"# é ü 漢字\nvalue = '''{secret}'''\nprint(value)\n"
    row = scan(content)
    assert found(row, content, "key") == [secret]
    assert (row["keys"], row["max_confidence"]) == (1, confidence)
    (span,) = row["spans"]
    assert span["rule"] and span["confidence"] == confidence


def test_a_password_in_a_uri_is_a_key_and_its_user_no_email(scan):
    row = scan(f"URL = '{URI}'\n")
    assert found(row, f"URL = '{URI}'\n", "key") == [PASSWORD]
    assert row["emails"] == 0


def test_a_key_inside_base64_is_found_unless_that_is_switched_off(scan):
    wrapped = base64.b64encode(f"token: {TOKEN}\n".encode()).decode()
    content = f"data: {wrapped}\n"
    assert scan(content)["keys"] == 1
    (row,) = annotate("secrets", [("", content)], {"base64": False})
    assert row["keys"] == 0


def test_marks_that_silence_scanners_do_not(scan):
    assert scan(f"key = '{TOKEN}'  # gitleaks:allow kingfisher:ignore\n")["keys"] == 1


def test_code_between_two_markers_is_no_key(scan):
    begin, end = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"
    code = "\n".join(f"    line_{number} = reader.next({number})" for number in range(40))
    content = f"if text.startswith('{begin}'):\n{code}\n    assert line == '{end}'\n"
    assert scan(content)["keys"] == 0
    content = f"if text.startswith('{begin}'):\n{code}\nKEY = '''{PEM}'''\n"
    assert found(scan(content), content, "key") == [PEM]
    content = f"if text.startswith('{begin}'):\n    KEY = '''{PEM}'''\n"
    assert found(scan(content), content, "key") == [PEM]


def test_no_text_of_a_secret_is_in_the_table(scan):
    content = f"a = '{TOKEN}'\nb = '{URI}'\nc = '{PARTS['emails']} {PARTS['ips']}'\n{PEM}\n"
    row = scan(content)
    assert (row["keys"], row["emails"], row["ips"]) == (3, 1, 1)
    for secret in (TOKEN, PASSWORD, PARTS["emails"], PARTS["ips"], PEM_BODY[:20]):
        assert secret not in repr(row)


def test_a_blob_that_takes_too_long_is_an_error_of_its_own():
    content = f"key = '{noise(40)}'\n" * 200_000
    slow, quick = annotate("secrets", [("", content), ("", "x = 1\n")], {"timeout": 0.0005})
    assert slow["error"] == "no answer of the key scanner within 0.0005 s"
    assert slow["keys"] is None and slow["spans"] is None
    assert quick["error"] is None or quick["error"] == slow["error"]


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("# Ada <ada@lantern.io>", {"ada@lantern.io": "email"}),
        ("mailto:a.b+c@mail.lantern.co.uk?x", {"a.b+c@mail.lantern.co.uk": "email"}),
        ("write to ada@lantern.io.", {"ada@lantern.io": "email"}),
        ("ada@lantern.io: hello", {"ada@lantern.io": "email"}),
        ("AUTHOR=ADA@LANTERN.IO", {"ADA@LANTERN.IO": "email"}),
        ("x@lantern.io,y@lantern.io", {"x@lantern.io": "email", "y@lantern.io": "email"}),
        ("bob@example.com", {"bob@example.com": "email_placeholder"}),
        ("noreply@lantern.io", {"noreply@lantern.io": "email_placeholder"}),
        ("a@host.test", {"a@host.test": "email_placeholder"}),
        ("1+a@users.noreply.github.com", {"1+a@users.noreply.github.com": "email_placeholder"}),
        ("git@github.com:owner/name.git", {}),
        ("deploy@lantern.io:src/app", {}),
        ("ssh://git@lantern.io/owner", {}),
        ("https://user:word@lantern.io/x", {}),
        ("@pytest.mark.slow", {}),
        ("x @decorator.name", {}),
        ("y = a@b.dot(c)", {}),
        ("y = weights@hidden.T", {}),
        ("icon@2x.png react@17.0.2 name@2x.ai", {}),
        ("uses: actions/checkout@v4", {}),
        ("a..b@lantern.io", {}),
        ("@lantern.io", {}),
        ("ada@lantern.nosuchtld", {}),
        ("x" * 65 + "@lantern.io", {}),
    ],
)
def test_emails(text, kinds):
    spans = emails(text.encode())
    assert {text[span.start : span.end]: span.kind for span in spans} == kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("host = '93.184.216.34'", {"93.184.216.34": "ip"}),
        ("http://93.184.216.34:80/", {"93.184.216.34": "ip"}),
        ("ping 93.184.216.34.", {"93.184.216.34": "ip"}),
        ("93.184.216.34-93.184.216.40", {"93.184.216.34": "ip", "93.184.216.40": "ip"}),
        ("127.0.0.1 10.1.2.3", {"127.0.0.1": "ip_special", "10.1.2.3": "ip_special"}),
        ("192.168.0.7 169.254.1.1", {"192.168.0.7": "ip_special", "169.254.1.1": "ip_special"}),
        ("203.0.113.9 255.255.255.0", {"203.0.113.9": "ip_special", "255.255.255.0": "ip_special"}),
        ("dns 8.8.8.8", {"8.8.8.8": "ip_special"}),
        ("2606:2800:220:1:248:1893:25c8:1946", {"2606:2800:220:1:248:1893:25c8:1946": "ip"}),
        ("[2a00:1450:4001:81b::200e]:443", {"2a00:1450:4001:81b::200e": "ip"}),
        ("fe80::1%eth0 2001:db8::7", {"fe80::1": "ip_special", "2001:db8::7": "ip_special"}),
        ("version 93.184.216.34", {}),
        ('<x version="4.100.216.34"/>', {}),
        ("requests==93.184.2.34", {}),
        ("93.184.216.34-rc1", {}),
        ("ninja-1.111.1.1.tar.gz", {}),
        ("see 1.2.3.1 and 4.5.6.9", {}),
        ("1.3.6.1.4.1.311", {}),
        ("300.1.1.1 01.2.3.4", {}),
        ("v93.184.216.34", {}),
        ("1.08.58 1.23.82.72 1.21", {}),
        ("12:30:45 std::vector<a::b> dead::beef", {}),
        ("00:1A:2B:3C:4D:5E 00:11:22:33:44:55:66:77", {}),
        ("x[1::2] a:b:c", {}),
    ],
)
def test_ips(text, kinds):
    data = text.encode()
    assert {text[span.start : span.end]: span.kind for span in [*ipv4(data), *ipv6(data)]} == kinds


def test_hints_let_every_address_through(scan):
    """What the annotator searches at all is chosen by faster expressions; they must not lose any."""
    for text in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450::200e", "fd00::12"):
        assert scan(text)["spans"], text


def test_counts_and_order(scan):
    row = scan("a@lantern.io b@example.com 93.184.216.34 10.0.0.1 c@lantern.io\n")
    counts = {name: row[name] for name in ("keys", "emails", "email_placeholders", "ips", "ip_specials")}
    assert counts == {"keys": 0, "emails": 2, "email_placeholders": 1, "ips": 1, "ip_specials": 1}
    assert row["max_confidence"] == "none"
    starts = [span["start"] for span in row["spans"]]
    assert starts == sorted(starts)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit", [b"@", b"a.", b"@a.", b"1.", b"1:", b"::", b"a@a.a", b"-----BEGIN ", b"1.1.1.1.", b"f" * 64]
)
def test_hostile_bytes_take_bounded_time(scan, unit):
    """Quadratic searches would take hours for these."""
    assert scan(unit * (4_000_000 // len(unit)))["keys"] == 0


# -- masking ---------------------------------------------------------------------------------------------------------

KIND_OF = {"keys": "key", "emails": "email", "ips": "ip"}


def span(kind, start, end):
    return {"kind": kind, "start": start, "end": end, "rule": "r", "confidence": None}


def test_masks_only_the_kinds_asked_for(scan):
    content = f"# {PARTS['emails']} bob@example.com\nkey = '{TOKEN}'\nhosts = '{PARTS['ips']} 10.0.0.1'\n".encode()
    spans = scan(content)["spans"]
    assert mask(content, spans, ["emails"]) == content.replace(PARTS["emails"].encode(), b"<EMAIL>")
    assert (
        mask(content, spans, ["keys", "emails", "ips"]).decode()
        == "# <EMAIL> bob@example.com\nkey = '<KEY>'\nhosts = '<IP> 10.0.0.1'\n"
    )
    assert mask(content, spans, []) == content


def test_overlapping_spans_are_one_and_the_weightiest_names_it():
    spans = [span("email", 2, 6), span("key", 4, 8), span("ip", 7, 9), span("ip", 9, 10)]
    assert mask(b"0123456789", spans, ["keys", "emails", "ips"]) == b"01<KEY><IP>"
    assert mask(b"0123456789", spans, ["emails", "ips"]) == b"01<EMAIL>6<IP><IP>"


def test_wrong_calls_say_so():
    with pytest.raises(ValueError, match=r"^mask: expected some of keys, emails, ips, got 'names'$"):
        mask(b"a", [], ["names"])
    with pytest.raises(ValueError, match=r"^mask: expected a span within 0..1, got 0..2$"):
        mask(b"a", [span("key", 0, 2)], ["keys"])


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.sampled_from(list(KIND_OF)), st.integers(0, 60), st.integers(1, 20)), max_size=8),
    st.sets(st.sampled_from(list(KIND_OF))),
)
def test_bytes_outside_the_spans_stay_and_those_inside_go(content, places, kinds):
    places = [(kind, start, min(start + length, len(content))) for kind, start, length in places]
    places = [place for place in places if place[1] < place[2]]
    masked = mask(content, [span(KIND_OF[kind], start, end) for kind, start, end in places], kinds)
    covered = set()
    for kind, start, end in places:
        if kind in kinds:
            covered |= set(range(start, end))
    # What is left between placeholders, in order, is exactly what was not covered. A byte that no content holds stands
    # for a placeholder, so that content that looks like one can't confuse the comparison.
    runs, inside = [b""], False
    for position in range(len(content)):
        if position in covered:
            runs += [] if inside else [b""]
            inside = True
        else:
            runs[-1] += content[position : position + 1]
            inside = False
    position = 0
    for run in runs:
        place = masked.find(run, position)
        assert place >= 0
        assert all(gap in (b"<KEY>", b"<EMAIL>", b"<IP>") for gap in _placeholders(masked[position:place]))
        position = place + len(run)
    if not covered:
        assert masked == content


def _placeholders(gap):
    """A gap between two runs taken apart into placeholders; anything else comes back as it is."""
    parts = []
    while gap:
        part = next((one for one in (b"<KEY>", b"<EMAIL>", b"<IP>") if gap.startswith(one)), gap)
        parts.append(part)
        gap = gap[len(part) :]
    return parts


FILLING = ["bob@example.com", "10.0.0.1", "x = 1", "'", '"', "\n", " ", "<", ">", "@", ".", "é", "a", "=", ": "]
PIECES = st.sampled_from([*PARTS.values(), PEM, URI, *FILLING])


@given(st.lists(PIECES, max_size=14))
@example([PARTS["emails"], "@", PARTS["emails"]])
@example([PARTS["ips"], "@", PARTS["emails"]])
@example([URI, "@", PARTS["ips"]])
def test_what_was_found_is_gone_and_masking_again_changes_nothing(scan, pieces):
    kinds = ["keys", "emails", "ips"]
    content = "".join(pieces).encode()
    spans = scan(content)["spans"]
    masked = mask(content, spans, kinds)
    masked.decode()
    for one in spans:
        if one["kind"] in KIND_OF.values():
            assert content.count(content[one["start"] : one["end"]]) > masked.count(content[one["start"] : one["end"]])
    once = mask(masked, scan(masked)["spans"], kinds)
    assert mask(once, scan(once)["spans"], kinds) == once
