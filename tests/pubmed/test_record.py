"""The fields of PubMed records, each trap by hand."""

from __future__ import annotations

import io
from typing import cast

import pytest

from bioqa_pipeline.pubmed.fields import clean_doi, iso_date, printed_date, split_title, whole_number
from bioqa_pipeline.pubmed.record import MAX_TEXT_CHARS
from bioqa_pipeline.pubmed.xml import BadRecord, parse_records
from bioqa_pipeline.records.texts import Abstract, Correction, OtherAbstract, Section
from support.pubmed_reading import article, document


def parse(*records: str) -> list[object]:
    return list(parse_records(io.BytesIO(document(*records)), name="file.xml"))


def one(xml: str) -> Abstract:
    (record,) = parse(xml)
    return cast(Abstract, record)


FULL = """<PubmedArticle><MedlineCitation Status="PubMed-not-MEDLINE" Owner="NLM">
<PMID Version="2">12345678</PMID>
<DateCompleted><Year>2019</Year><Month>01</Month><Day>01</Day></DateCompleted>
<DateRevised><Year>2020</Year><Month>02</Month><Day>03</Day></DateRevised>
<Article PubModel="Print-Electronic">
<Journal><ISSN>1</ISSN><JournalIssue><PubDate><Year>2019</Year><Month>May</Month></PubDate></JournalIssue>
<Title>Journal of <i>Things</i></Title><ISOAbbreviation>J Things</ISOAbbreviation></Journal>
<ArticleTitle>[About the <i>BRCA1</i> gene].</ArticleTitle>
<ELocationID EIdType="pii">10.1/not-this</ELocationID>
<ELocationID EIdType="doi" ValidYN="N">10.1234/invalid</ELocationID>
<ELocationID EIdType="doi" ValidYN="Y">10.1234/second-choice</ELocationID>
<Abstract><AbstractText Label="AIM" NlmCategory="OBJECTIVE">To see.</AbstractText>
<AbstractText Label="RESULTS" NlmCategory="RESULTS">Seen in 10<sup>6</sup> cells.</AbstractText>
<CopyrightInformation>© 2019 The <b>Owner</b>.</CopyrightInformation></Abstract>
<AuthorList CompleteYN="Y">
<Author ValidYN="Y"><LastName>Makar</LastName><ForeName>Ann B</ForeName><Initials>AB</Initials>
<AffiliationInfo><Affiliation>Here, PMID 99</Affiliation></AffiliationInfo></Author>
<Author ValidYN="N"><LastName>Wrong</LastName><Initials>W</Initials></Author>
<Author ValidYN="Y"><LastName>King</LastName><Initials>ML</Initials><Suffix>Jr</Suffix></Author>
<Author><LastName>Plato</LastName></Author><Author><LastName>Doe</LastName><ForeName>Jane</ForeName></Author>
<Author ValidYN="Y"><CollectiveName>The <i>Group</i></CollectiveName></Author><Author/></AuthorList>
<Language>ENG</Language><Language>fre</Language>
<PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType></PublicationTypeList>
<VernacularTitle>À propos du gène <i>BRCA1</i>.</VernacularTitle>
<ArticleDate DateType="Electronic"><Year>2019</Year><Month>03</Month><Day>09</Day></ArticleDate></Article>
<MedlineJournalInfo><MedlineTA>J Th</MedlineTA></MedlineJournalInfo>
<CommentsCorrectionsList>
<CommentsCorrections RefType="Cites"><RefSource>A. 1</RefSource><PMID Version="1">1</PMID></CommentsCorrections>
<CommentsCorrections RefType="ErratumIn"><RefSource>J Th. 2</RefSource><PMID Version="1">22</PMID></CommentsCorrections>
<CommentsCorrections RefType="UpdateOf"><RefSource>J Th. 3</RefSource></CommentsCorrections></CommentsCorrectionsList>
<MeshHeadingList>
<MeshHeading><DescriptorName MajorTopicYN="N">Humans</DescriptorName></MeshHeading>
<MeshHeading><DescriptorName MajorTopicYN="N">Genes, BRCA1</DescriptorName>
<QualifierName>genetics</QualifierName></MeshHeading>
</MeshHeadingList>
<OtherAbstract Type="Publisher" Language="fre"><AbstractText Label="BUT">Voir.</AbstractText>
<CopyrightInformation>not text</CopyrightInformation></OtherAbstract>
<OtherAbstract Type="plain-language-summary"><AbstractText>In short.</AbstractText></OtherAbstract>
<OtherAbstract Type="Publisher" Language="ger"><AbstractText/></OtherAbstract>
<InvestigatorList><Investigator ValidYN="Y"><LastName>Nobody</LastName></Investigator></InvestigatorList>
</MedlineCitation><PubmedData>
<ArticleIdList><ArticleId IdType="pubmed">12345678</ArticleId>
<ArticleId IdType="doi">doi: 10.1234/ABC</ArticleId></ArticleIdList>
<ReferenceList><Reference><Citation>X</Citation><ArticleIdList><ArticleId IdType="doi">10.9/cited</ArticleId>
<ArticleId IdType="pubmed">7</ArticleId></ArticleIdList></Reference></ReferenceList></PubmedData></PubmedArticle>"""


