"""Mamba-2 with one group and a tied head, with transformers' parameter names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import Mamba2Config

CHUNK = 64


def state_space(v: Tensor, g: Tensor, k: Tensor, q: Tensor, chunk: int = CHUNK) -> Tensor:
    """S_t = exp(g_t) S_{t-1} + v_t k_t^T, y_t = S_t q_t, in chunks of matrix products.

    v [B, T, H, P], g [B, T, H] float32, k and q [B, T, N] shared by the heads; T is padded to whole chunks.
    """
    length, kind = v.shape[1], v.dtype
    pad = -length % chunk
    if pad:
        v, g, k, q = (F.pad(x, (0, 0) * (x.ndim - 2) + (0, pad)) for x in (v, g, k, q))
    v, g, k, q = (x.unflatten(1, (-1, chunk)) for x in (v, g, k, q))
    heads, width = v.shape[3:]
    total = g.cumsum(2)  # [B, C, L, H]
    by_head = total.transpose(2, 3)
    causal = torch.ones(chunk, chunk, dtype=torch.bool, device=v.device).tril()
    decay = (by_head[..., :, None] - by_head[..., None, :]).masked_fill(~causal, -torch.inf).exp()  # [B, C, H, L, L]
    scores = (q @ k.mT)[:, :, None]
    inside = ((scores * decay).to(kind) @ v.transpose(2, 3)).transpose(2, 3)  # [B, C, L, H, P]
    to_end = (total[:, :, -1:] - total).exp()[..., None]
    added = (v * to_end.to(kind)).flatten(3).mT @ k  # [B, C, H P, N]: the heads share k
    whole = total[:, :, -1].exp().repeat_interleave(width, dim=-1)[..., None]
    state, states = torch.zeros_like(added[:, 0], dtype=g.dtype), []
    for c in range(added.shape[1]):
        states.append(state)
        state = state * whole[:, c] + added[:, c]
    before = (q @ torch.stack(states, 1).to(kind).mT).unflatten(-1, (heads, width))
    y = inside + before * total.exp()[..., None].to(kind)
    return y.flatten(1, 2)[:, :length]


class Mixer(nn.Module):
    def __init__(self, c: Mamba2Config) -> None:
        super().__init__()
        self.c = c
        self.in_proj = nn.Linear(c.width, c.inner + c.convolved + c.heads, bias=False)
        self.conv1d = nn.Conv1d(c.convolved, c.convolved, c.taps, groups=c.convolved)
        step = torch.exp(torch.rand(c.heads) * math.log(0.1 / 0.001) + math.log(0.001))
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.A_log = nn.Parameter(torch.log(torch.empty(c.heads).uniform_(1, 16)))
        self.D = nn.Parameter(torch.ones(c.heads))
        self.norm = nn.RMSNorm(c.inner, eps=c.eps)
        self.out_proj = nn.Linear(c.inner, c.width, bias=False)

    def convolve(self, x: Tensor) -> Tensor:
        """Causal depthwise filter over the tokens, as shifted sums that compile into one kernel."""
        length, taps = x.shape[1], self.c.taps
        padded = F.pad(x, (0, 0, taps - 1, 0))
        weight = self.conv1d.weight[:, 0]
        return sum(padded[:, j : j + length] * weight[:, j] for j in range(taps)) + self.conv1d.bias

    def forward(self, h: Tensor) -> Tensor:
        c = self.c
        z, x, dt = self.in_proj(h).split([c.inner, c.convolved, c.heads], dim=-1)
        kind = z.dtype
        x, B, C = F.silu(self.convolve(x)).to(kind).split([c.inner, c.state, c.state], dim=-1)
        dt = F.softplus(dt.float() + self.dt_bias)
        x = x.unflatten(-1, (c.heads, c.head))
        y = state_space(x * dt[..., None].to(kind), -torch.exp(self.A_log) * dt, B, C) + x * self.D[:, None].to(kind)
        return self.out_proj(self.norm(y.flatten(2).float() * F.silu(z.float())))


class Layer(nn.Module):
    def __init__(self, c: Mamba2Config, dropout: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(c.width, eps=c.eps)
        self.mixer = Mixer(c)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.mixer(self.norm(x)))


class Backbone(nn.Module):
    def __init__(self, c: Mamba2Config, dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(c.vocabulary, c.width)
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c.layers))
        self.norm_f = nn.RMSNorm(c.width, eps=c.eps)


class Mamba2(nn.Module):
    def __init__(self, c: Mamba2Config, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = Backbone(c, dropout)
        nn.init.normal_(self.backbone.embeddings.weight, std=0.02)
        for layer in self.backbone.layers:
            nn.init.normal_(layer.mixer.in_proj.weight, std=0.02)
            nn.init.normal_(layer.mixer.out_proj.weight, std=0.02 / math.sqrt(2 * c.layers))

    def compile_layers(self) -> None:
        for layer in self.backbone.layers:
            layer.compile(dynamic=False)

    def matrices(self) -> list[nn.Parameter]:
        """The inner weight matrices, which Muon trains."""
        return [m.weight for m in self.backbone.layers.modules() if isinstance(m, nn.Linear)]

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.backbone.embeddings(tokens)
        for layer in self.backbone.layers:
            x = layer(x)
        return F.linear(self.backbone.norm_f(x), self.backbone.embeddings.weight)
