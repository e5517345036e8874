"""English texts into what can be exchanged in them: names, numbers, dates and words with an opposite."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict

MONTHS = frozenset("January February March April May June July August September October November December".split())
WEEKDAYS = frozenset("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
NUMBER_WORDS = frozenset(
    "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred thousand "
    "million billion".split()
)
ORDINALS = frozenset("first second third fourth fifth sixth seventh eighth ninth tenth".split())
DECADE = re.compile(r"(?:1\d|20)\d0s")
YEAR = re.compile(r"(?:1\d|20)\d\d")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")
WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
# A run of capitalised words, small words allowed inside: "Bank of England", "Charles de Gaulle".
NAME = re.compile(r"[A-Z][\w'’.-]*\w(?: (?:(?:of|the|de|von|and|for) )?[A-Z][\w'’.-]*\w)*")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)\]]*\s+(?=[\"“(\[]?[A-Z0-9])")
DEMONYM = re.compile(r"[A-Z]\w+(?:ish|ese|ian|ean|can|man|nch)")
QUESTION_WORDS = frozenset(
    "what which who whom whose when where why how in on at to for of by from with the a an is are was were did does do "
    "has have had can could will would during after before along about into as since according name besides "
    "aside".split()
)
STOP_WORDS = QUESTION_WORDS | frozenset(
    "and or but not no than then that this these those it its he she his her him they their them be been being many "
    "much some any all most more other others such also there between over under through against only same very so if "
    "one two first last used called known name named kind type year years there's doing done make made".split()
)
ENDINGS = ("tion", "ment", "ness", "ity", "ing", "ers", "ies", "ed", "er", "ly", "al", "ic", "or", "s")

OPPOSITES_TEXT = """
first/last largest/smallest biggest/smallest highest/lowest oldest/youngest longest/shortest earliest/latest best/worst
most/least more/less more/fewer before/after began/ended begin/end started/stopped start/stop increase/decrease
increased/decreased increasing/decreasing rise/fall rose/fell high/low large/small big/small major/minor long/short
old/new early/late earlier/later north/south northern/southern east/west eastern/western northwest/southeast
northeast/southwest male/female men/women man/woman boys/girls father/mother brother/sister son/daughter king/queen
husband/wife won/lost win/lose winner/loser allowed/forbidden allow/prevent accepted/rejected accept/reject
supported/opposed support/oppose include/exclude included/excluded public/private internal/external inside/outside
always/never rich/poor strong/weak stronger/weaker strongest/weakest good/bad positive/negative common/rare
commonly/rarely important/unimportant popular/unpopular successful/unsuccessful able/unable similar/different
born/killed died/lived opened/closed open/close arrived/left enter/leave entered/left joined/left created/destroyed
built/demolished gained/lost gain/lose majority/minority maximum/minimum above/below upper/lower ancient/modern
domestic/foreign legal/illegal formal/informal direct/indirect directly/indirectly active/inactive natural/artificial
hot/cold warm/cool winter/summer day/night same/different former/current primary/secondary previous/next
true/false credited/blamed praised/criticized love/hate liked/disliked loved/hated likes/dislikes agree/disagree
agreed/disagreed buy/sell bought/sold borrowed/lent attack/defend attacked/defended victory/defeat defeated/supported
easy/difficult easier/harder hard/soft heavy/light wide/narrow deep/shallow fast/slow faster/slower quickly/slowly
appeared/disappeared approved/rejected won't/will success/failure strength/weakness advantage/disadvantage
benefit/harm safe/dangerous rural/urban local/national national/international east/north richest/poorest
tallest/shortest greater/smaller greatest/smallest higher/lower larger/smaller older/younger newest/oldest
resistant/vulnerable aerobic/anaerobic acute/chronic inhibit/promote inhibited/promoted activate/block
""".split()
NEGATABLE = re.compile(r"\b(is|are|was|were|did|does|do|can|could|will|would|has|have|had|should)\b")


def _opposites() -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = defaultdict(list)
    for entry in OPPOSITES_TEXT:
        left, right = entry.split("/")
        pairs[left].append(right)
        pairs[right].append(left)
    return dict(pairs)


OPPOSITES = _opposites()


def words_of(text: str) -> list[str]:
    return [w.lower() for w in WORD.findall(text)]


def ending_of(word: str) -> str:
    return next((e for e in ENDINGS if word.endswith(e) and len(word) > len(e) + 2), "")


def phrases_in(text: str) -> list[tuple[str, str]]:
    """(kind, phrase) of everything in a text that can be exchanged for another of its kind."""
    found = []
    for match in NUMBER.finditer(text):
        number = match.group()
        found.append(("year" if YEAR.fullmatch(number) else "number", number))
    found += [("decade", m.group()) for m in DECADE.finditer(text)]
    for word in WORD.findall(text):
        if word in NUMBER_WORDS:
            found.append(("number_word", word))
        elif word in ORDINALS:
            found.append(("ordinal", word))
    end = 0
    for match in NAME.finditer(text):
        name = match.group()
        between = text[end : match.start()].rstrip() or text[end - 1 : end]
        opens_sentence = match.start() == 0 or between[-1:] in ".!?"
        end = match.end()
        if name.lower() in STOP_WORDS or (opens_sentence and " " not in name):
            continue
        found.append((_name_kind(name), name))
    return found


def _name_kind(name: str) -> str:
    if name in MONTHS:
        return "month"
    if name in WEEKDAYS:
        return "weekday"
    if DEMONYM.fullmatch(name):
        return "demonym"
    return "names" if " " in name else "name"


def sentence_bounds(text: str) -> list[tuple[int, int]]:
    """Code points [start, end) of the sentences, together covering the text; found by punctuation alone."""
    cuts = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    return list(itertools.pairwise(cuts))


def content_words(text: str) -> frozenset[str]:
    """Words in lower case that are neither question words nor other function words."""
    return frozenset(words_of(text)) - STOP_WORDS
