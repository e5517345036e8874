"""Question files: every format gives the same questions, and every bad line is named with file, line and a way out."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.questions.files import MergedQuestion, QuestionFile, default_id, read_questions
from bioqa_pipeline.questions.marks import is_lone_mark, without_list_mark
from bioqa_pipeline.questions.rows import MAX_QUESTION_CHARS
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.text import normalize_text


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def table(rows: Sequence[tuple[str, ...]], delimiter: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([("question", "id", "query"), *rows])
    return buffer.getvalue()


def test_text_file_skips_comments_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "asked.txt", "# one\n\nWhat is   BRCA1?\r\n  # indented comment\n Who found insulin? \n")

    assert read_questions(path) == QuestionFile(
        path,
        (
            Question(default_id("What is BRCA1?"), "What is BRCA1?", line=3),
            Question(default_id("Who found insulin?"), "Who found insulin?", line=5),
        ),
        notes=('left out as comments: 2 (line 1 "# one", line 4 "# indented comment")',),
    )


def test_default_id_is_fixed_and_knows_neither_case_nor_place(tmp_path: Path) -> None:
    assert default_id("What is BRCA1?") == default_id("what is brca1?") == "q-5c86d1fb26"
    lines = ["What is BRCA1?", "Who found insulin?", "Which gene causes Huntington disease?"]
    forwards = read_questions(write(tmp_path, "a.txt", "\n".join(lines)))
    backwards = read_questions(write(tmp_path, "b.txt", "\n".join(reversed(lines))))

    assert {question.id for question in forwards.questions} == {question.id for question in backwards.questions}


@pytest.mark.parametrize("name", ["asked.txt", "asked", "asked.questions", "ASKED.TXT"])
def test_any_other_suffix_is_text(tmp_path: Path, name: str) -> None:
    assert [q.text for q in read_questions(write(tmp_path, name, "What is BRCA1?")).questions] == ["What is BRCA1?"]


def test_table_columns_stand_in_any_order_and_case(tmp_path: Path) -> None:
    content = "\n ID\tQuery \tQUESTION\r\ng1\tBRCA1[tiab]\tWhat is BRCA1?\r\n\t\t\r\n\t\tWho found insulin?\r\ng3\n"
    with pytest.raises(InputError, match=r"asked\.tsv:6: the question is empty"):
        read_questions(write(tmp_path, "asked.tsv", content))

    assert read_questions(write(tmp_path, "asked.tsv", content.removesuffix("g3\n"))).questions == (
        Question("g1", "What is BRCA1?", "BRCA1[tiab]", line=3),
        Question(default_id("Who found insulin?"), "Who found insulin?", line=5),
    )


def test_csv_cells_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    content = 'question,id\n"What is ""BRCA1"",\nand where?",a\nWho found insulin?\n'

    assert read_questions(write(tmp_path, "asked.csv", content)).questions == (
        Question("a", 'What is "BRCA1", and where?', line=2),
        Question(default_id("Who found insulin?"), "Who found insulin?", line=4),
    )


def test_json_lines_take_null_and_whole_numbers(tmp_path: Path) -> None:
    content = '{"id": 7, "question": "What is BRCA1?", "query": null}\n\n{"question": "Who found\\ninsulin?"}\n'

    assert read_questions(write(tmp_path, "asked.jsonl", content)).questions == (
        Question("7", "What is BRCA1?", line=1),
        Question(default_id("Who found insulin?"), "Who found insulin?", line=3),
    )


def test_byte_order_mark_of_utf8_is_no_part_of_the_first_question(tmp_path: Path) -> None:
    text = read_questions(write(tmp_path, "asked.txt", b"\xef\xbb\xbfWhat is BRCA1?\n"))
    comma = read_questions(write(tmp_path, "asked.csv", b"\xef\xbb\xbfquestion\nWhat is BRCA1?\n"))

    assert text.questions[0].text == comma.questions[0].text == "What is BRCA1?"


def test_text_is_composed_before_it_is_hashed(tmp_path: Path) -> None:
    composed = "Who described Sjögren syndrome?"
    file = read_questions(write(tmp_path, "asked.txt", unicodedata.normalize("NFD", composed)))

    assert file.questions == (Question(default_id(composed), composed, line=1),)


def test_invisible_marks_of_copied_text_are_dropped(tmp_path: Path) -> None:
    content = "What is BRCA\u200b1?\n\ufeff# second file\n\u200b\n\ufeffWho found in\u00adsulin?\n"

    assert read_questions(write(tmp_path, "asked.txt", content)).questions == (
        Question(default_id("What is BRCA1?"), "What is BRCA1?", line=1),
        Question(default_id("Who found insulin?"), "Who found insulin?", line=4),
    )


def test_repeated_questions_are_asked_once_and_reported(tmp_path: Path) -> None:
    content = "What is BRCA1?\nWho found insulin?\nwhat  is BRCA1?\nWHAT IS BRCA1?\n"
    file = read_questions(write(tmp_path, "asked.txt", content))

    assert [question.text for question in file.questions] == ["What is BRCA1?", "Who found insulin?"]
    assert file.merged == (MergedQuestion(default_id("What is BRCA1?"), "What is BRCA1?", (1, 3, 4)),)


def test_a_repetition_may_bring_the_id_and_further_ids_are_reported(tmp_path: Path) -> None:
    content = "question,id\nWhat is BRCA1?,\nWhat is BRCA1?,a\nWhat is BRCA1?,b\nWhat is BRCA1?,a\n"
    file = read_questions(write(tmp_path, "asked.csv", content))

    assert file.questions == (Question("a", "What is BRCA1?", line=2),)
    assert file.merged == (MergedQuestion("a", "What is BRCA1?", (2, 3, 4, 5), ("b",)),)


def test_the_same_text_with_another_query_is_another_question(tmp_path: Path) -> None:
    content = "question,id,query\nWhat is BRCA1?,a,\nWhat is BRCA1?,b,brca1[ti]\nWhat is BRCA1?,,BRCA1[ti]\n"
    file = read_questions(write(tmp_path, "asked.csv", content))

    assert file.questions == (
        Question("a", "What is BRCA1?", line=2),
        Question("b", "What is BRCA1?", "brca1[ti]", line=3),
    )
    assert [merged.lines for merged in file.merged] == [(3, 4)]


def test_list_marks_are_taken_off_and_that_is_said(tmp_path: Path) -> None:
    content = "1. Who discovered insulin?\n2) What causes scurvy?\n- Which gene is it?\n• C. difficile is what?\nWhy?\n"
    file = read_questions(write(tmp_path, "asked.txt", content))

    assert [question.text for question in file.questions] == [
        *("Who discovered insulin?", "What causes scurvy?", "Which gene is it?", "C. difficile is what?", "Why?")
    ]
    assert file.questions[0].id == default_id("Who discovered insulin?")
    assert file.notes == ('list marks taken off before questions: 4 (line 1 "1.", line 2 "2)", line 3 "-" and 1 more)',)
    cells = read_questions(write(tmp_path, "asked.csv", "id,question\n1,1. Who discovered insulin?\n"))
    assert cells.questions[0].text == "Who discovered insulin?"


def test_near_repetitions_are_said_and_keep_their_ids(tmp_path: Path) -> None:
    asked = ("What causes scurvy?", "what causes “scurvy” ?", "What  causes scurvy", "Is CD4+ it?", "Is CD4- it?")
    file = read_questions(write(tmp_path, "asked.txt", "\n".join(asked)))
    assert [q.id for q in file.questions[:2]] == [default_id(asked[0]), default_id("what causes “scurvy” ?")]
    assert len(file.questions) == 5
    (note,) = file.notes
    assert note.startswith("asked more than once, apart from punctuation and capitals: 2 (line 2")
    table = "question,query\nWho?,a[ti]\nWho,b[ti]\n"
    assert read_questions(write(tmp_path, "asked.csv", table)).notes == ()


def test_a_number_sign_asks_or_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    content = "# comment\n#1 cause of death in diabetes?\n#What is off?\n#2 Who found it?\nWho? # inline\n#1 AND #2\n"
    file = read_questions(write(tmp_path, "asked.txt", content))

    assert [(q.line, q.text) for q in file.questions] == [
        (2, "#1 cause of death in diabetes?"),
        (4, "Who found it?"),
        (5, "Who?"),
    ]
    assert file.notes == (
        'left out as comments: 4 (line 1 "# comment", line 3 "#What is off?", line 5 "# inline" and 1 more)',
        'list marks taken off before questions: 1 (line 4 "#2")',
    )


def test_a_list_mark_alone_asks_nothing_and_that_is_said(tmp_path: Path) -> None:
    marks = "1) a. - (iii) Q3 • 3. -- 1.1 5 [ ] ① === ... b] *".replace("[ ]", "[\u00a0]").split(" ")
    file = read_questions(write(tmp_path, "asked.txt", "\n".join(["Who?", *marks, "Question 4:", "IL-6", "ALL"])))

    assert [q.text for q in file.questions] == ["Who?", "IL-6", "ALL"]
    (note,) = file.notes
    shown = '(line 2 "1)", line 3 "a.", line 4 "-" and 14 more)'
    assert note == f"left out as list marks without a question: {len(marks) + 1} {shown}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufeffid;question;query\n1;Who?;\n2;Why, then?;scurvy[ti]\n"),
        ("a.csv", "id\tquestion\tquery\n1\tWho?\n2\tWhy, then?\tscurvy[ti]\n"),
        ("a.tsv", 'id,question,query\n1,Who?\n2,"Why, then?",scurvy[ti]\n'),
        ("a.csv", "sep=;\nid;question;query\n1;Who?;\n2;Why, then?;scurvy[ti]\n"),
        ("a.csv", 'id,question,query,,\n1,Who?,,,\n2,"Why, then?",scurvy[ti],,,,\n'),
        ("a.csv", 'id,question,,query\n1,Who?,,\n2,"Why, then?",,scurvy[ti]\n'),
    ],
)
def test_a_table_is_read_whatever_parts_its_cells_and_whatever_is_empty(
    tmp_path: Path, name: str, content: str
) -> None:
    for codec in ("utf-8", "utf-16", "utf-32"):
        file = read_questions(write(tmp_path, name, content.removeprefix("\ufeff" * (codec != "utf-8")).encode(codec)))
        assert [(q.id, q.text, q.query) for q in file.questions] == [
            ("1", "Who?", None),
            ("2", "Why, then?", "scurvy[ti]"),
        ]
        assert file.notes == ()


def test_the_users_own_columns_are_carried_along(tmp_path: Path) -> None:
    content = "Category,question,notes\nendo, Who? ,génes\n,What?,\nother,who?,\n"
    file = read_questions(write(tmp_path, "asked.csv", content))

    assert [q.user_columns for q in file.questions] == ['{"Category": "endo", "notes": "génes"}', None]
    assert file.notes == (
        "columns of your own, kept with the answers: Category, notes",
        'repeated with other values in your own columns, of which the first are kept: 1 (line 4 "who?")',
    )
    lines = '{"question": "Who?", "year": 2020, "tags": ["a", {"b": null}], "none": null, "ok": true, "note": "x"}\n'
    (question,) = read_questions(write(tmp_path, "asked.jsonl", lines)).questions
    assert json.loads(question.user_columns or "") == {
        **{"year": "2020", "tags": '["a", {"b": null}]', "ok": "true", "note": "x"}
    }


def test_a_question_that_is_a_query_is_told_from_one_that_asks(tmp_path: Path) -> None:
    content = "scurvy[ti] AND vitamin c[mh]\nWhich is better, aspirin OR ibuprofen?\nexp Asthma/ and child$.ti,ab.\n"
    file = read_questions(write(tmp_path, "asked.txt", content))
    assert [q.text for q in file.questions if q.id in file.pasted] == content.splitlines()[::2]
    table = read_questions(write(tmp_path, "asked.csv", "question,query\nscurvy[ti] AND vitamin,scurvy[ti]\n"))
    assert not table.pasted  # the query stands beside it


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Who?\nWhy?\n", ["Who?", "Why?"]),
        ('\n{"question": "Who?"}\n{"question": "Why?"}\n', ["Who?", "Why?"]),
        ("id;question\na;Who?\nb;Why?\n", ["Who?", "Why?"]),
    ],
)
def test_what_comes_through_a_pipe_is_told_apart_by_its_beginning(
    tmp_path: Path, content: str, expected: list[str]
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, content.encode())
    os.close(write_end)
    try:
        file = read_questions(Path(f"/dev/fd/{read_end}"))
    finally:
        os.close(read_end)
    assert [question.text for question in file.questions] == expected


BAD_FILES = [
    ("empty.txt", b"", None, "holds no question"),
    ("bom.txt", b"\xef\xbb\xbf", None, "holds no question"),
    ("comments.txt", b"# one\n\n  # two\n", None, "holds no question"),
    ("header.csv", b"question,id\n", None, "holds no question"),
    ("empty.tsv", b"", None, "holds no question"),
    ("empty.jsonl", b"\n\n", None, "holds no question"),
    ("binary.txt", b"What is\x00", None, "zero byte at offset 7"),
    ("wide.txt", "What is BRCA1?".encode("utf-16-le"), None, "zero byte at offset 1"),
    ("wide-be.txt", b"\xfe\xff\x00W\x00", None, "broken UTF-16 .truncated data.: save it as UTF-8"),
    ("latin1.txt", b"# ok\r\nWhat is caf\xe9?\n", 2, r"byte 0xe9 \(byte 12 of the line\) is not UTF-8"),
    ("cut.txt", b"What is caf\xc3", 1, r"byte 0xc3 \(byte 12 of the line\)"),
    ("old-mac.txt", b"What?\r\xff", 2, r"byte 0xff \(byte 1 of the line\)"),
    ("asked.nbib", b"PMID- 1\n", None, "holds records, not questions: name it as `files`"),
    ("asked.txt", b"\nPMID- 90000001\nTI  - A title\n", None, "holds records, not questions"),
    ("asked.txt", b"TY  - JOUR\nTI  - A title\n", None, "holds records, not questions"),
    ("asked.txt", b' [\n {"question": "Who?"}]', None, "JSON is read as JSON Lines"),
    ("asked.xlsx", b"PK\x03\x04", None, "save it as CSV"),
    ("asked.docx", b"", None, r"a Word document is not read: save it as plain text \(UTF-8\)"),
    ("word.txt", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml word/document.xml", None, "a compressed file"),
    (
        "odt.txt",
        b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.text",
        None,
        "an OpenDocument",
    ),
    ("old.txt", b"\xd0\xcf\x11\xe0" + "WordDocument".encode("utf-16-le"), None, "a Word document is not read"),
    ("rtf.txt", rb"{\rtf1\ansi What causes scurvy?}", None, "a Word/RTF document is not read: save it as plain text"),
    ("pdf.txt", b"%PDF-1.7", None, "a PDF is not read"),
    ("page.txt", b"<!-- x -->\n<HTML lang=en>What?", None, "a web page is not read"),
    ("asked.json", b"[]", None, "JSON Lines"),
    ("json.txt", b'[\n "What causes scurvy?"]', None, "JSON Lines"),
    ("asked.gz", b"\x1f\x8b", None, "unpack it"),
    ("tab.txt", b"a\n# c\nWhat is BRCA1?\tg1\n", 3, r"name the file \.tsv"),
    ("table.txt", b"# mine\nid;Question\n1;What is BRCA1?\n", 2, r"header of a table: name the file \.csv"),
    ("column.txt", b'"question"\nWhat is BRCA1?\n', 1, "header of a table"),
    ("nearly.txt", b"Questions,Topic\n", 1, "header of a table"),
    ("excel.txt", b"sep=;\nid;question\n", 1, "header of a table"),
    ("mark.txt", b"What is BRCA1?\n???\n", 2, "has no words"),
    ("mark.csv", b"question\n1)\n", 2, "has no words: 1"),
    ("marks.txt", b"1)\n-\n", None, "list marks: 2"),
    ("bell.txt", b"What is\x07 BRCA1?\n", 1, r"control character \(U\+0007, position 8\)"),
    ("long.txt", b"ok?\n" + b"What " * 500, 2, r"2499 characters, more than 2000"),
    ("column.tsv", b"quesion\tid\n", 1, "unknown column 'quesion'"),
    ("columns.tsv", b"question\tids\tQUERY\tQuesion\n", 1, "unknown column 'ids', 'Quesion': is id, question meant"),
    ("semicolon.csv", b"question;id\n", None, "holds no question"),
    ("unnamed.csv", b"id,question,\n1,What?,here\n", 2, "a cell stands under no name .'here'.: name its column"),
    ("semicolons.csv", b"question;id\nWhat; really?;a\n", 2, "separating semicolons"),
    ("own-bell.csv", b"question,note\nWhat?,\x07\n", 2, "the note holds a control character"),
    ("own-long.csv", b"question,note\nWhat?," + b"x" * 10_001 + b"\n", 2, "note has 10,001 characters"),
    ("own-many.csv", b"question" + b"".join(b",c%d" % i for i in range(101)) + b"\n", 1, "has 101 columns of its own"),
    ("no-header.csv", b"What is BRCA1?\n", 1, "a table has a header line"),
    ("missing.csv", b"id,query\n", 1, "the column question is missing"),
    ("twice.csv", b"question,Question\n", 1, "stands there twice"),
    ("empty-cell.csv", b"question,id\nWhat?,a\n  ,b\n", 3, "the question is empty"),
    ("cells.csv", b"question,id\nWhat is BRCA1, really?,a\n", 2, "has 3 cells under 2 columns"),
    ("open.csv", b'question\nWhat?\n"What is BRCA1?\nWho?\n', 3, "cannot be split into cells"),
    ("after-quote.tsv", b'question\n"Warburg effect" is what?\n', 2, "'tab' expected .* and doubles those inside"),
    ("id.csv", b"question,id\nWhat is BRCA1?,a\nWho found insulin?,a\n", 3, "the id 'a' already stands .* line 2"),
    ("id-merged.csv", b"question,id\nWhat?,a\nWhat?,b\nWho?,b\n", 4, "the id 'b' already stands .* line 3"),
    ("id-bell.csv", b"question,id\nWhat is BRCA1?,a\x1b\n", 2, "the id holds a control character"),
    ("query.csv", b"question,query\nWhat is BRCA1?,\nWhat is brca1?,BRCA1[ti]\n", 3, "line 2 with another query"),
    (
        "broken.jsonl",
        b'{"question": "What?"}\n{"question": }\n',
        2,
        "Expecting value, column 14",
    ),
    ("list.jsonl", b'["What?"]\n', 1, "is not a JSON object: write"),
    ("deep.jsonl", b"[" * 100_000, 1, "is not a JSON object"),
    ("digits.jsonl", b'{"id": ' + b"1" * 5000 + b"}", 1, "is not a JSON object"),
    ("key.jsonl", b'{"question": "What?", "quert": "x", "pmids": []}\n', 1, "unknown key 'quert': is query meant"),
    ("keys.jsonl", b'{"question": "What?", "question": "Who?"}\n', 1, "a key stands there twice"),
    ("no-key.jsonl", b'{"id": "a"}\n', 1, "the key question is missing"),
    ("null.jsonl", b'{"question": null}\n', 1, "question is not a string"),
    ("number.jsonl", b'{"question": "What?", "id": true}\n', 1, "id is not a string"),
    ("object.jsonl", b'{"question": {"a": 1}}\n', 1, "question is not a string"),
    ("blank.jsonl", b'{"question": " "}\n', 1, "the question is empty"),
    ("surrogate.jsonl", b'{"question": "What \\ud800?"}\n', 1, r"U\+D800"),
]


@pytest.mark.parametrize(("name", "content", "line", "message"), BAD_FILES, ids=[bad[0] for bad in BAD_FILES])
def test_bad_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, line: int | None, message: str
) -> None:
    path = write(tmp_path, name, content)

    with pytest.raises(InputError, match=message) as caught:
        read_questions(path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(caught.value).isprintable()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_questions(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path)


def test_words_of_a_header_in_a_question_are_asked(tmp_path: Path) -> None:
    text = "Question, id or query: what is that?\nquestion\nIn adults, what is BRCA1, and what is id?\n"
    assert len(read_questions(write(tmp_path, "asked.txt", text)).questions) == 3


def test_longest_question_passes(tmp_path: Path) -> None:
    longest = "W" * MAX_QUESTION_CHARS
    assert read_questions(write(tmp_path, "asked.txt", longest)).questions[0].text == longest


VISIBLE = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))
CELL = st.text(VISIBLE, max_size=40).map(normalize_text)
ROW = st.tuples(CELL.filter(lambda text: any(map(str.isalnum, text)) and not is_lone_mark(text)), CELL, CELL)


@given(rows=st.lists(ROW, min_size=1, max_size=8), escaped=st.booleans())
def test_formats_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], escaped: bool
) -> None:
    """Distinct questions with distinct ids come back whole and in order, from CSV, TSV and JSON Lines alike."""
    assume(len({text.casefold() for text, _, _ in rows}) == len(rows))
    assume(all(without_list_mark(text)[0] == text for text, _, _ in rows))
    ids = [identifier or default_id(text) for text, identifier, _ in rows]
    assume(len(set(ids)) == len(ids))
    folder = tmp_path_factory.mktemp("formats")
    json_lines = "".join(
        json.dumps({"query": query, "question": text, "id": identifier}, ensure_ascii=escaped) + "\n"
        for text, identifier, query in rows
    )
    expected = tuple(
        Question(identifier, text, query or None, line=None)
        for identifier, (text, _, query) in zip(ids, rows, strict=True)
    )

    for name, content, first_line in [
        ("asked.csv", table(rows, ","), 2),
        ("asked.tsv", table(rows, "\t"), 2),
        ("asked.jsonl", json_lines, 1),
    ]:
        file = read_questions(write(folder, name, content))
        assert [question.line for question in file.questions] == list(range(first_line, first_line + len(rows)))
        assert tuple(Question(q.id, q.text, q.query) for q in file.questions) == expected
        assert file.merged == ()


@given(texts=st.lists(ROW.map(lambda row: row[0]), min_size=1, max_size=12), seed=st.randoms())
def test_text_file_merges_like_a_set(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], seed: random.Random
) -> None:
    """Whatever the order and the repetitions, each question is asked once, under the same id, and no line is lost."""
    texts = [text for text in texts if not text.startswith("#") and without_list_mark(text)[0] == text] or ["What?"]
    shuffled = seed.sample(texts, len(texts))
    folder = tmp_path_factory.mktemp("text")
    file = read_questions(write(folder, "a.txt", "\n".join(texts)))
    other = read_questions(write(folder, "b.txt", "\n".join(shuffled)))

    distinct = {text.casefold() for text in texts}
    assert [q.text for q in file.questions] == [
        text for i, text in enumerate(texts) if text.casefold() not in {t.casefold() for t in texts[:i]}
    ]
    assert {q.id for q in file.questions} == {q.id for q in other.questions}
    assert len({q.id for q in file.questions}) == len(distinct)
    repeated = sum(len(merged.lines) - 1 for merged in file.merged)
    assert len(file.questions) + repeated == len(texts)
