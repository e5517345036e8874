"""Windows against run_squad's own loops, BERT's pair encoding, and texts of every script."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.qa import words
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import TokenizedText, Window
from support.builders import SPECIAL, word_tokens
from support.outside import OutsideMaterial
from support.windows import char_range, make_windows, pad_batch
from support.word_pieces import bert_backend, file_pieces, text_tokenizer, toy_pieces

CONFIG = WindowConfig()
Ranges = tuple[tuple[int, int], ...]

# Composed and combining accents, Greek, no-break space, CJK, emoji with modifiers, marks of scripts that BERT ignores,
# joiners and controls that it drops, and special tokens spelt out.
FRAGMENTS = (
    *("interferon-γ", "TNF-α", "naïve", "x\u0304", "p\u0301\u0323", "5\u00a0mg/kg", "37\u00b0C", "10\u00b12", "µg"),
    *(
        "患者",
        "日本語text",
        "🧬",
        "👩\u200d🔬",
        "❤\ufe0f",
        "हिन्दी",
        "ภาษาไทย",
        "한국어",
        "ﬁbrosis",
        "a\u200bb",
        "\u0007",
    ),
    *("[SEP]", "[UNK]", "(p<0.05)", "BRCA1", "IL-2", "the", "hyperammonemia", "ÅNGSTRÖM", "İ", "ß", "Æ", "½"),
)
TOY_PIECES = toy_pieces()
TOY_TOKENIZERS = {c: text_tokenizer(TOY_PIECES, lowercase=c == "uncased") for c in ("cased", "uncased")}
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=40).map(" ".join)
configs = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 400)).filter(lambda c: c[1] <= c[0])


def run_squad_ranges(n_tokens: int, capacity: int, doc_stride: int) -> Ranges:
    """The loop of run_squad's convert_examples_to_features, which has no window for an empty passage."""
    ranges = []
    start = 0
    while start < n_tokens:
        length = min(n_tokens - start, capacity)
        ranges.append((start, start + length))
        if start + length == n_tokens:
            break
        start += min(length, doc_stride)
    return tuple(ranges) or ((0, 0),)


def run_squad_owners(ranges: Ranges) -> list[int]:
    """For each token the window that run_squad's check_is_max_context takes it in."""
    owners = []
    for token in range(ranges[-1][1]):
        best_score, best_index = -1.0, -1
        for index, (start, end) in enumerate(ranges):
            if start <= token < end:
                score = min(token - start, end - 1 - token) + 0.01 * (end - start)
                if score > best_score:
                    best_score, best_index = score, index
        owners.append(best_index)
    return owners


def ranges_of(n_tokens: int, capacity: int, doc_stride: int) -> tuple[Ranges, Ranges]:
    """Token ranges of the windows of a passage, and what each of them owns; a window holds `capacity` of its tokens."""
    config = WindowConfig.model_construct(max_seq_length=capacity + 3, doc_stride=doc_stride, max_query_length=0)
    windows = make_windows(word_tokens(""), characters("w" * n_tokens), SPECIAL, config)
    assert [w.index for w in windows] == list(range(len(windows))) and {w.n_windows for w in windows} == {len(windows)}
    return (
        tuple((w.token_start, w.token_end) for w in windows),
        tuple((w.context_start, w.context_end) for w in windows),
    )


@given(configs)
def test_ranges_are_those_of_run_squad(config: tuple[int, int, int]) -> None:
    capacity, doc_stride, n_tokens = config
    assert ranges_of(n_tokens, capacity, doc_stride)[0] == run_squad_ranges(n_tokens, capacity, doc_stride)


@pytest.mark.parametrize(
    ("n_tokens", "ranges"),
    [
        (0, ((0, 0),)),
        (369, ((0, 369),)),
        (370, ((0, 369), (128, 370))),
        (600, ((0, 369), (128, 497), (256, 600))),
        (1000, ((0, 369), (128, 497), (256, 625), (384, 753), (512, 881), (640, 1000))),
    ],
)
def test_doc_stride_is_the_step_and_not_the_overlap(n_tokens: int, ranges: Ranges) -> None:
    assert ranges_of(n_tokens, 369, 128)[0] == ranges


@given(configs)
@example((369, 128, 5000))
@example((369, 128, 525))
@example((144, 101, 145))
def test_max_context_is_that_of_run_squad(config: tuple[int, int, int]) -> None:
    capacity, doc_stride, n_tokens = config
    ranges, contexts = ranges_of(n_tokens, capacity, doc_stride)
    owners = [index for index, (start, end) in enumerate(contexts) for _ in range(start, end)]
    edges = [edge for context in contexts for edge in context]
    assert edges == sorted(edges) and edges[0] == 0 and edges[-1] == n_tokens
    expected = run_squad_owners(ranges)
    if expected == sorted(expected):
        assert owners == expected
    else:
        assert doc_stride % 101 == 0, "only there equal contexts stand next to each other"
        assert owners == list(accumulate(expected, max))
    assert all(ranges[owner][0] <= token < ranges[owner][1] for token, owner in enumerate(owners))


