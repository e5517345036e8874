"""What the message of a `SourceError` says, as one word."""

from __future__ import annotations

import re

from bioqa_pipeline.errors import SourceError

_SAID = {
    "timeout": r"no answer in time|does not come to its end",
    "connection": r"the connection failed",
    "certificate": r"the certificate of the service is not valid",
    "truncated": r"that was cut off|a packed answer that is broken",
    "body_too_large": r"an answer of more than \d+ bytes|a long answer that repeats the API key",
    "bad_headers": r"an answer with more than \d+ headers",
    "redirect": r"HTTP 3\d\d, a redirection",
    "bad_api_key": r"does not accept the API key",
    "rate_limited": r"too many requests a second",
    "no_ids": r"not one of the ids is a PMID",
    "empty_body": r"an empty answer",
    "html": r"a web page in place of XML",
    "not_xml": r"something else than XML",
    "wrong_root": r"<.*> in place of <",
    "unsafe_xml": r"XML (with declarations of entities|in an unexpected encoding), which is refused",
    "short_answer": r"\d+ hits reported and none given",
    "bad_xml": r"broken XML|an answer without a count|an id that no PMID can be|\(after [\d,]+ records\)",
    "bad_md5": r"its MD5 is|holds no MD5",
    "gap": r"missing between number",
    "two_files": r"have the same number",
    "unreadable": r"cannot be read",
    "query_error": r"NCBI reports: (?!.*(?:backend failed|temporarily))|NCBI reports: .*retstart",
    "backend_failed": r"NCBI reports: ",
}


def word_of(exc: SourceError) -> str:
    """Of an HTTP status that no word is for, "http_503"."""
    text = str(exc)
    if word := next((word for word, said in _SAID.items() if re.search(said, text, re.IGNORECASE)), None):
        return word
    status = re.search(r"HTTP (\d{3})", text)
    assert status, text
    return f"http_{status[1]}"
