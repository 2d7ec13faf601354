"""Gemma-2 as a text encoder, with transformers' parameter names (Gemma2Model)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import TextEncoderConfig


class ZeroCentredRMSNorm(nn.Module):
    """RMS norm whose gain is 1 + weight, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * (1 + self.weight.float())).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions and soft-capped logits."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width, head_dim = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(width, config.num_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(width, config.num_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(width, config.num_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_heads * head_dim, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, blocked: Tensor) -> Tensor:
        config = self.config
        shape = (-1, config.head_dim)
        query = self.q_proj(x).unflatten(-1, shape).transpose(1, 2)
        key = self.k_proj(x).unflatten(-1, shape).transpose(1, 2)
        value = self.v_proj(x).unflatten(-1, shape).transpose(1, 2)
        shared = config.num_heads // config.num_kv_heads
        key = rotate(key, cos, sin).repeat_interleave(shared, dim=1)
        value = value.repeat_interleave(shared, dim=1)
        logits = rotate(query, cos, sin) @ key.transpose(2, 3) * config.head_dim**-0.5
        logits = torch.tanh(logits / config.softcap) * config.softcap
        weights = logits.float().masked_fill(blocked, float("-inf")).softmax(-1).to(value.dtype)
        return self.o_proj((weights @ value).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = FeedForward(config)
        self.input_layernorm = ZeroCentredRMSNorm(config.hidden_size, config.norm_eps)
        self.post_attention_layernorm = ZeroCentredRMSNorm(config.hidden_size, config.norm_eps)
        self.pre_feedforward_layernorm = ZeroCentredRMSNorm(config.hidden_size, config.norm_eps)
        self.post_feedforward_layernorm = ZeroCentredRMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, blocked: Tensor) -> Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), cos, sin, blocked))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class TextEncoder(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = ZeroCentredRMSNorm(config.hidden_size, config.norm_eps)
        nn.init.normal_(self.embed_tokens.weight, std=config.hidden_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states of right-padded tokens [B, T]; a causal model never looks at the padding."""
        config = self.config
        length = tokens.shape[1]
        x = self.embed_tokens(tokens) * config.hidden_size**0.5
        half = torch.arange(0, config.head_dim, 2, device=x.device).float() / config.head_dim
        angles = torch.arange(length, device=x.device).float()[:, None] * config.rope_theta**-half
        angles = torch.cat([angles, angles], dim=-1)
        blocked = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        for layer in self.layers:
            x = layer(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype), blocked)
        return self.norm(x)
