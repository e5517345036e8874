from __future__ import annotations

import pickle

import pytest

from bioqa_pipeline.errors import RetryableSourceError, SourceError, SourceErrorKind


def test_a_kind_is_its_word_in_every_process() -> None:
    """Manifests and reports hold the words; a status without a name of its own has one as well."""
    for kind in (
        *SourceErrorKind,
        SourceErrorKind("http_503"),
        SourceErrorKind("http_204"),
        SourceErrorKind("http_999"),
    ):
        copy = pickle.loads(pickle.dumps(RetryableSourceError("no", kind=kind))).kind  # noqa: S301
        assert copy == kind == str(kind) == kind.value
        assert isinstance(copy, SourceErrorKind)
        assert kind in {kind.value}
    assert SourceErrorKind("http_429") is SourceErrorKind.HTTP_429
    assert SourceError("no").kind == "source"


@pytest.mark.parametrize("word", ["http_", "http_99", "http_5000", "bad xml", 429])
def test_other_words_are_no_kinds(word: object) -> None:
    with pytest.raises(ValueError, match="is not a valid SourceErrorKind"):
        SourceErrorKind(word)
