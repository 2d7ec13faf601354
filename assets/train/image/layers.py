"""Layers that the autoencoder and the transformer share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gated_depthwise import silu_depthwise_gate


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, computed in float32."""

    def __init__(self, width: int, eps: float = 1e-5, bias: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps) * self.weight
        if self.bias is not None:
            wide = wide + self.bias
        return wide.to(x.dtype)


def rms_norm_2d(norm: RMSNorm, x: Tensor) -> Tensor:
    """Apply a channel norm to an NCHW tensor."""
    return norm(x.movedim(1, -1)).movedim(-1, 1)


def pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution applied to channels-last tokens."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


class GatedConvFeedForward(nn.Module):
    """1x1 expansion, SiLU, depthwise 3x3, gate by SiLU, 1x1 projection; on tokens [B, H*W, C]."""

    def __init__(self, width: int, ratio: float, norm: bool) -> None:
        super().__init__()
        hidden = int(ratio * width)
        self.conv_inverted = nn.Conv2d(width, 2 * hidden, 1)
        self.conv_depth = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.conv_point = nn.Conv2d(hidden, width, 1, bias=False)
        self.norm = RMSNorm(width, bias=True) if norm else None

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        expanded = pointwise(tokens, self.conv_inverted)
        gated = silu_depthwise_gate(expanded, self.conv_depth.weight, self.conv_depth.bias, height, width)
        out = pointwise(gated, self.conv_point)
        return out if self.norm is None else self.norm(out)
