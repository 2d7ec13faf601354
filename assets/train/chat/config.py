"""Sizes of the two chat models and of their training sequences.

Widths are multiples of 256, so that every matrix can be stored in GGUF's 256-element blocks, and the whole file in 10 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

VOCABULARY = 6144
SEQUENCE = 512  # tokens of a training row
END_OF_TEXT = 0  # starts every document and ends nothing but it


@dataclass(frozen=True)
class Rwkv7Config:
    """RWKV-7: low-rank sizes for decay, in-context learning rate, value residual and gate."""

    vocabulary: int = VOCABULARY
    width: int = 256
    layers: int = 9
    head: int = 64
    feed_forward: int = 1024
    decay_rank: int = 32
    rate_rank: int = 16
    value_rank: int = 16
    gate_rank: int = 32


@dataclass(frozen=True)
class Mamba2Config:
    """Mamba-2 with one group and a tied head."""

    vocabulary: int = VOCABULARY
    width: int = 256
    layers: int = 20
    head: int = 64
    state: int = 128
    expand: int = 2
    taps: int = 4
    eps: float = 1e-5

    @property
    def inner(self) -> int:
        return self.expand * self.width

    @property
    def heads(self) -> int:
        return self.inner // self.head

    @property
    def convolved(self) -> int:
        return self.inner + 2 * self.state


CONFIGS = {"rwkv7": Rwkv7Config(), "mamba2": Mamba2Config()}
TINY = {
    "rwkv7": Rwkv7Config(width=128, layers=2, head=64, feed_forward=256, decay_rank=5, rate_rank=6, value_rank=8, gate_rank=10),
    "mamba2": Mamba2Config(width=128, layers=2, head=64, state=16),
}
