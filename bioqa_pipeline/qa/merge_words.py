"""A word of an answer into its one spelling: singular, American, units by their symbol. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from bioqa_pipeline.text import GREEK

# The A that names (vitamin A, hepatitis A), told from the article also when the key is read again.
NAMED_A = "ᴀ"
# Abbreviations that are written in small letters too.
_ABBREVIATED = frozenset("dna rna mrna hiv mri eeg emg adhd copd egfr vegf nad apoe akt erk bax".split())

# What is written with, without or with a blank in the place of a hyphen before another word.
PREFIXES = frozenset(
    "anti angio non pre post co re pro sub inter intra trans hyper hypo micro macro multi neo pseudo ultra extra peri "
    "poly mono di tri hetero homo iso auto immuno cardio neuro gastro chemo radio photo thermo electro bio semi up "
    "down acetyl deoxy hydroxy methyl chloro fluoro bromo iodo nitro".split()
) | frozenset(GREEK.values())
# Before a blank, "over time" and "under treatment", they are words of their own.
HYPHENED_PREFIXES = frozenset("over under".split())
# What a letter or a numeral behind it names.
LETTERED = frozenset(
    "vitamin hepatitis influenza type group class factor protein haemophilia hemophilia immunoglobulin apolipoprotein "
    "coenzyme toxin grade stage phase level category amphotericin cyclosporin ciclosporin cyclin cathepsin serotype "
    "subtype clade arm panel strain chain subunit cytochrome form variant antigen complement penicillin genotype "
    "haplogroup complex bisphenol concanavalin staphylococcal photosystem botulinum".split()
)
NUMBERED = LETTERED | frozenset(
    "chromosome exon intron day week month year hour minute case patient week trimester cycle step line region domain "
    "segment position codon residue site".split()
)
# Words that hold a phrase together and begin or end no compound.
FUNCTION_WORDS = frozenset(
    "a an the and or of in on at to for with without by from as no not nor but than per via versus vs if is are was "
    "were be been due both either neither plus minus that which who whose this these those its their".split()
)
_ROMAN = re.compile(r"(?P<numeral>X{0,2}(?:IX|IV|VI{0,3}|I{1,3})|X{1,2})(?P<letter>[A-Ea-e])?")
_UNITS = {
    **{"mcg": "ug", "mgs": "mg", "kgs": "kg", "mls": "ml", "kd": "kda", "kbp": "kb", "micron": "um", "microns": "um"},
    **dict.fromkeys(("gm", "gms"), "g"),
    **dict.fromkeys(("u", "unit", "units"), "U"),
    **{unit: unit for unit in ("mmhg", "iu", "cm", "km")},
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("wk", "wks", "week", "weeks"), "week"),
    **dict.fromkeys(("mo", "mos", "month", "months"), "month"),
    **dict.fromkeys(("yr", "yrs", "y", "year", "years"), "year"),
}
_METRIC = re.compile("[pnumcdk]?(?:g|l|mol|gy)|kda")
_MOLAR = {"micromolar": "uM", "microm": "uM", "millimolar": "mM", "nanomolar": "nM", "molar": "M", "microg": "ug"}
# A capital prefix is another number: 5 Mmol, 5 mmol.
_MANY_OF_A_UNIT = re.compile("[MGT](?:mol|bp|eq|l|s)")
_METRIC_NAME = re.compile(
    "(?P<prefix>pico|nano|micro|milli|centi|deci|kilo|)(?P<unit>gram|liter|litre|meter|metre|mole|dalton|gray)s?"
)
_SYMBOLS = {"micro": "u", "liter": "l", "litre": "l", "mole": "mol", "dalton": "da", "gray": "gy"}
# By their case: 5 mM is not 5 mm, 2 D no two days.
_CASED_UNITS = {
    **{unit: unit for unit in ("mM", "mm", "nM", "nm", "pM", "pm", "M", "m", "G", "T", "D", "S", "Y", "H", "MG", "Mg")},
    **{"Kb": "kb", "kb": "kb", "kB": "kB", "KB": "kB", "Mb": "Mb", "MB": "MB", "Gb": "Gb", "GB": "GB"},
    **dict.fromkeys(("uM",), "uM"),
    **dict.fromkeys(("um",), "um"),
}

_AMERICAN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"haem(?=[aeio])", "hem"),
        (r"aemi(?=[ac]|as$)", "emi"),
        (r"leukaem", "leukem"),
        (r"oedema", "edema"),
        (r"oesoph", "esoph"),
        (r"^oestr|(?<=pr)oestr|(?<=anti)oestr|(?<=xen)oestr", "estr"),
        (r"foet", "fet"),
        (r"^(ortho)?paed(?=i)", r"\1ped"),
        (r"gynaec", "gynec"),
        (r"anaesth", "anesth"),
        (r"rrhoea", "rrhea"),
        (r"pnoea", "pnea"),
        (r"^coelia", "celia"),
        (r"caesar", "cesar"),
        (r"^faec", "fec"),
        (r"caec(?=um|al)", "cec"),
        (r"synaesth", "synesth"),
        (r"aetiol", "etiol"),
        (r"naev(?=us|i)", "nev"),
        (r"leucocyt", "leukocyt"),
        (r"leucopen", "leukopen"),
        (r"sulph", "sulf"),
        (r"^aluminium$", "aluminum"),
        (r"(?<=m)our(?=s?$|al$|igen)|(?<=avi)our|(?<=av)our|(?<=col)our|(?<=od)our(?=s?$)|(?<=lab)our", "or"),
        (r"(?<=t)umour", "umor"),
        (r"fibre", "fiber"),
        (r"(?<=cent)re(?=s?$)|(?<=lit)re(?=s?$)|(?<=met)re(?=s?$)|(?<=tit)re(?=s?$)", "er"),
        (r"(?<=[a-z]{3})is(?=(?:e|ed|es|ing|er|ers|ation|ations)$)", "iz"),
        (r"(?<=l)ys(?=ing$|ed$|er$|e$)", "yz"),
        (r"^grey$", "gray"),
        (r"^alfa$", "alpha"),
        (r"^programme", "program"),
        (r"^ageing$", "aging"),
        (r"(?<=l)l(?=ing$|ed$)", ""),
    )
)
_NO_PLURALS = frozenset(
    "sars mers "
    "diabetes herpes rabies caries scabies series species measles mumps rickets shingles hives piles bends biceps "
    "triceps quadriceps forceps lens glasses news goods arms aids always perhaps thus this his plus minus means gas "
    "bias atlas canvas pancreas chaos molasses needs yaws glanders graves pus ascites pubes feces faeces pyrogenes "
    "pyogenes aureus cerevisiae elegans sapiens lues tabes facies rubens kuru sepsis across series".split()
)
_IRREGULAR = dict(
    pair.split("/")
    for pair in (
        "men/man women/woman children/child feet/foot teeth/tooth mice/mouse lice/louse geese/goose "
        "bacteria/bacterium mitochondria/mitochondrion criteria/criterion phenomena/phenomenon vertebrae/vertebra "
        "larvae/larva algae/alga nuclei/nucleus fungi/fungus loci/locus foci/focus bacilli/bacillus cocci/coccus "
        "stimuli/stimulus calculi/calculus bronchi/bronchus thrombi/thrombus emboli/embolus ganglia/ganglion "
        "spermatozoa/spermatozoon protozoa/protozoon ova/ovum flagella/flagellum cilia/cilium atria/atrium "
        "septa/septum axes/axis indices/index matrices/matrix appendices/appendix vertices/vertex cortices/cortex "
        "leaves/leaf lives/life knives/knife halves/half wolves/wolf calves/calf gases/gas lenses/lens biases/bias "
        "pancreases/pancreas crises/crisis calories/calorie niches/niche caches/cache abuses/abuse villi/villus "
        "sulci/sulcus gyri/gyrus nevi/nevus hippocampi/hippocampus uteri/uterus diverticula/diverticulum sera/serum "
        "larynges/larynx phalanges/phalanx foramina/foramen lumina/lumen genera/genus"
    ).split()
)
# A word without vowels is an abbreviation in any case.
_SPELLED = re.compile("[b-df-hj-np-tv-xz]{3,}")
_GREEK_PLURAL = re.compile(r"(?:gno|sta|aly|paraly|the|cri|mbo|cho|uro|teno|clero|ptosi|pto|necro|fibro|myco|alo)ses")
_MANY = re.compile(r"(?P<stem>.+(?:ss|sh|ch|x|zz|[^ao]us|o))es")
_ACHES = re.compile(r".*(?:head|tooth|ear|back|stomach)aches")


@lru_cache(maxsize=1 << 16)
def common_word(word: str) -> str:
    """A word in small letters: American, singular; in capitals where it can be but an abbreviation."""
    word = _singular(american(word))
    return word.upper() if word in _ABBREVIATED or _SPELLED.fullmatch(word) else word


def american(word: str) -> str:
    """A word in small letters in American spelling."""
    for pattern, replacement in _AMERICAN:
        word = pattern.sub(replacement, word)
    return word


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 5 and word.endswith(("ae", "omata")):
        return word[:-1] if word.endswith("ae") else word[:-2]
    if len(word) <= 3 or not word.endswith("s") or word in _NO_PLURALS or word.endswith(("ss", "us", "is")):
        return word
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 6 and (match := _GREEK_PLURAL.search(word)) and match.end() == len(word):
        return word[:-2] + "is"
    if len(word) > 5 and not _ACHES.fullmatch(word) and (match := _MANY.fullmatch(word)):
        return match["stem"]
    return word[:-1]


def roman(word: str, *, is_lettered: bool) -> str | None:
    """A Roman numeral up to XX in Arabic, with its letter ("3 b"); short ones only behind a word like "type"."""
    match = _ROMAN.fullmatch(word)
    if match is None or (not is_lettered and (match["letter"] or match["numeral"] in {"I", "V", "X", "IV", "XX"})):
        return None
    value = 0
    numeral = match["numeral"]
    for character, follower in zip(numeral, numeral[1:] + " ", strict=True):
        size = {"I": 1, "V": 5, "X": 10}[character]
        value += -size if size < {"I": 1, "V": 5, "X": 10}.get(follower, 0) else size
    return f"{value} {match['letter'].lower()}" if match["letter"] else str(value)


def unit(word: str) -> str | None:
    """The symbol of a unit that stands behind a number; None for what is none."""
    lowered = word.lower()
    if _MANY_OF_A_UNIT.fullmatch(word):
        return word
    if known := _CASED_UNITS.get(word) or _UNITS.get(lowered) or _MOLAR.get(lowered):
        return known
    if named := _METRIC_NAME.fullmatch(lowered):
        return "".join(_SYMBOLS.get(part, part[:1]) for part in named.groups())
    return lowered if _METRIC.fullmatch(lowered) else None
