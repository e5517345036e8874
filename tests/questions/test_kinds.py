"""Which questions ask for yes or no."""

from __future__ import annotations

import pytest

from bioqa_pipeline.questions.kinds import asks_yes_or_no


@pytest.mark.parametrize(
    "text",
    [
        "Does vitamin C improve wound healing?",
        "is aspirin safe in pregnancy?",
        "Can statins cause diabetes",
        "Isn't warfarin an anticoagulant?",
        "Don’t opioids cause constipation?",
        "In adults with asthma, does montelukast reduce exacerbations?",
        "Among women over 50, without a fracture, should densitometry be offered?",
        "Should it be given or not?",
        "HAS THE DRUG BEEN APPROVED?",
        "“Is it inherited?”",
        "Is there any drug that treats scurvy?",
        "Are there drugs which inhibit it?",
        "Should children be vaccinated, yes or no?",
        "True or false: aspirin thins the blood?",
        "Please tell me: does aspirin help?",
        "And is it safe?",
        "According to the guideline, may it be given?",
        "Whether statins prevent stroke?",
        "Statins prevent stroke, don't they?",
        "Has it been shown and is it sold?",
        "Can you tell me whether zinc helps?",
        "I would like to know if zinc helps",
    ],
)
def test_yes_or_no(text: str) -> None:
    assert asks_yes_or_no(text)


@pytest.mark.parametrize(
    "text",
    [
        "Which gene is mutated in cystic fibrosis?",
        "What does allopurinol inhibit?",
        "Is fingolimod a drug or a pro-drug?",
        "Does dasatinib promote or inhibit T-cell proliferation?",
        "Issues in care: which are they?",
        "Candida auris was first found where?",
        "In which organ does insulin form?",
        "ISG15 binds what?",
        "How does heparin act, and is it reversible?",
        "Dose of aspirin in stroke",
        "Can gene therapy cure it, and if so which kind?",
        "Are statins effective? If so, in whom?",
        "Is BRCA1 a gene, and what does it do?",
        "Can you name the gene that is mutated?",
        "Could you tell me which gene is mutated?",
        "Do we know what causes scurvy?",
        "Is it known which gene causes it?",
        "Has anyone found which gene causes it?",
        "CAN is treated how?",
        "May-Thurner syndrome affects which vein?",
        "Will Rogers described what?",
        "Do-not-resuscitate orders were first given where?",
        "",
    ],
)
def test_answered_by_a_span(text: str) -> None:
    assert not asks_yes_or_no(text)
