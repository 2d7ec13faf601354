"""Golden data of the sampler: which tokens every filter keeps of random logits, and the distribution that is drawn from.

    python make_lm_sampler.py OUT_FILE      (tests/data/lm/sampler.safetensors)

logits f32 [4, 501] with different spreads. `<case>` f64 [4, 501] is the distribution of the named case, 0 where a token is not kept:
transformers' processors and warpers for temperature, top-k, top-p, min-p, typical, repetition and combinations; the arithmetic of package
`rwkv` (sample_logits, and its penalties) for the names that begin with rwkv. Mirostat 2 is written out from arXiv 2007.14966, algorithm 2.
Needs torch, transformers, rwkv, safetensors.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers.generation import logits_process as hf

ROWS, VOCABULARY = 4, 501
SEEN = [3, 5, 5, 100, 500, 3, 42]


def softmax(x: torch.Tensor) -> np.ndarray:
    return torch.softmax(x.double(), dim=-1).numpy()


def transformers(logits: torch.Tensor, *steps) -> np.ndarray:
    ids = torch.tensor([SEEN] * logits.shape[0])
    for step in steps:
        logits = step(ids, logits.clone())
    return softmax(logits)


def rwkv(logits: torch.Tensor, temperature: float, top_p: float, top_k: int) -> np.ndarray:
    """rwkv.utils.PIPELINE.sample_logits without its draw (the CPU branch)."""
    rows = []
    for row in logits:
        probs = torch.softmax(row.float(), dim=-1).numpy()
        sorted_ids = np.argsort(probs)
        sorted_probs = probs[sorted_ids][::-1]
        cumulative = np.cumsum(sorted_probs)
        cutoff = float(sorted_probs[np.argmax(cumulative >= top_p)])
        probs[probs < cutoff] = 0
        if 0 < top_k < len(probs):
            probs[sorted_ids[:-top_k]] = 0
        if temperature != 1.0:
            probs = probs ** (1.0 / temperature)
        probs = probs.astype(np.float64)
        rows.append(probs / probs.sum())
    return np.stack(rows)


def rwkv_penalties(logits: torch.Tensor, presence: float, frequency: float, decay: float) -> torch.Tensor:
    """The loop of rwkv.utils.PIPELINE.generate over the tokens of SEEN."""
    occurrence: dict[int, float] = {}
    for token in SEEN:
        for key in occurrence:
            occurrence[key] *= decay
        occurrence[token] = occurrence.get(token, 0) + 1
    logits = logits.clone()
    for key, value in occurrence.items():
        logits[:, key] -= presence + value * frequency
    return logits


def mirostat(logits: torch.Tensor, mu: float) -> np.ndarray:
    p = softmax(logits)
    p[(-np.log2(p) > mu) & (p < p.max(axis=1, keepdims=True))] = 0
    return p / p.sum(axis=1, keepdims=True)


def main() -> None:
    generator = torch.Generator().manual_seed(4)
    spread = torch.linspace(0.5, 6, ROWS)[:, None]
    logits = torch.randn((ROWS, VOCABULARY), generator=generator) * spread
    cases = {
        "temperature": transformers(logits, hf.TemperatureLogitsWarper(0.6)),
        "top_k": transformers(logits, hf.TopKLogitsWarper(13)),
        "top_p": transformers(logits, hf.TopPLogitsWarper(0.8)),
        "min_p": transformers(logits, hf.MinPLogitsWarper(0.05)),
        "typical": transformers(logits, hf.TypicalLogitsWarper(0.7)),
        "repetition": transformers(logits, hf.RepetitionPenaltyLogitsProcessor(1.3)),
        "transformers": transformers(
            logits, hf.RepetitionPenaltyLogitsProcessor(1.2), hf.TemperatureLogitsWarper(1.4), hf.TopKLogitsWarper(50), hf.TopPLogitsWarper(0.9),
            hf.MinPLogitsWarper(0.02), hf.TypicalLogitsWarper(0.95)),
        "rwkv": rwkv(logits, 1.0, 0.85, 0),
        "rwkv_hot": rwkv(logits, 2.0, 0.5, 0),
        "rwkv_cold": rwkv(logits, 0.3, 0.3, 7),
        "rwkv_greedy": rwkv(logits, 1.0, 0.0, 0),
        "rwkv_penalties": rwkv(rwkv_penalties(logits, 0.4, 0.3, 0.996), 1.0, 0.7, 0),
        "mirostat": mirostat(logits, 6.0),
    }
    save_file({"logits": logits.numpy(), **cases}, sys.argv[1])


if __name__ == "__main__":
    main()