def test_all_fields_of_an_article() -> None:
    assert one(FULL) == Abstract(
        pmid=12345678,
        version=2,
        title="About the BRCA1 gene.",
        text="AIM: To see. RESULTS: Seen in 10^6 cells.",
        sections=(Section("AIM", "OBJECTIVE", 5, 12), Section("RESULTS", "RESULTS", 22, 41)),
        journal="Journal of Things",
        pub_date="2019-03-09",
        pub_date_raw="2019 May",
        print_date="2019-05",
        electronic_date="2019-03-09",
        doi="10.1234/abc",
        languages=("eng", "fre"),
        vernacular_title="À propos du gène BRCA1.",
        authors=("Makar AB", "King ML Jr", "Plato", "Doe Jane", "The Group"),
        mesh_terms=("Humans", "Genes, BRCA1"),
        publication_types=("Journal Article",),
        corrections=(Correction("ErratumIn", 22, "J Th. 2"), Correction("UpdateOf", None, "J Th. 3")),
        other_abstracts=(
            OtherAbstract("Publisher", "fre", "BUT: Voir."),
            OtherAbstract("plain-language-summary", "eng", "In short."),
        ),
        copyright="© 2019 The Owner.",
        is_retracted=False,
        is_book=False,
        status="PubMed-not-MEDLINE",
        date_revised="2020-02-03",
        journal_names=("J Things", "J Th", "1"),
    )


BOOK = """<PubmedBookArticle><BookDocument><PMID Version="1">20301295</PMID>
<ArticleIdList><ArticleId IdType="bookaccession">NBK1116</ArticleId>
<ArticleId IdType="doi">10.5555/doc</ArticleId></ArticleIdList>
<Book><Publisher><PublisherName>P</PublisherName></Publisher><BookTitle book="gene">GeneReviews<sup>®</sup></BookTitle>
<PubDate><Year>1993</Year></PubDate><AuthorList Type="editors"><Author><LastName>Ed</LastName></Author></AuthorList>
<AuthorList Type="authors"><Author><LastName>Whole</LastName><Initials>W</Initials></Author></AuthorList>
<ELocationID EIdType="doi">10.5555/book</ELocationID></Book>
<ArticleTitle book="gene" part="kss">{title}</ArticleTitle><Language>eng</Language>
<AuthorList Type="authors">{authors}</AuthorList><PublicationType UI="D016454">Review</PublicationType>
<Abstract><AbstractText Label="Summary">It is <i>so</i>.</AbstractText>
<CopyrightInformation>©</CopyrightInformation></Abstract>
<Sections><Section><SectionTitle book="gene" part="kss.S">Not text</SectionTitle></Section></Sections>
{contributed}<ReferenceList>
<Reference><ArticleIdList><ArticleId IdType="doi">10.9/cited</ArticleId></ArticleIdList></Reference>
</ReferenceList></BookDocument>
<PubmedBookData><ArticleIdList><ArticleId IdType="pubmed">20301295</ArticleId></ArticleIdList>
</PubmedBookData></PubmedBookArticle>"""


def test_chapter_of_a_book() -> None:
    contributed = "<ContributionDate><Year>2003</Year><Month>12</Month><Day>17</Day></ContributionDate>"
    author = "<Author><LastName>Goldstein</LastName><Initials>A</Initials></Author>"
    assert one(BOOK.format(title="Deletion.", authors=author, contributed=contributed)) == Abstract(
        pmid=20301295,
        title="Deletion.",
        text="Summary: It is so.",
        sections=(Section("Summary", None, 9, 18),),
        journal="GeneReviews®",
        pub_date="2003-12-17",
        pub_date_raw="2003 12 17",
        doi="10.5555/doc",
        languages=("eng",),
        authors=("Goldstein A",),
        publication_types=("Review",),
        copyright="©",
        is_book=True,
    )


