from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioqa_pipeline import redaction
from bioqa_pipeline.redaction import REDACTED, Redaction, UnmendableError, is_distinctive
from support.hostile_echoes import spellings

KEY = "SECRETKEY0123456789abcdef0123456789"
ODD = "s3cr3t+key/0123456789&<x>"


@pytest.mark.parametrize(
    "spelling",
    [
        *spellings(KEY),
        "".join(f"%2525{ord(c):x}" for c in KEY),
        "".join(f"\\u{ord(c):04x}" for c in KEY),
        "".join(f"&#0000{ord(c)};" for c in KEY),
        "%26%2383%3B".join(["", KEY[1:]]),
        "&lt;i&gt;".join(KEY),
        f"{KEY[:5]}<![CDATA[{KEY[5:20]}]]>{KEY[20:]}",
        "&#8203;".join(KEY),
        "\u00ad\n".join(KEY),
        "\0".join(KEY),
        f"...{KEY[-12:]}",
        f"{KEY[11:23]}",
        f"<{KEY}/>",
        f'<a b="{KEY}"/>',
        '<i a=">"/>'.join(KEY),
        "<? > ?>".join(KEY),
        f"<!-- <? -->{KEY[:9]}<b/>{KEY[9:]}<!-- ?> -->",
        f"<? <!-- ?>{KEY[:9]}<b/>{KEY[9:]}<? --> ?>",
        f"<![CDATA[<!--]]>{KEY[:9]}<b/>{KEY[9:]}<![CDATA[-->]]>",
        f"&lt;!-- {KEY[:9]}<b/>{KEY[9:]} --&gt;",
        *(sign.join(KEY) for sign in "\ufe0f\u034f\u3000\u2028\u2002\x85\x01\x7f\u3164\U000e0041"),
    ],
)
def test_a_key_is_found_however_it_is_written(spelling: str) -> None:
    mended = Redaction([KEY]).text(f"zz {spelling} zz")
    assert mended.startswith("zz ") and mended.endswith(" zz")
    assert REDACTED in mended
    assert Redaction([KEY]).text(mended) == mended


@pytest.mark.parametrize(
    "spelling", [*spellings(ODD), ODD.replace("+", " "), ODD.replace("&", "&amp;").replace("<", "&lt;")]
)
def test_so_is_one_with_marks_that_addresses_and_xml_quote(spelling: str) -> None:
    mended = Redaction([ODD]).text(f"zz {spelling} zz")
    assert mended.startswith("zz ") and mended.endswith(" zz") and REDACTED in mended


def test_markup_between_the_parts_of_a_key_stays() -> None:
    torn = f"<p>a {KEY[:8]}<b>{KEY[8:16]}</b>{KEY[16:24]}<i/>{KEY[24:]} z</p>"
    assert Redaction([KEY]).text(torn) == f"<p>a {REDACTED}<b></b><i/> z</p>"


def test_what_is_no_secret_stays_and_is_not_even_copied() -> None:
    body = f"<p>{KEY[:11]} &amp; {KEY[5:16]} 100% %zz \\u12 \u200b</p>".encode()
    assert Redaction([KEY]).body(body) is body
    assert Redaction([]).body(KEY.encode()) == KEY.encode()


@pytest.mark.parametrize("key", ["", "a", "the", "heart", "12345678", "diabetes", "aaaaaaaaaaaaaaaaaaaa", "Cancer"])
def test_a_key_like_a_word_or_a_number_destroys_no_text(key: str) -> None:
    assert not is_distinctive(key)
    text = "The heart of diabetes, PMID 12345678: a Cancer study aaaaaaaaaaaaaaaaaaaaaa"
    assert Redaction([key]).text(text) == text


@pytest.mark.parametrize("key", ["good-key", "s3cr3t-k", "0123456789abcdef0123456789abcdef0123", KEY])
def test_a_key_like_those_of_services_is_looked_for(key: str) -> None:
    assert Redaction([key]).text(f"no {key}.") == f"no {REDACTED}."


@given(st.text(alphabet="ab<>&;%#x2514\\u0 \u200b-![]CDAT", max_size=60), st.sampled_from(spellings(KEY)))
@example("<!--", KEY)
@example("&#x", KEY)
def test_neighbours_of_a_key_hide_it_from_nobody_and_stay(around: str, spelling: str) -> None:
    mended = Redaction([KEY]).text(f"{around}~{KEY}~{around}")
    assert mended == f"{around}~{REDACTED}~{around}"
    twice = Redaction([KEY]).text(f"{KEY}{spelling}{KEY}")
    assert KEY[:12].lower() not in twice.lower()


@pytest.mark.parametrize(
    "unit", ["a ", "<", "<a>", "&#65;", "%25", KEY[:6], "<!--", "<![CDATA[", "<?", '<a b="', "\u200b", "\\u0041"]
)
def test_twice_the_text_takes_twice_the_time(unit: str) -> None:
    def once(body: bytes) -> float:
        began = time.process_time()
        assert REDACTED.encode() in Redaction([KEY]).body(body)
        return time.process_time() - began

    def seconds(n_chars: int) -> float:
        # The least of three: a collection of garbage can fall into any one.
        body = (unit * (n_chars // len(unit))).encode() + KEY.encode()
        return min(once(body) for _ in range(3))

    seconds(1000)
    assert seconds(40_000) < 6 * seconds(10_000) + 0.05


def test_what_is_too_large_to_be_mended_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "MAX_MENDED_BYTES", 100)
    large = b"x" * 200
    assert Redaction([KEY]).body(large) is large
    with pytest.raises(UnmendableError) as caught:
        Redaction([KEY]).body(large + KEY.encode())
    assert KEY not in str(caught.value)
