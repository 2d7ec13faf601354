"""Scenes drawn by worker processes, so that training never waits for Python."""

from __future__ import annotations

import multiprocessing as mp
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pictures import load_pictures
from scenes import SceneBatch, SceneSampler
from tokenizer import PromptTokenizer


class PromptedScenes(NamedTuple):
    scenes: SceneBatch
    tokens: np.ndarray
    lengths: np.ndarray


def _work(packed: Path, tokenizer: Path, batch: int, seed: int, heldout: bool, queue: mp.Queue) -> None:
    sampler = SceneSampler(load_pictures(packed), seed, heldout)
    tokenize = PromptTokenizer(tokenizer)
    while True:
        scenes = sampler.batch(batch)
        queue.put(PromptedScenes(scenes, *tokenize(scenes.prompts)))


class SceneStream:
    """An endless iterator over batches of scenes with their tokens."""

    def __init__(self, packed: Path, tokenizer: Path, batch: int, workers: int, seed: int, heldout: bool = False) -> None:
        context = mp.get_context("spawn")
        self.queue: mp.Queue = context.Queue(maxsize=4 * workers)
        self.workers = [
            context.Process(
                target=_work, args=(packed, tokenizer, batch, 1000 * seed + i, heldout, self.queue), daemon=True
            )
            for i in range(workers)
        ]
        for worker in self.workers:
            worker.start()

    def __next__(self) -> PromptedScenes:
        return self.queue.get()

    def close(self) -> None:
        for worker in self.workers:
            worker.terminate()
