"""What PubMed says of a record into what a reader weighs it by: its authors in short, and what kind of study it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

NAMED_AUTHORS = 2
ET_AL = "et al."

# The most telling first; a record has several.
_TYPES = (
    ("meta-analysis", "network meta-analysis"),
    ("meta-analysis", "meta-analysis"),
    ("systematic review", "systematic review"),
    ("practice guideline", "practice guideline"),
    ("guideline", "guideline"),
    ("consensus statement", "consensus development conference"),
    ("randomised trial", "randomized controlled trial"),
    ("randomised trial", "equivalence trial"),
    ("randomised trial", "pragmatic clinical trial"),
    ("controlled trial", "controlled clinical trial"),
    ("clinical trial", "clinical trial"),
    ("study protocol", "clinical trial protocol"),
    ("case report", "case reports"),
    ("twin study", "twin study"),
    ("validation study", "validation study"),
    ("comparative study", "comparative study"),
    ("multicentre study", "multicenter study"),
    ("observational study", "observational study"),
    ("scoping review", "scoping review"),
    ("review", "review"),
    ("historical article", "historical article"),
    ("editorial", "editorial"),
    ("letter", "letter"),
    ("comment", "comment"),
    ("news", "news"),
    ("preprint", "preprint"),
)
_DESIGNS = (
    ("double-blind study", "double-blind method"),
    ("cohort study", "cohort studies"),
    ("case–control study", "case-control studies"),
    ("cross-sectional study", "cross-sectional studies"),
    ("prospective study", "prospective studies"),
    ("retrospective study", "retrospective studies"),
    ("longitudinal study", "longitudinal studies"),
    ("follow-up study", "follow-up studies"),
)


def study_type(publication_types: Collection[str] | None, mesh_terms: Collection[str] | None) -> str:
    """ "randomised trial", "cohort study, in animals"; empty where PubMed does not say.

    By publication type; by the MeSH heading of a design where no type says more than that it is an article.
    """
    types = {name.casefold() for name in publication_types or ()}
    # "Clinical Trial, Phase III" is one.
    types |= {name.partition(",")[0] for name in types}
    headings = {name.casefold() for name in mesh_terms or ()}
    kind = next((words for words, name in _TYPES if name in types), "")
    kind = kind or next((words for words, name in _DESIGNS if name in headings), "")
    in_animals = "animals" in headings and "humans" not in headings
    return ", ".join(filter(None, (kind, "in animals" if in_animals else "")))


def short_authors(names: Sequence[str] | None) -> str:
    """ "Smith J", "Smith J, Doe A", "Smith J, Doe A, et al."."""
    if not names:
        return ""
    if len(names) <= NAMED_AUTHORS + 1 and ET_AL not in names:
        return ", ".join(names)
    return ", ".join([*(name for name in names[:NAMED_AUTHORS] if name != ET_AL), ET_AL])