def test_whole_book() -> None:
    xml = BOOK.format(title="", authors="", contributed="").replace('IdType="doi">10.5555/doc', 'IdType="pmc">x')
    book = one(xml)
    assert (book.title, book.journal, book.pub_date) == ("GeneReviews®", "GeneReviews®", "1993")
    assert (book.authors, book.doi) == ((), "10.5555/book")
    chapter = one(xml.replace('part="kss"></ArticleTitle>', 'part="kss">Title</ArticleTitle>'))
    assert (chapter.title, chapter.doi) == ("Title", None)


def types(*pairs: tuple[str, str]) -> str:
    names = "".join(f"<PublicationType{f' UI={ui!r}' if ui else ''}>{name}</PublicationType>" for ui, name in pairs)
    return f"<PublicationTypeList>{names}</PublicationTypeList>"


def link(ref_type: str, inside: str = "<RefSource>J</RefSource>") -> str:
    element = f'<CommentsCorrections RefType="{ref_type}">{inside}</CommentsCorrections>'
    return f"<CommentsCorrectionsList>{element}</CommentsCorrectionsList>"


RETRACTED, WITHDRAWN, REMOVED, IN_PART = "retracted", "withdrawn", "removed", "retracted in part"
REPUBLISHED = "retracted and republished"