@given(st.integers(0, 80), st.integers(0, 700))
def test_windows_hold_question_passage_and_frame(n_question: int, n_passage: int) -> None:
    question = word_tokens(" ".join(f"q{i}" for i in range(n_question)))
    passage = word_tokens(" ".join(f"w{i}" for i in range(n_passage)))
    windows = make_windows(question, passage, SPECIAL, CONFIG)
    cut = min(n_question, 64)
    ranges = run_squad_ranges(n_passage, 384 - cut - 3, 128)
    assert [(w.token_start, w.token_end) for w in windows] == list(ranges)
    assert [(w.context_start, w.context_end) for w in windows] == list(ranges_of(n_passage, 381 - cut, 128)[1])
    for index, window in enumerate(windows):
        assert (window.index, window.n_windows) == (index, len(ranges))
        assert window.passage_offset == cut + 2
        ids = window.input_ids.tolist()
        piece = passage.ids[window.token_start : window.token_end].tolist()
        assert ids == [SPECIAL.cls, *question.ids[:64].tolist(), SPECIAL.sep, *piece, SPECIAL.sep]
        assert len(window) == len(ids) <= 384


def own_pair_encoding(backend: Tokenizer, question: str, passage: str) -> list[tuple[list[int], list[int]]]:
    """Ids and segments of the windows that the tokenizer itself makes of a pair; its stride is the overlap."""
    offsets = backend.encode(question, add_special_tokens=False).offsets[:64]
    backend.enable_truncation(384, stride=384 - 128 - len(offsets) - 3, strategy="only_second")
    first = backend.encode(question[: offsets[-1][1]] if offsets else "", passage)
    return [(e.ids, e.type_ids) for e in (first, *first.overflowing)]


@pytest.mark.parametrize("casing", ["toy", "cased", "uncased"])
@pytest.mark.parametrize("question", ["Which gene causes malaria?", "which gene " * 40, ""])
@pytest.mark.parametrize("n_words", [0, 1, 150, 700])
def test_windows_equal_the_tokenizers_pair_encoding(
    casing: str, question: str, n_words: int, request: pytest.FixtureRequest
) -> None:
    pieces = toy_pieces() if casing == "toy" else vocabulary(request, cased=casing == "cased")
    rng = np.random.default_rng(n_words)
    passage = " ".join(rng.choice([f for f in FRAGMENTS if not f.startswith("[")], size=n_words))
    tokenizer = text_tokenizer(pieces, lowercase=casing == "uncased")
    query, tokens = tokenizer([question, passage])
    windows = make_windows(query, tokens, tokenizer.special, CONFIG)
    assert len(windows) > 2 or n_words < 700
    batch = pad_batch(windows, range(len(windows)), pad_id=0)
    ours = [
        (w.input_ids.tolist(), segments[: len(w)].tolist())
        for w, segments in zip(windows, batch.token_type_ids, strict=True)
    ]
    assert ours == own_pair_encoding(bert_backend(pieces, lowercase=casing == "uncased"), question, passage)


def vocabulary(request: pytest.FixtureRequest, *, cased: bool) -> list[str]:
    test_data: OutsideMaterial = request.getfixturevalue("test_data")
    return file_pieces(test_data, cased=cased)


@given(text=texts)
def test_offsets_are_ordered_code_points_of_the_text(tokenizer: TextTokenizer, text: str) -> None:
    (tokens,) = tokenizer([text])
    assert (tokens.starts < tokens.ends).all() and (tokens.ends <= len(text)).all()
    assert (np.diff(tokens.starts) >= 0).all() and (np.diff(tokens.ends) >= 0).all()
    covered = {i for start, end in zip(tokens.starts, tokens.ends, strict=True) for i in range(start, end)}
    dropped = {unicodedata.category(char)[0] for i, char in enumerate(text) if i not in covered}
    assert dropped <= {"Z", "C", "M"} or "\ufffd" in text


