"""The text of an answer into one way to write characters, numbers, signs, comparators and dates. Pure.

What is folded here cannot change a meaning: a superscript and "^", "≥" and "at least", "1,000" and "1000", "5%" and
"5 per cent", an en dash and "to" between two numbers. A sign, a comparator, a decimal point, an exponent stays.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from bioqa_pipeline.qa.merge_nomenclature import nomenclature

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾", "0123456789+-()")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_SCRIPT = re.compile("(?P<high>[⁰¹²³⁴-⁹⁺⁻]+)|(?P<low>[₀-₉₊₋]+)|(?P<fraction>[¼-¾⅐-⅞])")
MINUS = "−"
# One character for each kind of dash, quotation mark, degree, tilde, comparator, dot; trade marks go.
_ONE_CHARACTER = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
        **dict.fromkeys("‘’‚‛ʼ´`", "'"),
        **dict.fromkeys('“”„‟«»"', " "),
        **dict.fromkeys("˚º", "°"),
        **dict.fromkeys("~∼～〜≈≃≅≒", "~"),
        **dict.fromkeys("≧⩾⪰", "≥"),
        **dict.fromkeys("≦⩽⪯", "≤"),
        **dict.fromkeys("∙⋅•", "·"),
        **dict.fromkeys("™®©", " "),
        **dict.fromkeys("→⟶➔", ">"),
        **{"⁄": "/", "∕": "/", "✕": "×", "″": "′′", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
    }
)
_NUMBERS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {word: 10 * value for value, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)}
_ORDINALS = dict(
    zip(
        "first second third fourth fifth sixth seventh eighth ninth tenth".split(),
        "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th".split(),
        strict=True,
    )
)
_TIMES = {"once": 1, "twice": 2, "thrice": 3}
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9}
_MONTHS = "january february march april may june july august september october november december".split()
# A text without them has no number in words.
NUMBER_WORDS = (
    frozenset(_NUMBERS) | frozenset(_ORDINALS) | {*_TIMES, "half", "quarter", "quarters", "thirds", "fifths", "tenths"}
)
_NUMBER_WORD = re.compile(
    r"\b(?:([Tt]wenty|[Tt]hirty|[Ff]orty|[Ff]ifty|[Ss]ixty|[Ss]eventy|[Ee]ighty|[Nn]inety)[- ]"
    r"(one|two|three|four|five|six|seven|eight|nine)|(?<!\d[ -])([A-Z]?[a-z]+))\b"
)
_FRACTION = re.compile(
    r"\b(?:(an?|one|two|three|four|\d)[ -](third|quarter|fifth|tenth)s?|(?:(?:an?|one)[ -])?(half))(?=$|\sof\b)",
    re.IGNORECASE,
)
_PARTS = {"third": 3, "quarter": 4, "fifth": 5, "tenth": 10}
_NUMBER = r"\d+(?:\.\d+)?"
_QUANTITY = rf"{_NUMBER}(?:\s?[A-Za-z%μ/]{{1,10}})?"
_MEASURED = rf"{_NUMBER}\s?[A-Za-zμ/]{{1,10}}"
_OPEN, _ENDED = r"(?:or|and)\s", r"\b(?!\s(?:than\s)?[-+]?\d)"
_REPEATED = r"(%|[A-Za-zμ][A-Za-zμ/]{0,9})"
_AHEAD = rf"(?=[{MINUS}+]?{_NUMBER})"
_MONTH = r"(?P<month>" + "|".join(f"{m[:3]}(?:{m[3:]})?" for m in _MONTHS) + r"|sept)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12]\d{3})"
_COMPARATORS = {
    "≤": r"no more than|not more than|not over|up to|at most|a maximum of|maximum of",
    "≥": r"no less than|not less than|no fewer than|not fewer than|at least|a minimum of|minimum of",
    ">": r"more than|greater than|higher than|larger than|older than|longer than|in excess of|exceeding|above",
    "<": r"less than|fewer than|lower than|smaller than|younger than|shorter than|below|under",
}
_TIME = r"(?:second|minute|min|hour|hr|h|day|d|week|wk|month|mo|year|yr|y|decade|time|night|course|period)"


def _compiled(*rules: tuple[str, str], flags: re.RegexFlag = re.NOFLAG) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, flags), replacement) for pattern, replacement in rules)


# "+" and MINUS are left only where they are a number's sign; all that remains of "-" joins words.
_BRACKETED = _compiled(
    # A charge or a sign in brackets behind a name, an exponent in brackets behind ten, a sign before one.
    (r"(?<=[A-Za-z\d])[(\[](\d?[-+])[)\]]", r"\1"),
    (r"(?<![\d.])10[(\[]([-+]?\d{1,2})[)\]]", r"10^\1"),
    (r"(?<!\w)[(\[]\+[)\]]-?", " positive "),
    (r"(?<!\w)[(\[]-[)\]]-?", " negative "),
    (r"(?<!\w)[(\[]±[)\]]-?", " ± "),
)
_SIGNS = _compiled(
    (r"\b(Ca|Mg)\+\+", r"\g<1>2+"),
    (r"(?<![A-Za-z])(?:\+/-|\+-)\s?(?=\d)", " ± "),
    (r"\+/\+(?!\s?\d)", " positive/positive "),
    (r"-/-(?!\s?\d)", " negative/negative "),
    (r"\+/-", " positive/negative "),
    (r"->", ">"),
    (r">\s?=|=\s?>|>\s?or\s?=", "≥"),
    (r"<\s?=|=\s?<|<\s?or\s?=", "≤"),
    # CD4+CD25-: each has its sign.
    (r"(?<=CD\d)([-+])(?=CD\d)|(?<=CD\d\d)([-+])(?=CD\d)", r"\1\2 "),
    (r"(?<=[A-Za-z\d])\+(?=[A-Z][A-Za-z\d]{0,9}[-+](?![A-Za-z\d]))", " positive "),
    (r"(?<=[A-Za-z\d])\+(?![A-Za-z\d])", " positive "),
    (r"\b([A-Za-z]{0,9}[A-Z\d][A-Za-z\d]{0,9})-(?=\s?$|[,;.)\]/]|\s(?!and\b|or\b|to\b|\d))", r"\1 negative "),
    (r"(?<=\d)\s?\+\s?(?=\d)", " plus "),
    (r"(?<=[\d%])\s?-\s?(?=[-+]?\d)", " to "),
    (r"(?:^|(?<=[\s(\[{<>≤≥=±~/,;:^_$]))\+\s?(?=\d)", "＋"),
    (r"(?:^|(?<=[\s(\[{<>≤≥=±~/,;:^_$]))-\s?(?=\d)", MINUS),
    (r"\+", " plus "),
    ("＋", "+"),
)
_WORDS = _compiled(
    (r"\b(?:per\s?cent|pct)\b(?!age)", "%"),
    (r"(?<=\d)['′]{2}", " double prime "),
    (r"(?<=\d)['′]", " prime "),
    (r"(?<=\w)'s\b", ""),
    (r"(?<=\w)'(?=\w)", ""),
    flags=re.IGNORECASE,
)
_NUMERALS = _compiled(
    (r"(?<![^\d\s/(])μ(?=(?:g|l|m|mol|s|kat)\b)", "u"),
    (r"(?<=\d)·(?=\d)", "."),
    (r"(?<![\d.,])0,(?=\d)", "0."),
    (r"(?<![\w.])\.(?=\d)", "0."),
    # A repeated unit: 5% to 10%.
    (rf"({_NUMBER})\s?{_REPEATED}\s?(?:-|to)\s?({_NUMBER})\s?\2(?!\w)", r"\1-\3 \2"),
    (rf"\bbetween\s({_NUMBER})\s?{_REPEATED}\sand\s({_NUMBER})\s?\2(?!\w)", r"\1-\3 \2"),
    (rf"\bbetween\s({_NUMBER})\s?(?:and|-|to)\s?({_NUMBER})\b", r"\1-\2"),
    (rf"({_QUANTITY})(?:\sof\sage)?\s{_OPEN}(?:more|greater|higher|above|older|longer|over){_ENDED}", r"≥ \1"),
    (rf"({_QUANTITY})(?:\sof\sage)?\s{_OPEN}(?:less|fewer|lower|below|younger|shorter|under){_ENDED}", r"≤ \1"),
    # How often: daily, a day, each day; a number alone is left out before "weekly": 2-weekly is every two.
    (rf"(\btimes?|{_QUANTITY})\s(?:an?|each|every)\s(hour|day|week|month|year)\b", r"\1/\2"),
    (rf"(\btimes?|{_MEASURED})\sdaily\b", r"\1/day"),
    (rf"(\btimes?|{_MEASURED})\s(week|month|year)ly\b", r"\1/\2"),
    (rf"({_MEASURED})[\s·.](kg|g|l|ml|day|d|h|min)\^?-1(?!\d)", r"\1/\2"),
    (rf"({_MEASURED}/(?:kg|g|l|ml))[\s·.](day|d|h|min)\^?-1(?!\d)", r"\1/\2"),
    (r"(?<=[a-z]{2})\sof\s(?=[-+<>≥≤~]?\d)", " "),
    # As a word alone, "ca" is calcium or the antigen CA 125.
    (rf"\bca(?:\.\s?|\s(?={_NUMBER}\s?%))(?=\d)", "about "),
    (r"(?<![\w.])p\.(?=[A-Z](?:[a-z]{2})?\d)", ""),
    (r"\bmi(?:cro)?RNA[- ]?(?=\d)", "miR-"),
    (r"(miR-\d+[a-z]?)\*", r"\1 star"),
    (r"(?<=\d)\s?(?:°|deg(?:rees?)?\.?)\s?(?:c|celsius|centigrade)\b", "°C"),
    (r"(?<=\d)\s?(?:°|degrees?)\s?fahrenheit\b", "°F"),
    # As programs write powers of ten: 5e-8; CYP2E1 is none.
    (rf"(?<![\w.])({_NUMBER})e([-+]?\d{{1,3}})(?!\w)", r"\1 x 10^\2"),
    (r"^(?:by|of)\s(?=[-+]?\d)|^from\s(?=[-+]?\d\S*(?:\s\S+)?\sto\s\d)", ""),
    (r"(?<=/kg)\s(?:of\s)?(?:body\s?weight|b\.?w\.?)(?!\w)", ""),
    (r"(?<=\d)\sinternational\sunits?\b", " IU"),
    (r"(?<=\d)\s:\s(?=\d)", ":"),
    (rf"({_NUMBER}\s(?:year|month|week)s)\sof\sage\b", r"\1"),
    (r"^minus\s(?=\d)", MINUS),
    (r"^plus\s(?=\d)", "+"),
    flags=re.IGNORECASE,
)
_COMPARISONS = _compiled(
    *((rf"\b(?:{words})\s{_AHEAD}", f" {sign} ") for sign, words in _COMPARATORS.items()),
    # "Over 5 years" may mean "during"; a comparator never stands for that.
    (rf"\bover\s(?=[{MINUS}+]?{_NUMBER}(?!\d|\.\d)(?!\s?-?{_TIME}s?\b))", " > "),
    flags=re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<![\d.,])(?<!\d[- ])[1-9]\d{0,2}(?:,\d{3})+(?![\d,-])")
# Blanks part thousands where a number begins for sure: "type 2 500 mg" holds two.
_SPACED = re.compile(
    r"(^|[<>≤≥=/~]\s?|\b(?:per|in|of|than|about|over|least|most|to)\s)([1-9]\d{0,2}(?: \d{3})+)(?![\d,.-])"
)
_POWER = re.compile(rf"(?<![\w.])({_NUMBER})\s(hundred|thousand|million|billion)\b", re.IGNORECASE)
_DECIMAL = re.compile(r"(?<![\d.,])(\d+)\.(\d+)(?![\d.,]*\d)")
# The initial of a genus is no article: A. fumigatus.
_GENUS_A = re.compile(r"(?<![\w.])A\.\s?(?=[a-z])")
_INITIALISM = re.compile(r"(?<![A-Za-z.])(?:[A-Za-z]\.){2,}(?![A-Za-z])")
_DATES = (
    re.compile(rf"(?<![\d-]){_YEAR}-(?P<number>0[1-9]|1[0-2])-(?P<day>[0-2]\d|3[01])(?![\d-])"),
    re.compile(rf"(?<!\d){_DAY}\s(?:of\s)?{_MONTH},?\s{_YEAR}\b", re.IGNORECASE),
    re.compile(rf"\b{_MONTH}\s{_DAY}(?:,\s?|\s){_YEAR}\b", re.IGNORECASE),
    re.compile(rf"\b{_MONTH}\s{_DAY}$", re.IGNORECASE),
    re.compile(rf"\b{_MONTH},?\s(?:of\s)?{_YEAR}\b", re.IGNORECASE),
)


# What has none of these needs no look at its signs: most answers.
_SIGNED = re.compile(r"[+<>=]|-(?![A-Za-z])|(?<![A-Za-z])-")
_NEGATING = "\u0338"  # the stroke of ≠ and ≮
_MAY_CHANGE = re.compile(r"cent|pct|['′]", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


def plain_writing(text: str) -> str:
    """The text with one way to write each character, number, sign, comparator and date; case and words stay."""
    text = nomenclature(_GENUS_A.sub("A-", _characters(text)))
    if "(" in text or "[" in text:
        text = _apply(_BRACKETED, text)
    if "." in text:
        text = _INITIALISM.sub(lambda match: match.group().replace(".", ""), text)
    text = _NUMBER_WORD.sub(_number_word, _FRACTION.sub(_fraction, text))
    if _MAY_CHANGE.search(text):
        text = _apply(_WORDS, text)
    has_number = _DIGIT.search(text) is not None
    if has_number:
        text = _numbers(text)
    if _SIGNED.search(text):
        text = _apply(_SIGNS, text)
    return _apply(_COMPARISONS, text) if has_number else text


def _numbers(text: str) -> str:
    text = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)
    text = _SPACED.sub(lambda match: match[1] + match[2].replace(" ", ""), text)
    text = _apply(_NUMERALS, text)
    text = _POWER.sub(_power, text)
    if "." in text:
        text = _DECIMAL.sub(_without_zeros, text)
    for pattern in _DATES:
        text = pattern.sub(_date, text)
    return text


def _apply(rules: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _characters(text: str) -> str:
    if text.isascii():
        return " ".join(text.translate(_ONE_CHARACTER).split())
    text = _SCRIPT.sub(_script, text).translate(_ONE_CHARACTER)
    text = unicodedata.normalize("NFKC", text).translate(_ONE_CHARACTER)
    return " ".join(_without_accents(text).split())


def _script(match: re.Match[str]) -> str:
    behind = match.string[match.start() - 1 : match.start()]
    if match["fraction"]:
        return (" " if behind.isdecimal() else "") + unicodedata.normalize("NFKC", match["fraction"])
    plain = match.group().translate(_SUPERSCRIPTS if match["high"] else _SUBSCRIPTS)
    # A number behind a number would run into it.
    mark = "^" if match["high"] else "_"
    return mark + plain if behind.isdecimal() and plain.strip("+-") else plain


def _without_accents(text: str) -> str:
    """Latin and Greek letters without their marks; in other scripts a mark can make another letter."""
    kept: list[str] = []
    base = ""
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.combining(character):
            if base < "\u0400" and character != _NEGATING:
                continue
        else:
            base = character
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _number_word(match: re.Match[str]) -> str:
    tens, unit, word = match.groups()
    if tens:
        return str(_NUMBERS[tens.lower()] + _NUMBERS[unit])
    word = word.lower()
    if word in _TIMES:
        return f"{_TIMES[word]} times"
    if word.endswith("fold") and word[:-4] in _NUMBERS:
        return f"{_NUMBERS[word[:-4]]}-fold"
    if word in _ORDINALS:
        return _ORDINALS[word]
    return str(_NUMBERS[word]) if word in _NUMBERS else match.group()


def _fraction(match: re.Match[str]) -> str:
    if match[3]:
        return "1/2"
    count = match[1].lower()
    return f"{_NUMBERS.get(count, 1 if count[0] == 'a' else count)}/{_PARTS[match[2].lower()]}"


def _power(match: re.Match[str]) -> str:
    return f"{Decimal(match[1]).scaleb(_POWERS[match[2].lower()]):f}"


def _without_zeros(match: re.Match[str]) -> str:
    digits = match[2].rstrip("0")
    return f"{match[1]}.{digits}" if digits else match[1]


def _date(match: re.Match[str]) -> str:
    parts = match.groupdict()
    if parts.get("month"):
        month = next(m for m in _MONTHS if m.startswith(parts["month"][:3].lower()))
    else:
        month = _MONTHS[int(parts["number"]) - 1]
    day = [str(int(parts["day"]))] if parts.get("day") else []
    return " ".join([*day, month, *([parts["year"]] if parts.get("year") else [])])
