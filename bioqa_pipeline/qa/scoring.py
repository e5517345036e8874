"""(question, passage) pairs into answers: tokenise once, cut, score, decode. The one way to a score.

The main job, evaluation and calibration all come through here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bioqa_pipeline.config import ScoringConfig
from bioqa_pipeline.qa.answers import PairAnswers, answer_pairs
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.char_ranges import CharBounds, CharRanges, char_bounds
from bioqa_pipeline.qa.inference import Scorer, score_windows
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.qa.windows import make_windows
from bioqa_pipeline.records.scores import PassageAnswer, Places, TokenizedText, Windows, WindowScores
from bioqa_pipeline.records.texts import Passage

# An abstract of 300 tokens takes 10 KB: at most some 40 MB are kept.
CACHED_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class PairScores:
    """Some (question, passage) pairs scored, with their windows for whoever wants to store them.

    Attributes:
        texts, ranges: the distinct passages.
        read: (n_pairs,) which of them each pair reads.
    """

    answers: PairAnswers
    windows: Windows
    scores: WindowScores
    texts: tuple[str, ...]
    ranges: CharRanges
    read: Places

    def __len__(self) -> int:
        return len(self.read)

    def __iter__(self) -> Iterator[PassageAnswer]:
        return map(self.answers.answer, range(len(self)))


@dataclass(frozen=True, slots=True)
class _ReadText:
    tokens: TokenizedText
    bounds: CharBounds


class PairScorer:
    """Scores pairs on one device; may be used from several threads, which take turns on the device.

    While one thread's windows are scored, another can tokenise its pairs and write what came of the ones before.

    Args:
        threshold: on `score_diff`; a pair is answerable at or below it.
        calibration: None gives answers without a probability.
    """

    def __init__(
        self,
        scorer: Scorer,
        tokenizer: TextTokenizer,
        config: ScoringConfig,
        *,
        threshold: float,
        calibration: Calibration | None,
    ) -> None:
        self.scorer = scorer
        self.config = config
        self.threshold = threshold
        self.calibration = calibration
        self._tokenizer = tokenizer
        self._cache: OrderedDict[str, _ReadText] = OrderedDict()
        self._cache_mutex = threading.Lock()
        self._device_mutex = threading.Lock()

    def score(
        self, pairs: Sequence[tuple[str, Passage]], *, progress: Callable[[float], None] | None = None
    ) -> PairScores:
        """Scores pairs of (question text, passage) together; results in their order.

        Args:
            progress: called batch by batch with what was done, in pairs; the calls add up to the number of pairs.

        Raises:
            NonFiniteLogitError: the model gave a logit that is not finite.
        """
        questions, asked = _distinct(question for question, _ in pairs)
        texts, read = _distinct(passage.text for _, passage in pairs)
        known = self._read({*questions, *texts})
        windows = make_windows(
            [known[text].tokens for text in questions],
            [known[text].tokens for text in texts],
            asked,
            read,
            self._tokenizer.special,
            self.config.windows,
        )

        def on_batch(n_windows: int) -> None:
            if progress:
                progress(n_windows * len(pairs) / len(windows))

        with self._device_mutex:
            scores = score_windows(windows, self.scorer, self.config.spans, on_batch=on_batch)
        ranges = CharRanges([known[text].bounds for text in texts])
        answers = answer_pairs(
            windows,
            scores,
            texts,
            ranges,
            read,
            self.config.spans,
            threshold=self.threshold,
            calibration=self.calibration,
        )
        return PairScores(answers, windows, scores, texts, ranges, read)

    def _read(self, texts: set[str]) -> dict[str, _ReadText]:
        """Each text from the cache where it is there; new ones in one call."""
        with self._cache_mutex:
            found = {}
            for text in texts & self._cache.keys():
                self._cache.move_to_end(text)
                found[text] = self._cache[text]
            new = sorted(texts - found.keys())
            tokens = self._tokenizer(new) if new else []
            for text, own, bounds in zip(new, tokens, char_bounds(new, tokens), strict=True):
                found[text] = self._cache[text] = _ReadText(own, bounds)
            while len(self._cache) > CACHED_TEXTS:
                self._cache.popitem(last=False)
            return found


def _distinct(texts: Iterable[str]) -> tuple[tuple[str, ...], Places]:
    """The different texts in the order of their first coming, and of each text which of them it is."""
    numbers: dict[str, int] = {}
    which = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
    return tuple(numbers), which
