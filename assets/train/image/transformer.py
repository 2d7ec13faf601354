"""SANA's linear-attention diffusion transformer, with diffusers' names (SanaTransformer2DModel)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import TransformerConfig
from layers import GatedConvFeedForward, RMSNorm


def sinusoid(timestep: Tensor, channels: int = 256) -> Tensor:
    half = channels // 2
    frequency = torch.exp(torch.arange(half, device=timestep.device) * (-math.log(10000) / half))
    angle = timestep.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(256, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, timestep: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(sinusoid(timestep))))


class TimestepModulation(nn.Module):
    """The timestep's embedding, and from it shift, scale and gate of both residual branches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.ModuleDict({"timestep_embedder": TimestepEmbedding(width)})
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.emb["timestep_embedder"](timestep)
        return embedding, self.linear(F.silu(embedding)).unflatten(-1, (6, -1))


class CaptionProjection(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width_in, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(x), approximate="tanh"))


class AttentionProjections(nn.Module):
    """Query, key, value and output projections, with RMS norms over all heads of query and key."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=bias)
        self.to_k = nn.Linear(width, width, bias=bias)
        self.to_v = nn.Linear(width, width, bias=bias)
        self.norm_q = RMSNorm(width)
        self.norm_k = RMSNorm(width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])


class LinearSelfAttention(AttentionProjections):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, bias=False)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat([self.to_q.weight, self.to_k.weight, self.to_v.weight])
        query, key, value = F.linear(x, weight).chunk(3, dim=-1)
        shape = (self.heads, -1)
        query = F.relu(self.norm_q(query)).unflatten(-1, shape).transpose(1, 2)
        key = F.relu(self.norm_k(key)).unflatten(-1, shape).transpose(1, 2)
        value = value.unflatten(-1, shape).transpose(1, 2)
        total = query @ (key.transpose(2, 3) @ value)
        weight_sum = (query.float() * key.float().sum(2, keepdim=True)).sum(-1, keepdim=True)
        mixed = (total.float() / (weight_sum + 1e-15)).to(x.dtype)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class CrossAttention(AttentionProjections):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, bias=True)
        self.heads = heads

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        shape = (self.heads, -1)
        query = self.norm_q(self.to_q(x)).unflatten(-1, shape).transpose(1, 2)
        key = self.norm_k(self.to_k(text)).unflatten(-1, shape).transpose(1, 2)
        value = self.to_v(text).unflatten(-1, shape).transpose(1, 2)
        bias = bias.to(query.dtype).expand(-1, self.heads, query.shape[2], -1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width, eps=config.norm_eps, elementwise_affine=False)
        self.attn1 = LinearSelfAttention(width, config.num_heads)
        self.attn2 = CrossAttention(width, config.num_cross_heads)
        self.ff = GatedConvFeedForward(width, config.mlp_ratio, norm=False)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, x: Tensor, text: Tensor, bias: Tensor, modulation: Tensor, height: int, width: int) -> Tensor:
        rows = (self.scale_shift_table + modulation).to(x.dtype)[:, :, None].unbind(1)
        shift_attention, scale_attention, gate_attention, shift_feed, scale_feed, gate_feed = rows
        x = x + gate_attention * self.attn1(self.norm(x).to(x.dtype) * (1 + scale_attention) + shift_attention)
        x = x + self.attn2(x, text, bias)
        return x + gate_feed * self.ff(self.norm(x).to(x.dtype) * (1 + scale_feed) + shift_feed, height, width)


class Transformer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(config.in_channels, width, 1)})
        self.time_embed = TimestepModulation(width)
        self.caption_projection = CaptionProjection(config.caption_channels, width)
        self.caption_norm = RMSNorm(width)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_layers))
        self.norm_out = nn.LayerNorm(width, eps=config.norm_eps, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Linear(width, config.in_channels)
        self.initialise()

    def initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.time_embed.linear.weight, std=0.02)
        for block in self.transformer_blocks:
            nn.init.zeros_(block.attn2.to_out[0].weight)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, latents: Tensor, text: Tensor, text_mask: Tensor, timestep: Tensor) -> Tensor:
        """Velocity of ``latents`` [B, C, H, W] given text states [B, T, E], their mask and 1000 * sigma."""
        height, width = latents.shape[2:]
        tokens = latents.flatten(2).transpose(1, 2)
        embed = self.patch_embed["proj"]
        x = F.linear(tokens, embed.weight.flatten(1), embed.bias)
        embedding, modulation = self.time_embed(timestep)
        text = self.caption_norm(self.caption_projection(text))
        bias = ((1 - text_mask.float()) * -10000.0)[:, None, None]
        for block in self.transformer_blocks:
            x = block(x, text, bias, modulation, height, width)
        shift, scale = (self.scale_shift_table + embedding[:, None]).to(x.dtype)[:, :, None].unbind(1)
        x = self.proj_out(self.norm_out(x).to(x.dtype) * (1 + scale) + shift)
        return x.transpose(1, 2).unflatten(2, (height, width))
