"""Every format that records come in: what its reader makes of a file as the program writes it."""

from __future__ import annotations

import gzip
import lzma
import random
from dataclasses import replace
from pathlib import Path

import pytest

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.files.bibtex import bibtex_records
from bioqa_pipeline.sources.files.reading import FileContent, read_records
from bioqa_pipeline.sources.files.values import NO_PMID, FoundRecord, RecordFormat
from support import exported_files as files

QUININE, ZINC = 90_000_001, 90_000_002


def read(tmp_path: Path, text: str | bytes, name: str = "export") -> FileContent:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_records(path)


def abstracts(content: FileContent) -> list[Abstract]:
    return [record.abstract for record in content.records]


def test_a_record_in_medline_format_is_that_of_its_xml(tmp_path: Path) -> None:
    found = read(tmp_path, files.NBIB)
    assert found.format is RecordFormat.NBIB and not found.bad
    assert [(r.line, r.pmcid) for r in found.records] == [(1, "PMC9900001"), (39, None)]
    (tmp_path / "r.xml").write_text(files.XML)
    (of_xml,) = parse_records(tmp_path / "r.xml", name="r.xml")
    assert isinstance(of_xml, Abstract)
    # A label stands in the text alone there.
    assert replace(of_xml, sections=()) == abstracts(found)[0]
    assert of_xml.content_hash == abstracts(found)[0].content_hash


def test_what_medline_format_says_of_retractions_and_dates(tmp_path: Path) -> None:
    record = abstracts(read(tmp_path, files.NBIB))[1]
    assert record.is_retracted and record.text == "" and record.pub_date == "1998-12"
    assert [(c.ref_type, c.pmid) for c in record.corrections] == [("RetractionIn", 90_000_010)]


def test_pubmeds_table(tmp_path: Path) -> None:
    found = read(tmp_path, files.PUBMED_CSV)
    assert found.format is RecordFormat.TABLE and not found.bad
    assert [record.pmcid for record in found.records] == ["PMC9900001", None]
    assert abstracts(found) == [
        Abstract(
            QUININE,
            title="Quinine for malaria, a trial",
            journal="J Own",
            pub_date="2019",
            pub_date_raw="2019",
            doi="10.9999/own.1",
            authors=("Makar AB", "King ML"),
        ),
        Abstract(
            ZINC, title="Zinc in diarrhoea", journal="J Own", pub_date="1998", pub_date_raw="1998", authors=("Özil M",)
        ),
    ]


def test_ris(tmp_path: Path) -> None:
    found = read(tmp_path, files.RIS)
    assert found.format is RecordFormat.RIS and not found.bad
    quinine, zinc, book = abstracts(found)
    assert quinine == Abstract(
        QUININE,
        title="Quinine for malaria",
        text="Malaria is old. The drug that treats malaria is quinine (n - 100).",
        journal="J Own",
        pub_date="2019-05-12",
        pub_date_raw="May 12",
        doi="10.9999/own.1",
        languages=("eng",),
        authors=("Makar AB", "King ML"),
        publication_types=("Journal Article", "Review"),
    )
    assert (zinc.pmid, zinc.text, zinc.pub_date) == (ZINC, "Zinc treats diarrhoea.", "1998-12")
    assert (zinc.journal, zinc.languages) == ("Journal of our own writing", ("eng",))
    assert (book.pmid, book.publication_types, book.text) == (NO_PMID, (), "It has an abstract.")
    assert [record.line for record in found.records] == [1, 22, 34]


def test_endnote_tagged(tmp_path: Path) -> None:
    found = read(tmp_path, files.ENW)
    assert found.format is RecordFormat.ENW and not found.bad
    quinine, zinc = abstracts(found)
    assert quinine.text == "Malaria is old. % of all: The drug that treats malaria is quinine."
    assert (quinine.pmid, quinine.pub_date, quinine.doi) == (QUININE, "2019-05-12", "10.9999/own.1")
    assert quinine.publication_types == ("Journal Article", "Review")
    assert (zinc.pmid, zinc.text) == (ZINC, "Zinc treats diarrhoea.")


def test_endnote_xml(tmp_path: Path) -> None:
    found = read(tmp_path, files.ENDNOTE_XML)
    assert found.format is RecordFormat.ENDNOTE_XML
    quinine, zinc = abstracts(found)
    assert quinine.title == "Quinine for malaria" and quinine.journal == "Journal of our own writing"
    assert quinine.text == "Malaria is old. The drug that treats malaria is quinine; p < 0.05."
    assert (quinine.pmid, quinine.pub_date, quinine.authors) == (QUININE, "2019-12-03", ("Makar AB",))
    assert zinc.pmid == ZINC
    assert [(part.line, "undefined" in part.reason) for part in found.bad] == [(9, True)]


