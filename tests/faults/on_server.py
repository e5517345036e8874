"""Faults of a real S3 server on loopback, with the real client: answers that are lost, requests that fail."""

from __future__ import annotations

import atexit
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.storage.s3 import ObjectStorage
from bioqa_pipeline.storage.uri import ObjectUri
from faults.history import History
from faults.work import Work, new_ledger
from support.s3_server import Fault, S3Server

N_PUTS, N_REQUESTS = 20, 80
RETRY_SECONDS = 1.0


@cache
def server() -> S3Server:
    made = S3Server()
    atexit.register(made.close)
    return made


class ServerHistory(History):
    """The life of a data set on the server."""

    def __init__(self, rng: random.Random, uri: str) -> None:
        super().__init__(rng, new_ledger(), Dataset(ObjectStorage(ObjectUri(uri), retry_seconds=RETRY_SECONDS)))
        self.n_pairs = 0
        self.struck = ""

    def strike(self, methods: set[str], at: int, fault: Fault, *, lasting: bool) -> None:
        self.n_pairs += self.rng.randint(1, 3)
        left = [at]

        def answer(method: str, path: str) -> Fault | None:
            if method not in methods:
                return None
            left[0] -= 1
            if left[0] >= 0 or (self.struck and not lasting):
                return None
            self.struck = self.struck or f"{method} {path}: {fault}"
            return fault

        self.struck = ""
        try:
            with server().failing(answer):
                self.work().run(self.n_pairs)
        except BioqaError:
            pass
        if self.struck:
            self.inject(self.struck)
        self.struck = ""

    def work(self) -> Work:
        return Work(self.dataset, self.ledger, self.rng, self.next_run_id(), struck=lambda: self.struck)

    def recover(self) -> None:
        self.work().run(self.n_pairs)
        self.check()
        keys = server().keys(self.dataset.storage.location)
        self.check_clean(lambda folder: {key.split("/")[1] for key in keys if key.startswith(f"{folder}/")})


@contextmanager
def server_history(rng: random.Random) -> Iterator[ServerHistory]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server().environment().items():
            patch.setenv(name, value)
        yield ServerHistory(rng, server().new_uri())


def answer_lost(history: ServerHistory) -> None:
    """A request is done or not, and its answer is an error in place of what it came to."""
    rng = history.rng
    for _ in range(rng.randint(1, 2)):
        fault = Fault(rng.choice((500, 503)), after=rng.random() < 0.7)
        if rng.random() < 0.7:
            history.strike({"PUT"}, rng.randrange(N_PUTS), fault, lasting=False)
        else:
            history.strike({"PUT", "GET", "POST", "DELETE", "HEAD"}, rng.randrange(N_REQUESTS), fault, lasting=False)
        history.check()
    history.recover()
