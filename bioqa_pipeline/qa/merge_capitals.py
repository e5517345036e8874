"""What the capitals of a word say: a name (AIDS, mRNA, Mg, the month of May), or emphasis (CANCER). Pure.

A difference in case inside a word keeps two answers apart: cAMP and CAMP, Km and km. A capital that begins a sentence,
title case and shouting do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# From this length on, capitals are emphasis: no abbreviation is that long.
_EMPHASIS_CHARS = 8
# A word in capitals of this length is a word that is shouted (CANCER) if it can be spoken and is none of these names.
_SHOUTED_CHARS = 5
_NAMES_LIKE_WORDS = frozenset(
    "ACCORD ADVANCE ALERT APRIL ARISE BEACH BEERS BLAST BRIGHT CARPET CHARGE CHART CHILD CLAMP CLOCK COACH CONSORT "
    "COUGH COURAGE CRAMP CREST DISCOVERY DRAGON DREAM DRESS EMPEROR FLAIR FLASH FOCUS FRAME FREEDOM GLASS GRADE GRASP "
    "HEART IMPACT LASER LEADER LEOPARD MARCH MATCH ORBIT PACES PANDAS PANSS PEACE PEARL PIANO PRESS PRISM PRISMA "
    "PROMISE PROVE RADAR RADIANCE RECOVERY REDUCE RESPECT RIGOR SCALE SCORE SHANK SHARP SHIFT SMART SMILE SNARE SNARES "
    "SOLID SPARC SPARK SPEED SPIKES SPINE SPRINT STAMP START STING STRIDE SWEET SWORD TIMER TORCH TRACE TRAIL TRAPS "
    "TREAT TWEAK CLASS IDEAL ARISTOTLE PIONEER SUSTAIN REWIND CANVAS DECLARE CREDENCE ROCKET EINSTEIN AMPLIFY ENGAGE "
    "ORIGIN SEARCH JUPITER HORIZON CHARM VALIANT CORONA COMPASS CLARITY VICTORY ASCEND ASPIRE INSPIRE ENHANCE INVEST "
    "ATTAIN ACHIEVE RESOLVE PARADISE SHAPE FOURIER ODYSSEY STEP SURMOUNT SELECT FIDELIO PARAGON".split()
)
_SHOUTED_SHORT = frozenset(
    "ACID ACNE ANEMIA BIRTH BLOOD BODY BONE BRAIN COLD CYST DEATH DIET DOSE DRUG EDEMA FOOD FOOT GENE GOUT HAIR "
    "HAND HERB HIGH IRON KNEE LEAD LOSS LUNG MILK MUMPS NECK NOSE PAIN RASH RISK SHOT SKIN SOAP TEAM TEST TICK "
    "TOOTH TYPE URINE VIRUS WEEK WOMB WORM YEAR ZINC".split()
)
_SHOUTED_SMALL = frozenset("OF AND THE IN WITH FOR OR TO BY ON AT FROM AS AN".split())
# In a text in capitals these are names all the same.
_ALWAYS_NAMES = frozenset("AIDS SARS MERS NASH BRAF STAT JAK MELAS NADH NAFLD ELISA TORCH CREST".split())
_SPOKEN = re.compile(
    "(?:[BCDFGP]L|[BCDFGPTW]R|[CGPST]H|CHR|[GKMP]N|PHL|PHR|PS|PT|QU|RH|S[CKLMNPQTW]|SC[LR]|SCH|SHR|SP[HLR]|STR|[DT]W|"
    "THR|WH|[B-DF-HJ-NP-TV-Z])?[AEIOUY](?:[B-DF-HJ-NP-TV-Z]{0,4}[AEIOUY]+)*"
    "(?:[BCDFGHKLMNPRSTWXZ]|[CGPST]H|N[CDGKST]|N[DGKT]S|R[BCDFGKLMNPST]|R[MNT]H|R[DKMNT]S|S[KMPT]|[CFPX]T|[CFKP]S|CK|SS|"
    "L[DFKLMPT]|L[LT]S|MP|MPH|MPS|NTH|NGTH|GHT|TCH|TS|MS|NS|RS|LS|FF|DS)?"
)
# Capitals that a word of the same letters in small ones has not: the month and "may", the gene and what is bad.
_CAPITAL_NAMES = frozenset("May March August Bad Bid Met Mad Ran Rad Max Polish Turkey China Chile Guinea Java".split())
_SHORT_WORDS = frozenset(
    "Ad Ah Am An As At Ax Be By De Di Do Dr El En Et Ex Go He Hi If In Is It La Le Lo Me Mr Ms My No Of On Or Ox Re "
    "So St To Un Up Us Vs We".split()
)
CAPITALS_THAT_NAME = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(_CAPITAL_NAMES)}|[A-Z][a-z])(?![A-Za-z])")
# What else is written both ways: with small letters before RNA or DNA, or in one of the ways by everybody.
_NUCLEIC = re.compile(r"[A-Za-z]{0,3}[RD]NA")
_BOTH_WAYS = {"mTOR": "MTOR", "ApoE": "APOE"}


def is_name(word: str) -> bool:
    """Whether its capitals name: AIDS, mRNA, NaCl, pH; not Aspirin, nor what is too long for an abbreviation."""
    if word in _NAMES_LIKE_WORDS:
        return True
    n_capitals = sum(c.isupper() for c in word)
    inner = n_capitals > word[:1].isupper()
    is_short = len(word) < _EMPHASIS_CHARS and not word.lower().endswith("ase")
    return inner and 2 * n_capitals >= len(word) and is_short and not _is_shouted(word)


def _is_shouted(word: str) -> bool:
    return word in _SHOUTED_SHORT or (len(word) >= _SHOUTED_CHARS and is_spoken(word))


def is_spoken(word: str) -> bool:
    """Whether a word in capitals can be read as a word, not by its letters."""
    return _SPOKEN.fullmatch(word) is not None


def without_shouting(words: Sequence[str]) -> list[str]:
    """The words of a text that is all in capitals in small letters, but for names; of another text as they are."""
    is_text = len(words) > 1 and all(word.isupper() for word in words)
    if not is_text or not any(len(w) >= _SHOUTED_CHARS and (len(w) >= _EMPHASIS_CHARS or is_spoken(w)) for w in words):
        return list(words)
    return [w.lower() if _is_word(w) and w not in _ALWAYS_NAMES else w for w in words]


def _is_word(word: str) -> bool:
    return word in _SHOUTED_SMALL or (len(word) > 3 and (len(word) >= _EMPHASIS_CHARS or is_spoken(word)))


def is_capital_name(word: str, *, begins: bool, is_numbered: bool) -> bool:
    """Whether a word with one capital names by it: Mg, Km, the month of May. In a date it does in any case.

    Args:
        begins: others follow it in the text, which would give the first word a capital.
    """
    if len(word) == 2 and not is_numbered:
        return word not in _SHORT_WORDS and word.istitle()
    return word in _CAPITAL_NAMES and not begins and not is_numbered


def name(word: str) -> str:
    """A name without its plural s; of nucleic acids in one case: MiRNA is miRNA."""
    if len(word) > 2 and word[-1] == "s" and word[-2].isupper() and sum(c.isupper() for c in word) > 1:
        word = word[:-1]
    return word.upper() if _NUCLEIC.fullmatch(word) else _BOTH_WAYS.get(word, word)
