"""Writes folders of PubMed files as NLM delivers them: numbered, gzipped, each with its .md5; and spoils them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from bioqa_pipeline.sources.medline.source import MedlineSource

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet SYSTEM "http://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">
"""


@dataclass(frozen=True, slots=True)
class Article:
    """A record to be written; `revised` is year-month-day, `links` are (RefType, PMID)."""

    pmid: int
    text: str = "Plain words."
    title: str = "A title"
    version: int = 1
    revised: str = "2020-01-01"
    published: str = "2019"
    is_retracted: bool = False
    links: tuple[tuple[str, int], ...] = ()

    def xml(self) -> str:
        year, month, day = self.revised.split("-")
        abstract = f"<Abstract><AbstractText>{escape(self.text)}</AbstractText></Abstract>" if self.text else ""
        kinds = '<PublicationType UI="D016441">Retracted Publication</PublicationType>' if self.is_retracted else ""
        types = f"<PublicationTypeList>{kinds}</PublicationTypeList>" if kinds else ""
        links = "".join(
            f'<CommentsCorrections RefType="{kind}"><RefSource>J 2020</RefSource><PMID Version="1">{pmid}</PMID>'
            "</CommentsCorrections>"
            for kind, pmid in self.links
        )
        corrections = f"<CommentsCorrectionsList>{links}</CommentsCorrectionsList>" if links else ""
        return f"""<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM">
<PMID Version="{self.version}">{self.pmid}</PMID>
<DateRevised><Year>{year}</Year><Month>{month}</Month><Day>{day}</Day></DateRevised>
<Article PubModel="Print"><Journal><JournalIssue CitedMedium="Print"><PubDate><Year>{self.published}</Year></PubDate>
</JournalIssue><Title>A journal</Title></Journal><ArticleTitle>{escape(self.title)}</ArticleTitle>{abstract}
<Language>eng</Language>{types}</Article>{corrections}</MedlineCitation>
<PubmedData><ArticleIdList><ArticleId IdType="pubmed">{self.pmid}</ArticleId></ArticleIdList></PubmedData>
</PubmedArticle>"""


def file_xml(articles: Sequence[Article | str], deleted: Sequence[int] = ()) -> str:
    """A whole file; strings among the articles are written as they are."""
    records = "\n".join(a.xml() if isinstance(a, Article) else a for a in articles)
    gone = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in deleted)
    deletions = f"<DeleteCitation>{gone}</DeleteCitation>" if gone else ""
    return f"{HEAD}<PubmedArticleSet>\n{records}\n{deletions}\n</PubmedArticleSet>\n"


def write_file(path: Path, articles: Sequence[Article | str], deleted: Sequence[int] = ()) -> Path:
    """A gzipped file and its .md5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(file_xml(articles, deleted).encode(), mtime=0))
    write_md5(path)
    return path


def write_md5(path: Path) -> None:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    path.with_name(path.name + ".md5").write_text(f"MD5({path.name})= {digest}\n")


def numbered(folder: Path, number: int, year: int = 99) -> Path:
    """The path of a baseline or update file."""
    return folder / f"pubmed{year:02d}n{number:04d}.xml.gz"


def write_twin(folder: Path) -> None:
    """Four files: 2 is revised in the second, 3 deleted in the third, 3 back in the fourth; 4 has no abstract."""
    first = [Article(1, "Aspirin thins blood."), Article(2, "Old wording."), Article(3, "Warfarin thins blood, too.")]
    write_file(numbered(folder, 1), [*first, Article(4, "")])
    write_file(numbered(folder, 2), [Article(2, "Revised wording.", revised="2021-05-05")])
    write_file(numbered(folder, 3), [Article(5, "Zebrafish larvae.")], deleted=[3, 77])
    write_file(numbered(folder, 4), [Article(3, "Warfarin is back.", revised="2019-01-01")])


def import_folder(folder: Path, home: Path, workers: int) -> None:
    """For processes of their own."""
    MedlineSource(folder, home=home, workers=workers)
