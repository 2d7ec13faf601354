"""Rendering prompts from a model folder with the training code's own modules, many at a time."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from autoencoder import Autoencoder
from checkpoint import AUTOENCODER_WEIGHTS, TEXT_ENCODER_WEIGHTS, TRANSFORMER_WEIGHTS, load_weights
from config import LATENT_CHANNELS, LATENT_SIZE, MODEL
from flow import guided_sample
from text_encoder import TextEncoder
from tokenizer import PromptTokenizer
from transformer import Transformer


def latent_scale(folder: Path) -> float:
    """From a training folder's latents.json, or from an exported model's config.json."""
    statistics = folder / "vae/latents.json"
    if statistics.exists():
        return 1 / json.loads(statistics.read_text())["std"]
    return json.loads((folder / "vae/config.json").read_text())["scaling_factor"]


class Painter:
    def __init__(self, folder: Path, tokenizer: Path, device: torch.device, autoencoder: Path | None = None) -> None:
        self.device = device
        self.autoencoder = Autoencoder(MODEL.autoencoder)
        self.text_encoder = TextEncoder(MODEL.text_encoder)
        self.transformer = Transformer(MODEL.transformer)
        load_weights(self.autoencoder, (autoencoder or folder) / AUTOENCODER_WEIGHTS)
        load_weights(self.text_encoder, folder / TEXT_ENCODER_WEIGHTS)
        load_weights(self.transformer, folder / TRANSFORMER_WEIGHTS)
        for module in (self.autoencoder, self.text_encoder, self.transformer):
            module.to(device).eval().requires_grad_(False)
        self.scale = latent_scale(autoencoder or folder)
        self.tokenize = PromptTokenizer(tokenizer)

    @torch.no_grad()
    def paint(self, prompts: list[str], guidance: float, steps: int = 20, seed: int = 0, side: int = LATENT_SIZE) -> Tensor:
        """Images [B, 3, H, W] in 0..1 on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(prompts), LATENT_CHANNELS, side, side, generator=generator)
        parts = [self._paint(prompts[i : i + 64], noise[i : i + 64], guidance, steps) for i in range(0, len(prompts), 64)]
        return torch.cat(parts)

    def _paint(self, prompts: list[str], noise: Tensor, guidance: float, steps: int) -> Tensor:
        rows, lengths = self.tokenize([""] * len(prompts) + prompts)
        tokens = torch.from_numpy(rows).long().to(self.device)
        mask = torch.arange(tokens.shape[1], device=self.device) < torch.from_numpy(lengths).to(self.device)[:, None]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            text = self.text_encoder(tokens)
            latents = guided_sample(
                lambda x, t: self.transformer(x, text, mask, t), noise.to(self.device), guidance, steps
            )
            images = torch.cat([self.autoencoder.decoder(part) for part in (latents / self.scale).split(16)])
        return (images.float() / 2 + 0.5).clamp(0, 1).cpu()
