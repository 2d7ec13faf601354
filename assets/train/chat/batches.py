"""Training rows made by worker processes: documents of the corpus and composed samples, packed to one length."""

from __future__ import annotations

import json
import multiprocessing as mp
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import END_OF_TEXT, SEQUENCE
from corpus import ANSWER_PREFIX, NAMES, TURN_END, WEIGHTS, normalised
from expand import Composer, Sample, Things, read_twice

# Of all tokens.
SHARES = {"corpus": 0.56, "expansion": 0.2, "drill": 0.04, "doubt": 0.03, "sum": 0.06, "fact": 0.05, "remark": 0.06}
TWICE = {"expansion": 0.35, "drill": 0.2, "doubt": 0.05, "sum": 0.05, "fact": 0.05, "remark": 0.05}  # requests that are said twice
JOINED = 0.2  # samples that go on in the conversation before them
REFILL = 256
MASKED = -1  # a masked token t is kept as MASKED - t


class Corpus:
    """Documents in random order, each as often as its source's weight says."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.starts = np.load(folder / "starts.npy")
        names = json.loads((folder / "sources.json").read_text())
        self.weights = np.array([WEIGHTS.get(name, 1) for name in names])[np.load(folder / "sources.npy")]
        self.rng = rng
        self.order: deque[int] = deque()

    def document(self) -> np.ndarray:
        if not self.order:
            times = np.floor(self.weights + self.rng.random(len(self.weights))).astype(int)
            order = np.repeat(np.arange(len(times)), times)
            self.rng.shuffle(order)
            self.order.extend(order.tolist())
        i = self.order.popleft()
        return self.tokens[self.starts[i] : self.starts[i + 1]]


class Samples:
    """Composed samples as documents; the request is read and not learned, and none is a question of the tests."""

    def __init__(self, draw: Callable[[], Sample], twice: float, encoder, rng: np.random.Generator, refused: set[str]) -> None:
        self.draw, self.twice, self.encoder, self.rng, self.refused = draw, twice, encoder, rng, refused
        self.ready: deque[np.ndarray] = deque()

    def document(self) -> np.ndarray:
        if not self.ready:
            samples = [s for s in (self.draw() for _ in range(REFILL)) if normalised(s.request) not in self.refused]
            requests = [read_twice(s.request) if self.rng.random() < self.twice else s.request for s in samples]
            asked = [f"{NAMES['user']}: {request}{TURN_END}{ANSWER_PREFIX}" for request in requests]
            answers = [f" {s.answer}{TURN_END}" for s in samples]
            for a, b in zip(self.encoder.encode_batch(asked), self.encoder.encode_batch(answers)):
                masked = [MASKED - token for token in (END_OF_TEXT, *a.ids)]
                self.ready.append(np.array([*masked, *b.ids], np.int16))
        return self.ready.popleft()


class Rows:
    """An endless source of rows of SEQUENCE + 1 tokens."""

    def __init__(self, folder: Path, seed: int) -> None:
        import tokenizer
        from doubts import Doubter
        from facts import Asker
        from life import Talker
        from sums import Reckoner

        self.rng = np.random.default_rng(seed)
        encoder = tokenizer.load(folder / "tokenizer.json")
        things = Things.load(folder / "things.json")
        composer = Composer(things, seed)
        asker = Asker(json.loads((folder / "facts.json").read_text()), seed)
        draws = {"expansion": composer.expansion, "drill": composer.drill, "doubt": Doubter(things, seed).doubt,
                 "sum": Reckoner(things, seed).question, "fact": asker.question, "remark": Talker(seed).remark}  # fmt: skip
        refused = {normalised(line) for path in folder.glob("questions*.txt") for line in path.read_text().splitlines()}
        self.sources = {kind: Samples(draw, TWICE[kind], encoder, self.rng, refused) for kind, draw in draws.items()}
        self.sources["corpus"] = Corpus(folder, self.rng)
        self.drawn = dict.fromkeys(SHARES, 0)
        self.rest = np.zeros(0, np.int16)

    def document(self) -> np.ndarray:
        """Of the kind that is most behind its share."""
        kind = min(SHARES, key=lambda name: self.drawn[name] / SHARES[name])
        document = self.sources[kind].document()
        self.drawn[kind] += len(document)
        return document[1:] if kind != "corpus" and self.rng.random() < JOINED else document

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
