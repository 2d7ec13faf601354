"""Training rows made by worker processes: documents of the corpus and composed samples, packed to one length."""

from __future__ import annotations

import json
import multiprocessing as mp
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import END_OF_TEXT, SEQUENCE
from corpus import ANSWER_PREFIX, NAMES, OF_LINEA, SYSTEM_LINE, TURN_END, WEIGHTS, normalised
from expand import Composer, Sample, Things, read_twice

# Of all tokens.
SHARES = {
    "corpus": 0.49, "expansion": 0.2, "drill": 0.03, "doubt": 0.02, "sum": 0.055, "fact": 0.035, "known": 0.05, "remark": 0.07,
    "about": 0.03, "asked": 0.02,
}  # fmt: skip
TWICE = {"expansion": 0.35, "drill": 0.2}  # requests that are said twice; of the other kinds:
TWICE_ELSE = 0.05
LINED = 0.9  # of Linea's conversations begin with the system line
JOINED = 0.3  # samples that go on in Linea's conversation before them
REFILL = 256
MASKED = -1  # a masked token t is kept as MASKED - t


class Corpus:
    """Documents in random order, each as often as its source's weight says, without the end of text; ``of_linea`` tells of the last one."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.starts = np.load(folder / "starts.npy")
        names = json.loads((folder / "sources.json").read_text())
        sources = np.load(folder / "sources.npy")
        self.weights = np.array([WEIGHTS.get(name, 1) for name in names])[sources]
        self.speaks_linea = np.array([name in OF_LINEA for name in names])[sources]
        self.rng = rng
        self.order: deque[int] = deque()
        self.of_linea = False

    def document(self) -> np.ndarray:
        if not self.order:
            times = np.floor(self.weights + self.rng.random(len(self.weights))).astype(int)
            order = np.repeat(np.arange(len(times)), times)
            self.rng.shuffle(order)
            self.order.extend(order.tolist())
        i = self.order.popleft()
        self.of_linea = bool(self.speaks_linea[i])
        return self.tokens[self.starts[i] + 1 : self.starts[i + 1]]


def masked(ids: list[int]) -> list[int]:
    """Tokens that are read and not learned."""
    return [MASKED - token for token in ids]


class Refused:
    """The questions of the tests, which no request may have in it, nor be but for order and polite words."""

    POLITE = frozenset(
        "please linea hi hello hey so say tell me can could would will you do know i wonder really now today a an the".split()
    )

    def __init__(self, questions: list[str]) -> None:
        self.phrases = [f" {normalised(question)} " for question in questions]
        self.words = {self.bare(phrase) for phrase in self.phrases}

    def bare(self, phrase: str) -> frozenset[str]:
        return frozenset(phrase.split()) - self.POLITE

    def __contains__(self, request: str) -> bool:
        words = f" {normalised(request)} "
        return self.bare(words) in self.words or any(phrase in words for phrase in self.phrases)


class Samples:
    """Composed samples as documents without the end of text; the request is not learned, and none has a question of the tests in it."""

    of_linea = True

    def __init__(self, draw: Callable[[], Sample], twice: float, encoder, rng: np.random.Generator, refused: Refused) -> None:
        self.draw, self.twice, self.encoder, self.rng, self.refused = draw, twice, encoder, rng, refused
        self.ready: deque[np.ndarray] = deque()

    def document(self) -> np.ndarray:
        if not self.ready:
            samples = [s for s in (self.draw() for _ in range(REFILL)) if s.request not in self.refused]
            requests = [read_twice(s.request) if self.rng.random() < self.twice else s.request for s in samples]
            asked = [f"{NAMES['user']}: {request}{TURN_END}{ANSWER_PREFIX}" for request in requests]
            answers = [f" {s.answer}{TURN_END}" for s in samples]
            for a, b in zip(self.encoder.encode_batch(asked), self.encoder.encode_batch(answers)):
                self.ready.append(np.array([*masked(a.ids), *b.ids], np.int16))
        return self.ready.popleft()


class Rows:
    """An endless source of rows of SEQUENCE + 1 tokens."""

    def __init__(self, folder: Path, seed: int) -> None:
        import tokenizer
        from about import Teller
        from asked import Requests
        from doubts import Doubter
        from facts import Asker
        from knowledge import Knower
        from life import Talker
        from sums import Reckoner

        self.rng = np.random.default_rng(seed)
        encoder = tokenizer.load(folder / "tokenizer.json")
        things = Things.load(folder / "things.json")
        composer = Composer(things, seed)
        asker = Asker(json.loads((folder / "facts.json").read_text()), seed)
        draws = {"expansion": composer.expansion, "drill": composer.drill, "doubt": Doubter(things, seed).doubt,
                 "sum": Reckoner(things, seed).question, "fact": asker.question, "known": Knower(seed).question,
                 "remark": Talker(seed).remark, "about": Teller(seed).question, "asked": Requests(things, seed).request}  # fmt: skip
        refused = Refused([line for path in folder.glob("questions*.txt") for line in path.read_text().splitlines()])
        self.sources = {kind: Samples(draw, TWICE.get(kind, TWICE_ELSE), encoder, self.rng, refused) for kind, draw in draws.items()}
        self.sources["corpus"] = Corpus(folder, self.rng)
        self.drawn = dict.fromkeys(SHARES, 0)
        self.rest = np.zeros(0, np.int16)
        self.bare = np.array([END_OF_TEXT], np.int16)
        self.lined = np.array([END_OF_TEXT, *masked(encoder.encode(SYSTEM_LINE).ids)], np.int16)
        self.under_line = False  # is the last document one of Linea's conversations under the system line?

    def document(self) -> np.ndarray:
        """Of the kind that is most behind its share."""
        kind = min(SHARES, key=lambda name: self.drawn[name] / SHARES[name])
        source = self.sources[kind]
        body = source.document()
        self.drawn[kind] += len(body)
        if kind != "corpus" and self.under_line and self.rng.random() < JOINED:
            return body
        self.under_line = source.of_linea and self.rng.random() < LINED
        return np.concatenate([self.lined if self.under_line else self.bare, body])

    def row(self) -> np.ndarray:
        """Begins with the rest of the last document, or afresh; half of the fresh ones without the end of text."""
        parts, length = [], 0
        if len(self.rest) > 32 and self.rng.random() < 0.7:
            parts, length = [self.rest[: SEQUENCE + 1]], len(self.rest)
        while length < SEQUENCE + 1:
            document = self.document()
            if not parts and self.rng.random() < 0.5:
                document = document[1:]
            parts.append(document)
            length += len(document)
        joined = np.concatenate(parts)
        self.rest = joined[SEQUENCE:]
        return joined[: SEQUENCE + 1]


def _work(folder: Path, batch: int, seed: int, queue: mp.Queue) -> None:
    rows = Rows(folder, seed)
    while True:
        queue.put(np.stack([rows.row() for _ in range(batch)]))


class BatchStream:
    """An endless iterator over int16 [batch, SEQUENCE + 1] from worker processes."""

    def __init__(self, folder: Path, batch: int, workers: int, seed: int) -> None:
        context = mp.get_context("spawn")
        self.queue: mp.Queue = context.Queue(maxsize=8 * workers)
        self.workers = [
            context.Process(target=_work, args=(folder, batch, 1000 * seed + i, self.queue), daemon=True) for i in range(workers)
        ]
        for worker in self.workers:
            worker.start()

    def __next__(self) -> np.ndarray:
        return self.queue.get(timeout=120)

    def close(self) -> None:
        for worker in self.workers:
            worker.terminate()
