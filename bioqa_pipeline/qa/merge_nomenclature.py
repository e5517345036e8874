"""Names that a nomenclature writes in several forms into one: nuclides, oxidation states, substitutions. Pure."""

from __future__ import annotations

import re

# Only those that are no protein, position or cell line: p32 is not 32P, C-14 a carbon of a steroid.
_NUCLIDES = {
    **{"Tc": "technetium", "I": "iodine", "Ga": "gallium", "Lu": "lutetium", "In": "indium", "Zr": "zirconium"},
    **{"Tl": "thallium", "Ra": "radium", "Y": "yttrium", "Co": "cobalt", "Cs": "cesium", "Cu": "copper"},
    **{"F": "fluorine", "Sr": "strontium", "Sm": "samarium", "Rb": "rubidium", "Xe": "xenon", "Ac": "actinium"},
}
_SYMBOL = "|".join(_NUCLIDES)
_MASS = "99m|12[345]|13[137]|6[0478]|177|111|8[29]|201|22[356]|90|57|18|153"
_ISOTOPE = re.compile(rf"(?<![\w.,])(?:[(\[]?({_MASS})[)\]]?({_SYMBOL})|({_SYMBOL})-({_MASS}))(?!\w)")
_METALS = {
    pair.split("/")[1]: pair.split("/")[0]
    for pair in "Fe/iron Cu/copper Co/cobalt Cr/chromium Mn/manganese Hg/mercury As/arsenic Pt/platinum Pb/lead "
    "Ni/nickel Sn/tin Au/gold Sb/antimony Ru/ruthenium V/vanadium Tl/thallium Ce/cerium Mo/molybdenum".split()
}
_STATES = {numeral: value for value, numeral in enumerate("I II III IV V VI".split(), start=1)}
_STATE = re.compile(
    rf"\b(?:({'|'.join(_METALS.values())})|((?i:{'|'.join(_METALS)}))\s?)\((I{{1,3}}|IV|VI?|[1-6](?=\+))\+?\)"
)
# Of A, B and C, the group of alleles has the number of the serotype: HLA-B*27, HLA-B27; a longer number is an allele.
_ALLELES = re.compile(r"\bHLA[- ]?([ABC])w?\*?0?([1-9]\d?)(?![\d:])")
_OLD_ALLELE = re.compile(r"\b(HLA[- ]?[A-Z]{1,3}\d?\*)(\d\d)(\d\d)(?![\d:])")
_ACIDS = dict(
    pair.split("/")
    for pair in "Ala/A Arg/R Asn/N Asp/D Cys/C Gln/Q Glu/E Gly/G His/H Ile/I Leu/L Lys/K Met/M Phe/F Pro/P Ser/S Thr/T "
    "Trp/W Tyr/Y Val/V Ter/X".split()
)
_ACID = "|".join(_ACIDS)
_SUBSTITUTION = re.compile(rf"(?<![\w(])(?:p\.)?(\()?({_ACID})(\d{{1,5}})({_ACID}|del|fs)(?(1)\))(?!\w)")
_ALWAYS = (
    (re.compile(r"\bGABA[-_ ]?\(?([ABC])\)?(?!\w)"), r"GABA-\1"),
    (re.compile(r"\b([Ii]nfluenza [AB])\s?/\s?(?=H\d)"), r"\1 "),
    (re.compile(r"\bC57B[Ll][/ -]?(6|10)"), r"C57BL/\1"),
    (re.compile(r"\b(?:hsa|mmu)-(?=miR|let)"), ""),
    (re.compile(r"(?<![\w-])([KNH])-?(?:ras|RAS|Ras)(?!\w)"), r"\1RAS"),
    (re.compile(r"(?<!\w)NF-?\s?(?:k|κ|kappa)-?\s?B(?!\w)"), "NF-kappaB"),
    (re.compile(r"\b[Vv]it\.?\s(?=[A-EK]\d{0,2}(?!\w))"), "vitamin "),
    (re.compile(r"\bHb\s(?=A1[cC]\b)"), "Hb"),
    (re.compile(r"\bPA(?=C?O2)"), "P alveolar "),
    (re.compile(r"\bT2\*"), "T2 star"),
)


def nomenclature(text: str) -> str:
    """131I, (131)I and I-131 are iodine-131; iron(III) and Fe(III) Fe3+; HLA-B*27 is HLA-B27; Val600Glu is V600E."""
    if "HLA" in text:
        text = _OLD_ALLELE.sub(r"\1\2:\3", _ALLELES.sub(r"HLA-\1\2", text))
    if "(" in text:
        text = _STATE.sub(_charged, text)
    text = _ISOTOPE.sub(lambda found: f"{_NUCLIDES[found[2] or found[3]]}-{found[1] or found[4]}", text)
    text = _SUBSTITUTION.sub(lambda found: f"{_ACIDS[found[2]]}{found[3]}{_ACIDS.get(found[4], found[4])}", text)
    for pattern, replacement in _ALWAYS:
        text = pattern.sub(replacement, text)
    return text


def _charged(found: re.Match[str]) -> str:
    symbol = found[1] or _METALS[found[2].lower()]
    return f"{symbol}{_STATES.get(found[3], found[3])}+"
