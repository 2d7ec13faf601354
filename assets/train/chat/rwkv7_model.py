"""RWKV-7, with the authors' parameter names and shapes (low-rank matrices [in, out])."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import Rwkv7Config
from wkv7 import wkv7

GROUP_NORM_EPS = 64e-5
MIX_POWERS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}


def shifted(x: Tensor) -> Tensor:
    """The token before, zero at the start."""
    return F.pad(x, (0, 0, 1, -1))


def uniform(rows: int, columns: int, scale: float) -> nn.Linear:
    linear = nn.Linear(columns, rows, bias=False)
    bound = scale * columns**-0.5
    nn.init.uniform_(linear.weight, -bound, bound) if scale > 0 else nn.init.zeros_(linear.weight)
    return linear


class TimeMix(nn.Module):
    def __init__(self, c: Rwkv7Config, layer: int) -> None:
        super().__init__()
        self.is_first, self.head, width = layer == 0, c.head, c.width
        depth, left = layer / max(c.layers - 1, 1), 1 - layer / c.layers
        place = torch.arange(width) / width
        ramp = torch.arange(width) / (width - 1)
        linear = ramp - 0.5
        zigzag = (torch.arange(width) % c.head - (c.head - 1) / 2) / ((c.head - 1) / 2)
        zigzag = zigzag * zigzag.abs()
        for name, power in MIX_POWERS.items():
            setattr(self, f"x_{name}", nn.Parameter(1 - place ** (power * left)))
        self._low_rank("w", c.decay_rank, -6.5 + 5 * ramp ** (0.85 + depth**0.5) + 2.5 * zigzag, width)
        self._low_rank("a", c.rate_rank, -0.19 + 0.3 * zigzag + 0.4 * linear, width)
        if not self.is_first:
            self._low_rank("v", c.value_rank, 0.73 - 0.4 * linear, width)
        self._low_rank("g", c.gate_rank, None, width)
        self.k_k = nn.Parameter(0.71 - 0.1 * linear)
        self.k_a = nn.Parameter(torch.full((width,), 1.02))
        self.r_k = nn.Parameter(torch.full((width // c.head, c.head), -0.04))
        self.receptance = uniform(width, width, 0.5)
        self.key = uniform(width, width, 0.05)
        self.value = uniform(width, width, 0.5)
        self.output = uniform(width, width, 0)
        self.ln_x = nn.GroupNorm(width // c.head, width, eps=GROUP_NORM_EPS)

    def _low_rank(self, name: str, rank: int, bias: Tensor | None, width: int) -> None:
        if bias is not None:
            setattr(self, f"{name}0", nn.Parameter(bias))
        setattr(self, f"{name}1", nn.Parameter(torch.zeros(width, rank)))
        setattr(self, f"{name}2", nn.Parameter(nn.init.orthogonal_(torch.empty(rank, width), gain=0.1)))

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head))

    def forward(self, h: Tensor, v_first: Tensor | None) -> tuple[Tensor, Tensor]:
        change = shifted(h) - h
        x_r, x_w, x_k, x_v, x_a, x_g = (h + change * getattr(self, f"x_{name}") for name in MIX_POWERS)
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        if self.is_first:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.v0 + x_v @ self.v1 @ self.v2)
        decay = self.w0 + (torch.tanh(x_w @ self.w1) @ self.w2).float()
        l = -math.exp(-0.5) * torch.sigmoid(decay)
        rate = torch.sigmoid(self.a0 + x_a @ self.a1 @ self.a2)
        gate = torch.sigmoid(x_g @ self.g1) @ self.g2
        kk = F.normalize(self.heads((k * self.k_k).float()), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a)
        r, k, v_heads = self.heads(r), self.heads(k), self.heads(v)
        y = wkv7(r, self.heads(l), k, v_heads, -kk, kk * self.heads(rate))
        y = self.ln_x(y.flatten(2).flatten(0, 1)).view_as(h)
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v_heads
        return self.output((y + bonus.flatten(2)) * gate), v_first


class ChannelMix(nn.Module):
    def __init__(self, c: Rwkv7Config, layer: int) -> None:
        super().__init__()
        left = 1 - layer / c.layers
        self.x_k = nn.Parameter(1 - (torch.arange(c.width) / c.width) ** (left**4))
        self.key = uniform(c.feed_forward, c.width, 0.5)
        self.value = uniform(c.width, c.feed_forward, 0)

    def forward(self, h: Tensor) -> Tensor:
        x = h + (shifted(h) - h) * self.x_k
        return self.value(torch.relu(self.key(x)) ** 2)


class Block(nn.Module):
    def __init__(self, c: Rwkv7Config, layer: int, dropout: float) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(c.width)
        self.ln1, self.ln2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.att, self.ffn = TimeMix(c, layer), ChannelMix(c, layer)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, v_first: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed, v_first = self.att(self.ln1(x), v_first)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.ffn(self.ln2(x))), v_first


class Rwkv7(nn.Module):
    def __init__(self, c: Rwkv7Config, dropout: float = 0.0) -> None:
        super().__init__()
        self.emb = nn.Embedding(c.vocabulary, c.width)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        self.blocks = nn.ModuleList(Block(c, layer, dropout) for layer in range(c.layers))
        self.ln_out = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, c.vocabulary, bias=False)
        nn.init.orthogonal_(self.head.weight, gain=0.5 * math.sqrt(c.vocabulary / c.width))

    def compile_layers(self) -> None:
        """All but the first, which differs: they share one compilation."""
        for block in self.blocks[1:]:
            block.compile(dynamic=False)

    def matrices(self) -> list[nn.Parameter]:
        """The inner weight matrices, which Muon trains."""
        return [m.weight for block in self.blocks for m in block.modules() if isinstance(m, nn.Linear)]

    def forward(self, tokens: Tensor) -> Tensor:
        x, v_first = self.blocks[0].ln0(self.emb(tokens)), None
        for block in self.blocks:
            x, v_first = block(x, v_first)
        return self.head(self.ln_out(x))