@pytest.mark.parametrize(
    ("parts", "how"),
    [
        ({"article": types(("D016441", "Retracted Publication"))}, RETRACTED),
        ({"article": types(("", "RETRACTED PUBLICATION"))}, RETRACTED),
        ({"citation": link("RetractionIn")}, RETRACTED),
        ({"citation": link("RetractionIn", "<RefSource>J</RefSource><PMID/>")}, RETRACTED),
        ({"citation": link("RetractedandRepublishedIn")}, REPUBLISHED),
        ({"citation": link("PartialRetractionIn")}, IN_PART),
        ({"citation": link("PartialRetractionIn"), "title": "RETRACTED: Scurvy"}, RETRACTED),
        ({"citation": link("PartialRetractionOf"), "title": "Partially retracted: Scurvy"}, None),
        ({"citation": link("RetractionIn"), "title": "WITHDRAWN: Scurvy"}, WITHDRAWN),
        *(({"title": title}, RETRACTED) for title in (
            "RETRACTED: Scurvy", "[Retracted] Scurvy", "[Retracted article: Scurvy].", "<b>Retracted</b> - Scurvy",
            "Scurvy in sailors [RETRACTED].", "Scurvy. (Retracted article. See vol. 12, pg 3, 2010)",
            "[This article was retracted] Scurvy", "RETRACTED Scurvy in sailors", "Scurvy in sailors - RETRACTED.",
            "RETRACTED ARTICLE: Scurvy", "Retracted case report: Scurvy", "RETRACTED:Scurvy",
            "Article retracted: Scurvy",
            "Retracted by the authors: Scurvy", "RETRACTED; Scurvy", "RETRACTED STUDY: Scurvy", "*RETRACTED*: Scurvy",
        )),
        *(({"title": title}, WITHDRAWN) for title in (
            "WITHDRAWN: Scurvy", "(Withdrawn) Scurvy", "Withdrawn as duplicate: Scurvy", "WITHDRAWN PREPRINT: Scurvy",
            "Paper withdrawn: Scurvy", "Scurvy [Withdrawn]",
        )),
        *(({"title": title}, REMOVED) for title in ("REMOVED: Scurvy", "TEMPORARY REMOVAL: Scurvy")),
        *(({"title": title}, IN_PART) for title in ("Partially retracted: Scurvy", "Scurvy [PARTIALLY RETRACTED]")),
        ({"title": "Retracted and replaced: Scurvy"}, REPUBLISHED),
        *(({"title": title}, None) for title in (
            "Removed: a study of tonsils", "Stem-cell paper retracted: what now?", "[DRUGS RECENTLY WITHDRAWN]",
            "Retracted articles: a review of scurvy", "Withdrawn drugs", "Retraction: Scurvy",
            "Retraction notice: Scurvy",
            "Outcome of retracted: a study", "Retracted eyelids after surgery: a case",
            "Withdrawn patients: who are they?",
            "Partial retraction: Scurvy", "Correction: Retracted tongue",
        )),
        ({"title": "Retracted: Scurvy", "citation": link("RetractionOf")}, None),
        ({"title": "Retracted: Scurvy", "article": types(("D016440", "Retraction of Publication"))}, None),
        ({"citation": link("RetractionOf"), "article": types(("D016440", "Retraction of Publication"))}, None),
        ({"article": types(("D016440", "Retraction Notice"))}, None),
        ({"citation": link("RetractionOf", "<RefSource>J</RefSource><PMID>5</PMID>")}, None),
        ({"citation": link("ErratumIn") + link("ExpressionOfConcernIn")}, None),
        ({"citation": link("Cites", "<RefSource>Retracted Publication</RefSource>")}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_retraction(parts: dict[str, str], how: str | None) -> None:
    """In part is no retraction of the record, which goes on to count."""
    record = one(article(**parts))
    assert (record.retraction, record.is_retracted) == (how, how not in (None, IN_PART))


def test_corrections_without_a_usable_pmid() -> None:
    for inside in ("<PMID/>", "<PMID>x</PMID>", ""):
        (correction,) = one(
            article(citation=link("RetractionIn", f"<RefSource> J  1 </RefSource>{inside}"))
        ).corrections
        assert correction == Correction("RetractionIn", None, "J 1")


def other(language: str, text: str, kind: str = "Publisher") -> str:
    return f'<OtherAbstract Type="{kind}"{language}><AbstractText Label="L">{text}</AbstractText></OtherAbstract>'


def test_other_abstract_stands_in_only_in_english_and_only_where_there_is_none() -> None:
    french = other(' Language="fre"', "Voir")
    plain = other(' Language="eng"', "In short", "plain-language-summary")
    english = other("", "To see", "NASA")
    record = one(article(citation=french + plain + english))
    assert record.text == "L: To see" and record.sections == (Section("L", None, 3, 9),)
    assert [o.kind for o in record.other_abstracts] == ["Publisher", "plain-language-summary", "NASA"]
    assert one(article(citation=french + plain)).text == "L: In short"
    assert one(article(citation=french)).text == ""
    assert one(article(citation=english, abstract="Own.")).text == "Own."
    assert one(article(citation=english, abstract="<AbstractText> </AbstractText>")).text == "L: To see"


def test_no_abstract_is_an_empty_text() -> None:
    record = one(article())
    assert (record.text, record.sections, record.copyright) == ("", (), None)
    copyright_only = one(article(abstract="<AbstractText/><CopyrightInformation>©</CopyrightInformation>"))
    assert (copyright_only.text, copyright_only.copyright) == ("", "©")


def issue(pub_date: str, more: str = "<Title>T</Title>") -> str:
    return f"<JournalIssue><PubDate>{pub_date}</PubDate></JournalIssue>{more}"


@pytest.mark.parametrize(
    ("pub_date", "iso", "raw"),
    [
        ("<Year>1998</Year>", "1998", "1998"),
        ("<Year>1998</Year><Month>Dec</Month>", "1998-12", "1998 Dec"),
        ("<Year>1998</Year><Month>12</Month><Day>3</Day>", "1998-12-03", "1998 12 3"),
        ("<Year>1998</Year><Month>December</Month><Day>03</Day>", "1998-12-03", "1998 December 03"),
        ("<Year>1998</Year><Season>Spring</Season>", "1998", "1998 Spring"),
        ("<Year>1998</Year><Season>Jul-Aug</Season>", "1998-07", "1998 Jul-Aug"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "1998-12", "1998 Dec-1999 Jan"),
        ("<MedlineDate>2000 Spring-Summer</MedlineDate>", "2000", "2000 Spring-Summer"),
        ("<MedlineDate>1947-1948</MedlineDate>", "1947", "1947-1948"),
        ("<MedlineDate>2001 Sep 11-17</MedlineDate>", "2001-09-11", "2001 Sep 11-17"),
        ("<MedlineDate>Winter 1985-1986</MedlineDate>", "1985", "Winter 1985-1986"),
        ("<MedlineDate>2019 May/Jun</MedlineDate>", "2019-05", "2019 May/Jun"),
        ("<MedlineDate>2019 Feb - Apr</MedlineDate>", "2019-02", "2019 Feb - Apr"),
        ("<MedlineDate>July-August 2003</MedlineDate>", "2003-07", "July-August 2003"),
        ("<MedlineDate>15 Mar 2001</MedlineDate>", "2001-03-15", "15 Mar 2001"),
        ("<MedlineDate>undated</MedlineDate>", "", "undated"),
        ("<Year>1998</Year><Month>13</Month><Day>3</Day>", "1998", "1998 13 3"),
        ("<Year>1998</Year><Month>2</Month><Day>30</Day>", "1998-02", "1998 2 30"),
        ("<Year>98</Year><Month>2</Month>", "", "98 2"),
        ("", "", ""),
    ],
)
def test_publication_date(pub_date: str, iso: str, raw: str) -> None:
    record = one(article(journal=issue(pub_date)))
    assert (record.pub_date, record.pub_date_raw) == (iso, raw)


@pytest.mark.parametrize(
    ("printed", "electronic", "expected"),
    [
        ("1965-06", "2008-01-15", "1965-06"),
        ("2003-01", "2002-03-21", "2002-03-21"),
        ("2002", "2002-03-21", "2002-03-21"),
        ("2002-03", "2002-03-21", "2002-03-21"),
        ("2002-03-20", "2002-03-21", "2002-03-20"),
        ("2002-04-01", "2002-03", "2002-03"),
        ("", "2002-03-21", "2002-03-21"),
        ("2003-01", "", "2003-01"),
        ("", "", ""),
    ],
)
def test_the_earlier_of_the_printed_and_the_electronic_date_counts(
    printed: str, electronic: str, expected: str
) -> None:
    def parts(iso: str) -> str:
        return "".join(
            f"<{n}>{v}</{n}>" for n, v in zip(("Year", "Month", "Day"), filter(None, iso.split("-")), strict=False)
        )

    record = one(article(journal=issue(parts(printed)), article=f"<ArticleDate>{parts(electronic)}</ArticleDate>"))
    assert (record.pub_date, record.print_date, record.electronic_date) == (expected, printed, electronic)


def test_only_a_date_of_the_electronic_article_is_one() -> None:
    def online(kind: str, year: str = "2002") -> str:
        return f"<ArticleDate{kind}><Year>{year}</Year><Month>03</Month><Day>21</Day></ArticleDate>"

    printed = issue("<Year>2003</Year><Month>Jan</Month>")
    assert one(article(journal=printed, article=online(' DateType="Electronic"'))).pub_date == "2002-03-21"
    assert one(article(journal=printed, article=online(' DateType="Print"'))).pub_date == "2003-01"
    assert one(article(journal=printed, article=online("", "x"))).pub_date == "2003-01"
    undated = one(article(article=online("")))
    assert (undated.pub_date, undated.pub_date_raw) == ("2002-03-21", "2002-03-21")


def test_concern_and_errata_are_pmids_or_citations() -> None:
    links = "".join(
        f'<CommentsCorrections RefType="{kind}"><RefSource>{source}</RefSource>{pmid}</CommentsCorrections>'
        for kind, source, pmid in (
            ("ExpressionOfConcernIn", "J 1", ""),
            ("ExpressionOfConcernIn", "J 2", "<PMID>99</PMID>"),
            ("ExpressionOfConcernFor", "J 3", "<PMID>98</PMID>"),
            ("ErratumIn", "J 4", "<PMID>97</PMID>"),
            ("ErratumFor", "J 5", "<PMID>96</PMID>"),
        )
    )
    record = one(article(citation=f"<CommentsCorrectionsList>{links}</CommentsCorrectionsList>"))
    assert (record.expressions_of_concern, record.errata, record.is_retracted) == (("J 1", "99"), ("97",), False)
    assert one(article()).errata == ()


def test_journal_names_in_order() -> None:
    medline = "<MedlineJournalInfo><MedlineTA>M</MedlineTA></MedlineJournalInfo>"
    iso = "<ISOAbbreviation>I</ISOAbbreviation>"
    assert one(article(journal=f"<Title>T</Title>{iso}", citation=medline)).journal == "T"
    assert one(article(journal=iso, citation=medline)).journal == "I"
    assert one(article(journal="", citation=medline)).journal == "M"


@pytest.mark.parametrize(
    ("identifiers", "location", "doi"),
    [
        ("10.1234/AbC", "", "10.1234/abc"),
        ("https://doi.org/10.1234/x", "", "10.1234/x"),
        ("", "10.1234/y", "10.1234/y"),
        ("not one", "10.1234/y", "10.1234/y"),
        ("", "", None),
    ],
)
def test_doi(identifiers: str, location: str, doi: str | None) -> None:
    elsewhere = '<ArticleIdList><ArticleId IdType="doi">10.9/z</ArticleId></ArticleIdList>'
    cited = f"<ReferenceList><Reference>{elsewhere}</Reference></ReferenceList>"
    own = f'<ArticleId IdType="pii">10.8/a</ArticleId><ArticleId IdType="doi">{identifiers}</ArticleId>'
    listed = f"<ArticleIdList>{own}</ArticleIdList>"
    placed = f'<ELocationID EIdType="doi">{location}</ELocationID>'
    assert one(article(data=cited + listed, article=placed)).doi == doi


@pytest.mark.parametrize(
    ("title", "vernacular", "expected"),
    [
        ("[Burkitt's lymphoma in 1985].", None, "Burkitt's lymphoma in 1985."),
        ("[Is it safe?].", None, "Is it safe?"),
        ("[Is it safe?]", None, "Is it safe?"),
        ("[A [nested] one].", None, "A [nested] one."),
        ("[11C]choline in men.", None, "[11C]choline in men."),
        ("[A] and [B].", None, "[A] and [B]."),
        ("[A] and [B]", None, "[A] and [B]"),
        ("Plain.", "Vernac.", "Plain."),
        ("[Not Available].", "Ein Titel.", "Ein Titel."),
        ("[Not Available].", None, ""),
        ("[Open.", None, "[Open."),
        ("[].", None, ""),
        ("", None, ""),
    ],
)
def test_titles(title: str, vernacular: str | None, expected: str) -> None:
    assert split_title(title, vernacular) == expected


@pytest.mark.parametrize("pmid", ["", " ", "abc", "12a", "-5", "0", "1.5", "１２", "١٢", "9" * 11, "1 2"])
def test_unusable_pmid_is_counted_and_the_file_goes_on(pmid: str) -> None:
    first, bad, last = parse(article(1), article(pmid), article(3))
    assert isinstance(first, Abstract) and isinstance(last, Abstract) and last.pmid == 3
    assert isinstance(bad, BadRecord) and bad.pmid is None and bad.position == 2 and "PMID" in bad.reason


def test_other_unusable_records() -> None:
    no_pmid = article(2).replace('<PMID Version="1">2</PMID>', "")
    no_article = "<PubmedArticle><MedlineCitation><PMID>4</PMID></MedlineCitation></PubmedArticle>"
    empty = "<PubmedArticle/>"
    bad_version = article(6, version='"x"')
    long = article(7, abstract="a" * (MAX_TEXT_CHARS + 1))
    long_other = article(8, citation=other("", "b" * MAX_TEXT_CHARS))
    found = parse(
        article(1), no_pmid, no_article, empty, bad_version, long, long_other, article(9, abstract="c" * MAX_TEXT_CHARS)
    )
    assert [(r.pmid, r.position) for r in found[1:-1] if isinstance(r, BadRecord)] == [
        (None, 2),
        (4, 3),
        (None, 4),
        (6, 5),
        (7, 6),
        (8, 7),
    ]
    assert isinstance(found[0], Abstract) and isinstance(found[-1], Abstract)
    assert [r.reason for r in found if isinstance(r, BadRecord)][:4] == [
        "it has no PMID",
        "it has no Article",
        "it holds no citation",
        "its version is 'x'",
    ]


def test_pmid_of_a_cited_paper_is_never_the_records() -> None:
    stray = article(5).replace('<PMID Version="1">5</PMID>', "").replace("<PubmedData>", "<PubmedData><PMID>6</PMID>")
    (bad,) = parse(stray)
    assert isinstance(bad, BadRecord) and bad.pmid is None
    noted = one(article(5, citation=link("Cites", "<PMID>6</PMID>")))
    assert noted.pmid == 5 and noted.corrections == ()


def test_white_space_around_numbers() -> None:
    assert one(article("\n  77 \n")).pmid == 77
    assert whole_number(" 08 ") == 8 and whole_number(None) is None


def test_version_defaults_to_one() -> None:
    assert one(article().replace(' Version="1"', "")).version == 1


def test_field_readers_take_none() -> None:
    assert iso_date(None, None, None) == "" and printed_date("") == "" and clean_doi(None) is None
    assert iso_date(" 2001 ", " Jul ", " 4 ") == "2001-07-04"
    assert clean_doi("10.1/short") is None
