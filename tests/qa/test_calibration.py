from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.qa.calibration import (
    ReliabilityBin,
    auroc,
    expected_calibration_error,
    fit_calibration,
    reliability,
)


def test_recovers_the_map_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(1.0, 4.0, 40_000)
    labels = rng.random(40_000) < 1 / (1 + np.exp(-(0.7 * margins - 0.4)))
    fitted = fit_calibration(margins.tolist(), labels.tolist())
    assert (fitted.slope, fitted.log_windows, fitted.intercept) == pytest.approx((0.7, 0.0, -0.4), abs=0.06)
    probabilities = [fitted.probability(m, 1) for m in margins.tolist()]
    assert expected_calibration_error(reliability(probabilities, labels.tolist())) < 0.02


def test_pairs_without_a_span_are_left_out() -> None:
    rng = np.random.default_rng(1)
    margins = rng.normal(0.0, 2.0, 500)
    labels = (margins + rng.normal(0, 1, 500) > 0).tolist()
    plain = fit_calibration(margins.tolist(), labels)
    assert plain.slope > 0
    assert fit_calibration([*margins.tolist(), -math.inf], [*labels, True]) == plain


def test_separable_labels_have_a_finite_fit() -> None:
    fitted = fit_calibration([-3.0, -2.0, 2.0, 3.0], [False, False, True, True])
    assert math.isfinite(fitted.slope)
    assert fitted.probability(-2.0, 1) < 0.1
    assert fitted.probability(2.0, 1) > 0.9


def test_one_kind_of_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="answerable and unanswerable"):
        fit_calibration([0.0, 1.0], [True, True])


@given(rows=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), n_bins=st.integers(1, 12))
def test_bins_have_equal_mass_and_lose_nothing(rows: list[tuple[float, bool]], n_bins: int) -> None:
    bins = reliability([p for p, _ in rows], [label for _, label in rows], n_bins)
    sizes = [b.count for b in bins]
    assert sum(sizes) == len(rows)
    assert max(sizes) - min(sizes) <= 1
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    assert sum(b.observed * b.count for b in bins) == pytest.approx(sum(label for _, label in rows))


def test_ece_by_hand() -> None:
    assert expected_calibration_error([ReliabilityBin(0.2, 0.5, 10), ReliabilityBin(0.9, 0.8, 30)]) == pytest.approx(
        0.15
    )
    assert expected_calibration_error([]) == 0.0


@given(rows=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    positives = [s for s, label in rows if label]
    negatives = [s for s, label in rows if not label]
    found = auroc([s for s, _ in rows], [label for _, label in rows])
    if not positives or not negatives:
        assert math.isnan(found)
        return
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    assert found == pytest.approx(wins / (len(positives) * len(negatives)))


def test_a_model_whose_margins_fall_where_answers_are_gets_a_flat_map() -> None:
    found = fit_calibration([-2.0, -1.0, 1.0, 2.0, 3.0], [True, True, True, False, False])
    assert found.slope == 0.0
    assert found.probability(-5.0, 1) == found.probability(5.0, 1) == pytest.approx(0.6, abs=1e-6)
