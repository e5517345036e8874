"""(question, passage) pairs into answers: tokenise once, cut, score, decode. The one way to a score.

The main job, evaluation and calibration all come through here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bioqa_pipeline.config import ScoringConfig
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.inference import Scorer, score_windows
from bioqa_pipeline.qa.spans import answer_passage
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.qa.windows import make_windows
from bioqa_pipeline.records.scores import PassageAnswer, TokenizedText, Window, WindowScore
from bioqa_pipeline.records.texts import Passage

# An abstract of 300 tokens takes 4 KB: at most some 16 MB are kept.
CACHED_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class PairScore:
    """One (question, passage) pair scored, with its windows for whoever wants to store them."""

    answer: PassageAnswer
    windows: tuple[Window, ...]
    scores: tuple[WindowScore, ...]
    passage_tokens: TokenizedText


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
        self._cache: OrderedDict[str, TokenizedText] = OrderedDict()
        self._cache_mutex = threading.Lock()
        self._device_mutex = threading.Lock()

    def score(
        self, pairs: Sequence[tuple[str, Passage]], *, progress: Callable[[float], None] | None = None
    ) -> list[PairScore]:
        """Scores pairs of (question text, passage) together; results in their order.

        Args:
            progress: called batch by batch with what was done, in pairs; the calls add up to the number of pairs.

        Raises:
            NonFiniteLogitError: the model gave a logit that is not finite.
        """
        tokens = self._tokenize({text for question, passage in pairs for text in (question, passage.text)})
        windows: list[Window] = []
        for question, passage in pairs:
            windows += make_windows(
                tokens[question], tokens[passage.text], self._tokenizer.special, self.config.windows
            )

        def on_batch(n_windows: int) -> None:
            if progress:
                progress(n_windows * len(pairs) / len(windows))

        with self._device_mutex:
            scores = score_windows(windows, self.scorer, self.config.spans, on_batch=on_batch)
        results = []
        position = 0
        for _, passage in pairs:
            own = slice(position, position + windows[position].n_windows)
            position = own.stop
            results.append(self._paired(passage, tokens[passage.text], tuple(windows[own]), tuple(scores[own])))
        return results

    def _paired(
        self, passage: Passage, tokens: TokenizedText, windows: tuple[Window, ...], scores: tuple[WindowScore, ...]
    ) -> PairScore:
        answer = answer_passage(
            scores, passage, tokens, self.config.spans, threshold=self.threshold, calibration=self.calibration
        )
        return PairScore(answer=answer, windows=windows, scores=scores, passage_tokens=tokens)

    def _tokenize(self, texts: set[str]) -> dict[str, TokenizedText]:
        """Each text from the cache where it is there; new ones in one call."""
        with self._cache_mutex:
            found = {}
            for text in texts & self._cache.keys():
                self._cache.move_to_end(text)
                found[text] = self._cache[text]
            new = sorted(texts - found.keys())
            for text, tokens in zip(new, self._tokenizer(new) if new else (), strict=True):
                found[text] = self._cache[text] = tokens
            while len(self._cache) > CACHED_TEXTS:
                self._cache.popitem(last=False)
            return found
