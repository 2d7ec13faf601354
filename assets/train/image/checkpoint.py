"""Weights on disk: safetensors in float32 while training, bfloat16 in the exported model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

TRANSFORMER_WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
AUTOENCODER_WEIGHTS = "vae/diffusion_pytorch_model.safetensors"
TEXT_ENCODER_WEIGHTS = "text_encoder/model.safetensors"


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.float32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def load_weights(module: nn.Module, path: Path) -> None:
    tensors = {name: value.float() for name, value in load_file(path).items()}
    module.load_state_dict(tensors)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