def test_zoteros_table(tmp_path: Path) -> None:
    found = read(tmp_path, files.ZOTERO_CSV)
    quinine, zinc = abstracts(found)
    assert quinine.text == 'Malaria is old. The drug that treats malaria is "quinine".'
    assert (quinine.pmid, quinine.pub_date, quinine.authors) == (QUININE, "2019-12-03", ("Makar AB", "King ML"))
    assert (zinc.pmid, zinc.doi) == (NO_PMID, "10.9999/own.2")
    assert [record.line for record in found.records] == [2, 5]


def test_bibtex(tmp_path: Path) -> None:
    found = read(tmp_path, files.BIBTEX)
    assert found.format is RecordFormat.BIBTEX
    quinine, zinc = abstracts(found)
    assert quinine.title == "Quinine for Malaria in Österreich" and quinine.journal == "J Own"
    assert quinine.text == (
        "Malaria is old. Fever fell in 50% of them, p < 0.05. The drug that treats malaria is quinine."
    )
    assert (quinine.pmid, quinine.pub_date) == (QUININE, "2019-12")
    assert quinine.authors == ("Makar AB", "Özil M", "Quinine Group")
    assert (zinc.pmid, zinc.text) == (ZINC, "Zinc treats diarrhoea in 100% of us.")
    assert [part.line for part in found.bad] == [16]


@pytest.mark.parametrize(
    ("written", "authors"),
    [
        ("Makar, Anna B. and others", ("Makar AB", "et al.")),
        (r"{Simon and Schuster} AND {\"O}zil, M.~L.", ("Simon and Schuster", "Özil ML")),
        ("{Smith, Jones and Co} and {Group {A and B}}", ("Smith, Jones and Co", "Group A and B")),
        ("King, Jr., ML\n and\n van der Berg, III, Jan", ("King ML Jr", "van der Berg J III")),
        ("King, Martin Luther, Jr. and Makar AB", ("King ML Jr", "Makar AB")),
        ("{de la Cruz}, Ana and Brand, Ada, Eve, X", ("de la Cruz A", "Brand A Eve, X")),
    ],
)
def test_braces_and_commas_say_in_bibtex_what_is_one_name(written: str, authors: tuple[str, ...]) -> None:
    (record,) = bibtex_records(f"@article{{a, pmid = {{7}}, Author = {{{written}}}}}")
    assert isinstance(record, FoundRecord) and record.abstract.authors == authors


def test_a_list_of_identifiers(tmp_path: Path) -> None:
    found = read(tmp_path, files.LIST)
    assert found.format is RecordFormat.LIST and not found.bad
    named = [record.abstract.pmid or record.identifier for record in found.records]
    numbers = [90_000_000 + n for n in (1, 2, 3, 1, 4, 5, 9)]
    assert named == [*numbers[:6], "PMC9900006", "10.9999/own.7", "10.9999/own.8", numbers[6]]


@pytest.mark.parametrize("encode", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["NBIB", "RIS", "PUBMED_CSV", "ENW", "BIBTEX", "ZOTERO_CSV", "ENDNOTE_XML", "LIST"])
def test_encodings_and_line_ends_make_no_difference(tmp_path: Path, name: str, end: str, encode: str) -> None:
    text: str = getattr(files, name)
    wanted = read(tmp_path, text)
    found = read(tmp_path, text.replace("\n", end).encode(encode), "other")
    assert (found.format, found.records, len(found.bad)) == (wanted.format, wanted.records, len(wanted.bad))


def test_a_few_broken_bytes_do_not_make_another_encoding(tmp_path: Path) -> None:
    found = read(tmp_path, files.RIS.encode().replace(b"(n - 100)", "µg α β ".encode() + b"\xe9"))
    assert "µg α β �" in abstracts(found)[0].text and abstracts(found)[1].authors == ("Özil M",)


