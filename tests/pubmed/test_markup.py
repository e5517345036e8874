"""Inline markup, MathML and structured abstracts as text, against a second reading and by hand."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bioqa_pipeline.pubmed.markup import plain_text, structured_text
from bioqa_pipeline.records.texts import Section
from bioqa_pipeline.text import normalize_text
from support.pubmed_reading import FLAT, MATH, normal, text_of_markup


def read(markup: str) -> str:
    return plain_text(etree.fromstring(f"<T {MATH}>{markup}</T>"))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("The <i>BRCA1</i> gene", "The BRCA1 gene"),
        ("The<i> BRCA1 </i>gene", "The BRCA1 gene"),
        ("<b>Aim:</b> to see", "Aim: to see"),
        ("un<i>divided</i>word", "undividedword"),
        ("a\u00a0b\u2009c\u202fd\n\t e", "a b c d e"),
        ("zero\u200bwidth \u2060and soft\u00adhyphen\ufeff", "zerowidth and softhyphen"),
        ("caf<i>e\u0301</i>", "café"),
        ("p &lt; 0.05 &amp; q &#62; 1", "p < 0.05 & q > 1"),
        ("A &lt;i> B", "A <i> B"),
        ("10<sup>6</sup> cells", "10^6 cells"),
        ("2 × 10<sup>-3</sup> M", "2 × 10^-3 M"),
        ("10<sup> 6</sup>", "10^6"),
        ("<i>10</i><sup><i>6</i></sup>", "10^6"),
        ("10<sup></sup><sup>6</sup>", "10^6"),
        ("10<i><sup>6</sup></i>, 10<b>3<sup>2</sup></b>", "10^6, 103^2"),
        ("5<sub>10</sub>", "5_10"),
        ("log<sub>2</sub>4", "log2 4"),
        ("CD4<sup>+</sup> T cells", "CD4+ T cells"),
        ("H<sub>2</sub>O", "H2O"),
        ("<sup>13</sup>C", "13C"),
        ("kg/m<sup>2</sup>", "kg/m2"),
        ("ml·kg<sup>-1</sup>·min<sup>-1</sup>", "ml·kg-1·min-1"),
        ("1<sup>st</sup>", "1st"),
        ("Lmna<sup>\n    <i>-/-</i>\n  </sup> mice", "Lmna-/- mice"),
        ("x<sup>a </sup>b", "xa b"),
        ("P <u>&lt;</u> .05 <u>></u> 3 <u>+</u> 2, <u>under</u>", "P ≤ .05 ≥ 3 ± 2, under"),
        ("a<!-- no -->b<?pi no?>c<![CDATA[<d>]]>e", "abc<d>e"),
        ("", ""),
        ("<i/>", ""),
        ("<unknown>kept <deep>too</deep></unknown>.", "kept too."),
        # Elements that are lines of their own.
        (
            "<b>Patient: Female, 16</b><b>Final Diagnosis: Uterus</b><b>Symptoms: None</b>",
            "Patient: Female, 16 Final Diagnosis: Uterus Symptoms: None",
        ),
        (
            "<b>BACKGROUND</b>Strokes are common.<b>RESULTS</b>20 of them.",
            "BACKGROUND Strokes are common. RESULTS 20 of them.",
        ),
        ("<b>Aim:</b>to see.<b>Main Findings:</b>Seen.", "Aim: to see. Main Findings: Seen."),
        ("<i>in</i><i>vitro</i>", "in vitro"),
        (
            "<i>00</i><i>A0</i>, <b>53</b><b>B1</b>, <b>vitamin</b><b>B12</b>, <b>12</b><b>Age 4</b>",
            "00A0, 53B1, vitamin B12, 12 Age 4",
        ),
        (
            "<i>E</i><i>. coli</i>; <b>C</b>hronic <b>p</b><b>53</b>, <b>m</b>RNA, <i>Camk</i>Cre, <b>a</b><b>-1</b>.",
            "E. coli; Chronic p53, mRNA, CamkCre, a-1.",
        ),
        ("<p>One</p><p>two</p>three<br/>four", "One two three four"),
        # What was escaped twice.
        (
            "&amp;alpha;-synuclein, &amp;#946;-carotene, &amp;#x3B3;, &amp;lt; 5, R&amp;amp;D",
            "α-synuclein, β-carotene, γ, < 5, R&D",
        ),
        ("a &amp;amp;amp;lt; b, AT&amp;T; &amp;nosuch; &amp;alpha", "a < b, AT&T; &nosuch; &alpha"),
        (
            "CO&lt;sub&gt;2&lt;/sub&gt;, 10&lt;SUP class='x'&gt;6&lt;/SUP&gt;, &amp;lt;i&amp;gt;E.&amp;lt;/i&amp;gt;",
            "CO2, 10^6, E.",
        ),
        (
            "&lt;b&gt;Aim&lt;/b&gt;To see&lt;br /&gt;it&lt;p&gt;Then&lt;/p&gt;&lt;jats:p&gt;now&lt;/jats:p&gt;",
            "Aim To see it Then now",
        ),
        (
            "&lt;a href='x'&gt;it&lt;/a&gt;&lt;xref&gt;1&lt;/xref&gt;, &lt;mml:math&gt;&lt;mml:msup&gt;"
            "&lt;mml:mn&gt;10&lt;/mml:mn&gt;&lt;mml:mn&gt;6&lt;/mml:mn&gt;&lt;/mml:msup&gt;&lt;/mml:math&gt; "
            "a &lt;a b&gt;",
            "it1, 10^6 a <a b>",
        ),
        (
            "&lt;sub&gt;<i>x</i>&lt;/sub&gt; a &lt;b&gt; c, p&lt;0.05, x &lt;i and j&gt; y",
            "x a <b> c, p<0.05, x <i and j> y",
        ),
        ("&lt;i&gt;a &lt;b&gt;c&lt;/i&gt; d&lt;/b&gt;", "a <b>c d</b>"),
    ],
)
def test_markup(markup: str, text: str) -> None:
    parser = etree.XMLParser(remove_comments=True, remove_pis=True)
    assert plain_text(etree.fromstring(f"<T>{markup}</T>", parser)) == text


def test_literal_tags_of_any_depth_are_read() -> None:
    assert read("&lt;sub&gt;" * 5_000 + "x" + "&lt;/sub&gt;" * 5_000) == "x"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<mi>n</mi><mo>=</mo><mn>13</mn>", "n=13"),
        ("<mrow>\n <mn>5</mn>\n <mspace/>\n <mi>mg</mi><mo>/</mo><mtext>kg-day</mtext></mrow>", "5 mg/kg-day"),
        ("<mn>32</mn><mtext>\u2009ppm</mtext>", "32 ppm"),
        ("<msup><mn>10</mn><mn>6</mn></msup>", "10^6"),
        ("<msup><mn>10</mn><mrow><mo>-</mo><mn>6</mn></mrow></msup>", "10^-6"),
        ("<msub><mi>x</mi><mn>2</mn></msub>", "x2"),
        ("<msub><mn>5</mn><mn>2</mn></msub>", "5_2"),
        ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x1^2"),
        ("<msup><mrow/><mn>13</mn></msup><mi>C</mi>", "13C"),
        ("<mfrac><mi>a</mi><mn>2</mn></mfrac>", "a/2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac>", "(a+b)/c"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", "√(x+1)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "3√x"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
        ("<mfenced open='[' close=']' separators=';'><mi>a</mi><mi>b</mi></mfenced>", "[a;b]"),
        ("<mover><mi>V</mi><mo>.</mo></mover><mi>O</mi>", "V.O"),
        (
            "<mmultiscripts><mi>He</mi><mprescripts/><none/><mn>3</mn></mmultiscripts><mo>/</mo>"
            "<mmultiscripts><mi>Xe</mi><mn>2</mn><none/><mprescripts/><none/><mn>129</mn></mmultiscripts>",
            "3He/129Xe2",
        ),
        ("<semantics><mi>x</mi><annotation>LaTeX</annotation></semantics>", "x"),
        ("<mphantom><mi>x</mi></mphantom><mi>y</mi>", "y"),
        ("<mi>sin</mi><mo>\u2061</mo><mi>x</mi>", "sin x"),
        ("<mi>log</mi><mi>dose</mi>", "log dose"),
        ("<mi>m</mi><mi>a</mi><mi>x</mi>", "max"),
        ("<mn>2</mn><mn>3</mn>", "2 3"),
        ("<mn>2</mn><mo>\u2062</mo><mi>x</mi>", "2x"),
        (
            "<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd></mtr></mtable>",
            "a, b; c",
        ),
        ("<mstyle>words</mstyle> tail <mi>x</mi>", "words tail x"),
        ("<mfrac><mi>a</mi></mfrac>", "a"),
        ("<mmultiscripts/>", ""),
    ],
)
def test_formulas(formula: str, text: str) -> None:
    prefixed = re.sub(r"<(/?)(\w)", r"<\1mml:\2", formula)
    assert read(f"before <mml:math>{prefixed}</mml:math> after") == normalize_text(f"before {text} after")


def sections(*parts: str) -> tuple[str, tuple[Section, ...]]:
    return structured_text(etree.fromstring(f"<A>{''.join(parts)}</A>").iterchildren("AbstractText"))


def test_structured_abstract() -> None:
    text, found = sections(
        '<AbstractText Label="AIM" NlmCategory="OBJECTIVE"> To  see. </AbstractText>',
        '<AbstractText Label="" NlmCategory="METHODS">We looked.</AbstractText>',
        '<AbstractText Label="UNASSIGNED" NlmCategory="UNASSIGNED">Thrice.</AbstractText>',
        '<AbstractText Label="EMPTY"> </AbstractText>',
        "<AbstractText>Then we left.</AbstractText>",
        '<AbstractText Label=" End: " NlmCategory="UNASSIGNED"><i>Nothing</i> seen.</AbstractText>',
    )
    assert text == "AIM: To see. We looked. Thrice. Then we left. End: Nothing seen."
    assert found == (Section("AIM", "OBJECTIVE", 5, 12), Section("End", None, 51, 64))


def test_plain_abstract_has_no_sections() -> None:
    assert sections("<AbstractText>One.</AbstractText>", "<AbstractText>Two.</AbstractText>") == ("One. Two.", ())
    assert sections() == ("", ())


# Letters, digits and signs of several scripts, combining marks, spaces, invisible characters, outer planes.
characters = st.sampled_from(
    "aé0189-+−^_ \n\t\u00a0\u2009\u202f\u3000β中ß\u0301\u0308\u200b\u00ad\ufeff\u2060ﬁ²½<>&\"'.,()[]𝛼Å"
) | (st.characters(exclude_categories=("Cs", "Cc", "Cf", "Cn")))
words = st.text(characters, max_size=12)


@st.composite
def markup(draw: st.DrawFn, depth: int = 3) -> str:
    pieces = []
    for _ in range(draw(st.integers(0, 4))):
        pieces.append(html.escape(draw(words), quote=False))
        if depth and draw(st.booleans()):
            tag = draw(st.sampled_from(("i", "b", "u", "sup", "sub")))
            pieces.append(f"<{tag}>{draw(markup(depth - 1))}</{tag}>")
    return "".join(pieces)


# In these the two readings differ by design of the second, which knows text only as a string.
_LINE_BREAK_AT_A_TAG = re.compile(r">\s*\n|\n\s*<")
_NESTED_SCRIPTS = re.compile(
    r"<su[bp]>(?:(?!</su[bp]>).)*<su[bp]>|<u>(?:(?!</u>).)*<(?:su[bp]|u)>|<su[bp]></su[bp]>", re.DOTALL
)


@given(markup())
def test_text_equals_the_second_reading(source: str) -> None:
    if _LINE_BREAK_AT_A_TAG.search(source):
        source = source.replace("\n", " ")
    # The second knows what touches by the string alone, without what lies within.
    if len(re.findall(f"{FLAT}(?={FLAT})", source)) < len(re.findall("</[biu]>(?=<[biu]>)", source)):
        return
    if not _NESTED_SCRIPTS.search(re.sub(r"</?[ib]>", "", source)):
        assert read(source) == text_of_markup(source)


@given(markup())
def test_no_word_is_lost_and_the_text_is_in_normal_form(source: str) -> None:
    text = read(source)
    assert normalize_text(text) == text
    bare = normal(html.unescape(re.sub(r"</?(?:[ibu]|su[bp])>", "", source)))
    added = re.compile(r"[\s^_≤≥±<>+]")
    assert unicodedata.normalize("NFD", added.sub("", text)) == unicodedata.normalize("NFD", added.sub("", bare))


@given(st.lists(st.text("abcXYZ019", min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_words_are_never_glued(plain: list[str], data: st.DataObject) -> None:
    def marked(word: str) -> str:
        tag = data.draw(st.sampled_from(("", "i", "b", "sup", "sub", "u")))
        cut = data.draw(st.integers(0, len(word)))
        return f"{word[:cut]}<{tag}>{word[cut:]}</{tag}>" if tag else word

    space = data.draw(st.sampled_from((" ", "\u00a0", "\u2009", " \n ", "\t")))
    text = read(space.join(map(marked, plain)))
    assert [re.sub(r"[\^_]", "", word) for word in text.split(" ")] == plain


NO_LABEL = re.compile("|UNASSIGNED|UNLABELL?ED", re.IGNORECASE)


@given(st.lists(st.tuples(st.sampled_from(("", "UNASSIGNED", "AIM", "Résumé: ", "A B")) | words, markup()), max_size=5))
def test_section_offsets(parts: list[tuple[str, str]]) -> None:
    xml = [f'<AbstractText Label="{html.escape(label)}">{source}</AbstractText>' for label, source in parts]
    text, found = sections(*xml)
    assert normalize_text(text) == text
    expected = [(normal(label).rstrip(": "), read(source)) for label, source in parts]
    labelled = [(label, part) for label, part in expected if part and not NO_LABEL.fullmatch(label)]
    assert [(section.label, text[section.start : section.end]) for section in found] == labelled
    for section in found:
        assert text[: section.start].endswith(f"{section.label}: ")
    assert text == " ".join(f"{a}: {b}" if (a, b) in labelled else b for a, b in expected if b)
