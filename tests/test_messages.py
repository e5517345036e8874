from __future__ import annotations

import pytest

from bioqa_pipeline.messages import shown, words_of

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("see http://user:hidden@h:1/x", "see http://[redacted]@h:1/x"),
        ("http://u:hid/den@h/api and more", "http://[redacted]@h/api and more"),
        ("postgresql+asyncpg://me:hidden@h/db", "postgresql+asyncpg://[redacted]@h/db"),
        (
            "s3://b/x?X-Amz-Signature=hidden&X-Amz-Security-Token=hid/den&y=1",
            "s3://b/x?X-Amz-Signature=[redacted]&X-Amz-Security-Token=[redacted]&y=1",
        ),
        ("https://h/x?token=hidden#a", "https://h/x?token=[redacted]#a"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=hidden/x, Signature=hidden", "Authorization: [redacted]"),
        ("{'Authorization': 'hidden'}", "{'Authorization': '[redacted]'}"),
        ("X-Amz-Security-Token: hidden", "X-Amz-Security-Token: [redacted]"),
        ("AWS_SECRET_ACCESS_KEY=hidden", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("<AWSAccessKeyId>hidden</AWSAccessKeyId>", "<AWSAccessKeyId>[redacted]</AWSAccessKeyId>"),
        ("Set-Cookie: sid=hidden", "Set-Cookie: [redacted]"),
        ("api_key=hidden&term=x", "api_key=[redacted]&term=x"),
    ],
)
def test_credentials_are_taken_out(message: str, expected: str) -> None:
    assert shown(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "NCBI does not accept the API key: correct it in NCBI_API_KEY, or in the secret of the deployment",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "write to me@example.org, see https://example.org/a?b=c",
        "tokenizer.json: a token, 3 tokens; token: 5; /data/x:\n\tline two, naïve 中文 👩\u200d⚕",
    ],
)
def test_everything_else_stays(message: str) -> None:
    assert shown(message) == message


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NCBI_API_KEY", "PREFECT_API_AUTH_STRING"]
)
def test_the_environments_secrets_are_known_by_their_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, AWS_SECRET)
    assert shown(f"no such <Code>{AWS_SECRET.lower()}</Code>") == "no such <Code>[redacted]</Code>"


def test_what_a_library_says_is_one_line_or_its_name() -> None:
    assert words_of(ValueError("no type: \x0c\x1b\n\tat 5\u2028of api_key=x ")) == "no type: at 5 of api_key=[redacted]"
    assert words_of(ValueError(" \n")) == "ValueError"


def test_a_terminal_finds_nothing_to_obey() -> None:
    odd = "a\x1b[31mb\x9b2J\x07c\u202ed\u2066e\u200bf\rg\u2028h\ufeff\ud800"
    assert shown(odd) == "a [31mb 2J cdef g h\ufffd"