@pytest.mark.parametrize(
    ("text", "n_good", "bad"),
    [
        (files.NBIB.replace("PMID- 90000001", "PMID- 9x"), 1, [(1, "its PMID is '9x'")]),
        (files.NBIB.replace("PMID- 90000002\nOWN", "OWN"), 1, [(39, "it has no PMID; it begins with 'OWN - NLM'")]),
        (files.NBIB + "\nPMID- \n", 2, [(51, "it has no PMID; it begins with 'PMID-'")]),
        (files.RIS.replace("TY  - BOOK\n", ""), 2, [(34, "it begins with TI, not with TY")]),
        (files.PUBMED_CSV + "1,2,3,4,5,6,7,8,9,10,11,12\n", 2, [(4, "the row has 12 cells under 11 columns")]),
        (files.PUBMED_CSV.replace("Zinc in", '"Zinc" in'), 1, [(3, "the row cannot be split into cells: ")]),
        (files.PUBMED_CSV.replace('"Quinine for', '"Quinine" "for'), 1, [(2, "the row cannot be split into cells: ")]),
        (files.LIST + "aspirin\n", 10, [(9, "'aspirin' is not a PMID, PMCID or DOI")]),
        (files.ENW + "%0 Journal Article\n%8 1\n", 2, [(27, "it has neither a title nor an identifier")]),
    ],
)
def test_a_broken_record_costs_itself_alone(tmp_path: Path, text: str, n_good: int, bad: list[tuple[int, str]]) -> None:
    found = read(tmp_path, text)
    assert len(found.records) == n_good
    assert [part.line for part in found.bad] == [line for line, _ in bad]
    for part, (_, reason) in zip(found.bad, bad, strict=True):
        assert part.reason.startswith(reason)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"PK\x03\x04" + bytes(26) + b"word/document.xml", "is a Word document; .* save it as plain text"),
        (b"PK\x03\x04xl/workbook.xml", "is a spreadsheet; export the records from where you found them, or .* as CSV"),
        (b"<!doctype html><p>90000001", "is a web page"),
        (b"<rss><channel/></rss>", "is XML, but neither PubMed's nor EndNote's"),
        (b"Only words here\nand here\n", "'and' is not a PMID"),
        (b"<PubmedArticleSet><PubmedArticle>", "holds no record"),
        (b"TY  - JOUR\nER  - \n", "neither a title nor an identifier"),
        (b"PMID,Title\n", "holds no record"),
        (bytes(range(256)) * 20, "is no text"),
        (lzma.compress(files.LIST.encode()), "is no text: an archive"),
        (gzip.compress(files.RIS.encode()), "unpack it first, unless it is PubMed XML"),
        (b"PK\x05\x06" + bytes(18), "is an empty archive"),
    ],
)
def test_what_holds_no_records_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read(tmp_path, data)
    assert str(refused.value).startswith(str(tmp_path / "export")) and "\n" not in str(refused.value)


FORMATS = ("NBIB", "RIS", "ENW", "PUBMED_CSV", "ZOTERO_CSV", "ENDNOTE_XML", "BIBTEX", "LIST", "XML")
JUNK = (
    *(b"\n\n", b"TY  - JOUR\n", b"ER  - \n", b"PMID- ", b"%0 ", b"@article{", b"{", b"}", b'"', b"\x00", b"\xff\xfe"),
    *(b"<record>", b"</record>", b"&x;", b"$", b"\r", b"\xf0\x9f", b"9" * 5000, b"@string{a=", b"PMID,Title\n"),
    *(b"\\", b"{" * 300),
)


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_is_in_a_file_it_gives_records_or_is_refused(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    whole: bytes = getattr(files, name).encode()
    refusals: list[str] = []
    for _ in range(15):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.choice((0, 0, 1, 40))] = chance.choice((*JUNK, b"", whole[: chance.randint(1, 400)]))
        try:
            found = read(tmp_path, bytes(data))
        except InputError as exc:
            refusals.append(str(exc))
            continue
        for record in found.records:
            assert not record.is_bare or record.abstract.pmid or record.identifier
            assert record.abstract.pmid >= 0 and record.abstract.text == record.abstract.text.strip()
    assert not any("\n" in refusal for refusal in refusals)


def test_pmids_that_a_spreadsheet_took_for_numbers_are_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    damaged = ("90000002.5", "1E+07", '"9,00E+07"', "####")
    lines = "".join(f"{pmid},C,It may be.,\n" for pmid in damaged)
    path.write_text(f"PMID,Title,Abstract,DOI\n90000001.0,A,It is so.,\n,B,It is not.,\n{lines}9E+07,D,So,10.1000/x\n")
    found = read_records(path)
    records = [record.abstract for record in found.records]
    assert [(one.pmid, one.doi) for one in records] == [(90000001, None), (0, None), (0, "10.1000/x")]
    assert [part.line for part in found.bad] == [4, 5, 6, 7]
    assert [part.reason.partition(";")[0] for part in found.bad] == [
        f"its PMID is {pmid.strip(chr(34))!r}" for pmid in damaged
    ]
    assert ["a spreadsheet has rounded it" in part.reason for part in found.bad] == [False, True, True, True]
