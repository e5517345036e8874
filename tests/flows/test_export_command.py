"""From an exported file and questions to a page and a table, as a newcomer does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from flows.commands import run
from support.checkpoints import make_checkpoint

DRUGS = {"malaria": "quinine", "pain": "aspirin", "diabetes": "metformin", "scurvy": "vitamin C", "diarrhoea": "zinc"}


def nbib(n_records: int) -> str:
    """So many records in PubMed's MEDLINE format."""
    records = []
    for number in range(n_records):
        disease, drug = list(DRUGS.items())[number % len(DRUGS)]
        records.append(
            f"PMID- {90_000_001 + number}\nOWN - NLM\nSTAT- MEDLINE\nDP  - 2019 Dec 3\n"
            f"TI  - {drug.capitalize()} for {disease}: trial {number}.\n"
            f"LID - 10.9999/own.{number} [doi]\nAB  - BACKGROUND: The treatment of {disease} is old. CONCLUSION: The\n"
            f"      drug that treats {disease} is {drug}.\nLA  - eng\nPT  - Journal Article\nJT  - Journal of our own\n"
        )
    return "\r\n".join("\n".join(records).split("\n"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder after the first command."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "export.nbib").write_text(nbib(50), newline="")
    (folder / "questions.txt").write_text("".join(f"What treats {disease}?\n" for disease in DRUGS))
    model = make_checkpoint(folder / "model", layers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BIOQA_CACHE", str(folder / "cache"))
        options = ["--questions", "questions.txt", "--files", "export.nbib", "--out", "answers", "--no-prefect"]
        assert run.main([*options, "--model", str(model), "--threshold", "100", "--device", "cpu"]) == 0
    return folder


def test_the_first_command_asks_every_record_every_question(folder: Path) -> None:
    assert len(list((folder / "answers" / "runs").glob("*.html"))) == 1
    answers = Dataset(folder / "answers").answers().collect()
    assert len(answers) == 50 * len(DRUGS) and answers["pmid"].n_unique() == 50
    assert set(answers["journal"]) == {"Journal of our own"}