@pytest.mark.parametrize("casing", ["cased", "uncased"])
@given(some=st.lists(texts, max_size=4), data=st.data())
def test_texts_have_the_tokens_that_the_library_gives_of_each(
    casing: str, some: list[str], data: st.DataObject
) -> None:
    tokenizer, backend = TOY_TOKENIZERS[casing], bert_backend(TOY_PIECES, lowercase=casing == "uncased")
    # Words that came before, and were forgotten.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "KEPT_CHARS", 40)
        found = tokenizer(some)
    backend.encode_special_tokens = True
    expected = backend.encode_batch(some, add_special_tokens=False)
    assert [(t.ids.tolist(), list(zip(t.starts.tolist(), t.ends.tolist(), strict=True))) for t in found] == [
        (e.ids, e.offsets) for e in expected
    ]


def test_special_tokens_spelt_out_are_text(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer(["a [SEP] b [CLS] [PAD] c"])[0]
    special = {tokenizer.special.cls, tokenizer.special.sep, tokenizer.special.pad}
    assert len(tokens) > 10 and not special & set(tokens.ids.tolist())


@given(text=texts, data=st.data())
def test_char_ranges_start_and_end_at_whole_characters(
    tokenizer: TextTokenizer, text: str, data: st.DataObject
) -> None:
    (tokens,) = tokenizer([text])
    if not len(tokens):
        return
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, len(tokens) - 1))
    start, end = char_range(text, tokens, first, last)
    assert start == tokens.starts[first] and end >= tokens.ends[last]
    assert all(unicodedata.category(char)[0] == "M" for char in text[tokens.ends[last] : end])
    assert end == len(text) or unicodedata.category(text[end])[0] != "M"
    assert char_range(text, tokens, first, last, whole_words=True) == drawn_out(text, start, end)


def drawn_out(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) with every run of letters, digits and marks that it cuts; each ideograph is a run of its own."""
    ideographs = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
    word = "".join("w" if char.isalnum() or unicodedata.category(char)[0] == "M" else "." for char in text)
    word = "".join("i" if re.match(f"[{ideographs}]", char) else kind for char, kind in zip(text, word, strict=True))
    runs = [match.span() for match in re.finditer("w+", word)]
    return (
        min([start, *(a for a, b in runs if a < start < b)]),
        max([end, *(b for a, b in runs if a < end < b)]),
    )


def characters(text: str) -> TokenizedText:
    """One token a character."""
    return TokenizedText(
        ids=np.zeros(len(text), np.int32),
        starts=np.arange(len(text), dtype=np.int32),
        ends=np.arange(1, len(text) + 1, dtype=np.int32),
    )


@given(text=texts)
def test_whole_words_are_never_drawn_over_a_split_of_bert(text: str) -> None:
    normalizer = BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    words = {word for word, _ in BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))}
    for position, char in enumerate(text):
        start, end = char_range(text, characters(text), position, position, whole_words=True)
        assert start <= position < end
        if char.isalnum():
            assert any(text[start:end] in word for word in words)


@pytest.mark.parametrize(
    ("text", "first", "last", "expected"),
    [
        ("in TNF-α cells", 4, 4, "TNF"),
        ("in TNF-α cells", 3, 7, "TNF-α"),
        ("IL2RA gene", 2, 2, "IL2RA"),
        ("a p\u0301\u0323 b", 2, 2, "p\u0301\u0323"),
        ("患者数", 1, 1, "者"),
        ("the हिन्दी text", 6, 6, "हिन्दी"),
        ("한국어 text", 1, 1, "한국어"),
        ("❤\ufe0f🧬", 0, 0, "❤\ufe0f"),
    ],
)
def test_an_answer_is_drawn_out_to_whole_words(text: str, first: int, last: int, expected: str) -> None:
    start, end = char_range(text, characters(text), first, last, whole_words=True)
    assert text[start:end] == expected


def make(tokenizer: TextTokenizer, question: str, passage: str) -> list[Window]:
    query, tokens = tokenizer([question, passage])
    return make_windows(query, tokens, tokenizer.special, CONFIG)


@pytest.mark.parametrize("passage", ["", " ", "\u200b\u200e\ufeff", "\u0007\u0000"])
def test_a_passage_without_tokens_has_one_window(tokenizer: TextTokenizer, passage: str) -> None:
    (window,) = make(tokenizer, "Which gene?", passage)
    assert window.token_end == 0 and window.context_end == 0
    assert window.input_ids[-2:].tolist() == [tokenizer.special.sep] * 2


def test_a_passage_of_5000_tokens_and_a_question_of_200(tokenizer: TextTokenizer) -> None:
    windows = make(tokenizer, "gene " * 200, "protein " * 5000)
    assert windows[-1].token_end >= 5000 and all(len(w) <= 384 for w in windows)
    assert windows[0].passage_offset == 66 and len(windows[0]) == 384
    assert [w.token_start for w in windows] == [128 * i for i in range(len(windows))]
