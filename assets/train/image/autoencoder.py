"""DC-AE: the 32x deep-compression autoencoder, with diffusers' parameter names (AutoencoderDC)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import AutoencoderConfig
from layers import GatedConvFeedForward, RMSNorm, rms_norm_2d


class ResBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = RMSNorm(width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + rms_norm_2d(self.norm, self.conv2(F.silu(self.conv1(x))))


class MultiscaleProjection(nn.Module):
    """Depthwise 5x5 followed by a grouped 1x1 over the concatenated query, key and value."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        channels = 3 * width
        self.proj_in = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.proj_out = nn.Conv2d(channels, channels, 1, groups=channels // head_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out(self.proj_in(x))


class MultiscaleLinearAttention(nn.Module):
    """Linear attention with ReLU features, at the pixel's scale and at a 5x5 neighbourhood's."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_qkv_multiscale = nn.ModuleList([MultiscaleProjection(width, head_dim)])
        self.to_out = nn.Linear(2 * width, width, bias=False)
        self.norm_out = RMSNorm(width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` is channels-last [B, H, W, C]."""
        height, width = x.shape[1:3]
        weight = torch.cat([self.to_q.weight, self.to_k.weight, self.to_v.weight])
        qkv = F.linear(x, weight).permute(0, 3, 1, 2)
        qkv = torch.cat([qkv, self.to_qkv_multiscale[0](qkv)], dim=1)
        groups = qkv.flatten(2).unflatten(1, (-1, 3 * self.head_dim))
        query, key, value = groups.split(self.head_dim, dim=2)
        with torch.autocast(x.device.type, enabled=False):
            query, key, value = F.relu(query).float(), F.relu(key).float(), value.float()
            total = value @ key.transpose(2, 3) @ query
            weight_sum = key.sum(-1, keepdim=True).transpose(2, 3) @ query
            mixed = total / (weight_sum + 1e-15)
        mixed = mixed.to(x.dtype).flatten(1, 2).transpose(1, 2).unflatten(1, (height, width))
        return x + self.norm_out(self.to_out(mixed))


class EfficientViTBlock(nn.Module):
    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.attn = MultiscaleLinearAttention(width, head_dim)
        self.conv_out = GatedConvFeedForward(width, ratio=4, norm=True)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = self.attn(x.permute(0, 2, 3, 1))
        tokens = x.flatten(1, 2)
        tokens = tokens + self.conv_out(tokens, height, width)
        return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """Strided 3x3 convolution plus the average of the unshuffled input's channel groups."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        if 4 * width_in % width_out:
            raise ValueError(f"4 * {width_in} channels do not divide into {width_out}")
        self.group = 4 * width_in // width_out
        self.conv = nn.Conv2d(width_in, width_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + F.pixel_unshuffle(x, 2).unflatten(1, (-1, self.group)).mean(dim=2)


class Upsample(nn.Module):
    """Nearest upsampling and a 3x3 convolution, plus the shuffled input."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        if 4 * width_out % width_in:
            raise ValueError(f"4 * {width_out} channels do not divide by {width_in}")
        self.repeats = 4 * width_out // width_in
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pixel_shuffle(x.repeat_interleave(self.repeats, dim=1), 2)
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest")) + shortcut


def make_block(kind: str, width: int, head_dim: int) -> nn.Module:
    return ResBlock(width) if kind == "ResBlock" else EfficientViTBlock(width, head_dim)


class Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.encoder_channels
        self.group = widths[-1] // config.latent_channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        stages = []
        for i, (kind, layers) in enumerate(zip(config.stage_types(), config.encoder_layers)):
            blocks = [make_block(kind, widths[i], config.attention_head_dim) for _ in range(layers)]
            if i + 1 < len(widths):
                blocks.append(Downsample(widths[i], widths[i + 1]))
            stages.append(nn.Sequential(*blocks))
        self.down_blocks = nn.ModuleList(stages)
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_in(image)
        for stage in self.down_blocks:
            x = stage(x)
        return self.conv_out(x) + x.unflatten(1, (-1, self.group)).mean(dim=2)


class Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.decoder_channels
        self.repeats = widths[-1] // config.latent_channels
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        stages = []
        for i, (kind, layers) in enumerate(zip(config.stage_types(), config.decoder_layers)):
            blocks: list[nn.Module] = []
            if i + 1 < len(widths):
                blocks.append(Upsample(widths[i + 1], widths[i]))
            blocks += [make_block(kind, widths[i], config.attention_head_dim) for _ in range(layers)]
            stages.append(nn.Sequential(*blocks))
        self.up_blocks = nn.ModuleList(stages)
        self.norm_out = RMSNorm(widths[0], bias=True)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.conv_in(latents) + latents.repeat_interleave(self.repeats, dim=1)
        for stage in reversed(self.up_blocks):
            x = stage(x)
        return self.conv_out(F.relu(rms_norm_2d(self.norm_out, x)))


class Autoencoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image))
