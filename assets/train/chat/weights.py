"""Weights on disk: safetensors, matrices in float16 and everything small in float32, in parts of less than 16 MiB."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from config import CONFIGS, TINY
from mamba2_model import Mamba2
from rwkv7_model import Rwkv7

MODELS = {"rwkv7": Rwkv7, "mamba2": Mamba2}
PART_BYTES = 15 << 20
SMALL = 50_000  # elements


def make(kind: str, tiny: bool = False, dropout: float = 0.0) -> nn.Module:
    return MODELS[kind]((TINY if tiny else CONFIGS)[kind], dropout)


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _stored(value: Tensor) -> Tensor:
    dtype = torch.float16 if value.numel() > SMALL else torch.float32
    return value.detach().to("cpu", dtype).contiguous()


def save_parts(model: nn.Module, folder: Path) -> None:
    """Write part-0.safetensors, part-1.safetensors ... ; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in model.state_dict().items():
        tensor = _stored(value)
        size += tensor.nbytes
        if size > PART_BYTES:
            parts.append({})
            size = tensor.nbytes
        parts[-1][name] = tensor
    for i, tensors in enumerate(parts):
        temporary = folder / f"part-{i}.tmp"
        save_file(tensors, temporary, metadata={"format": "pt"})
        os.replace(temporary, folder / f"part-{i}.safetensors")


def load_weights(model: nn.Module, kind: str, path: Path) -> None:
    """Of a folder that training wrote, or of an exported .gguf file."""
    if path.suffix == ".gguf":
        from gguf_weights import gguf_weights

        model.load_state_dict(gguf_weights(kind, path))
    else:
        load_parts(model, path)


def load_parts(model: nn.Module, folder: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        tensors |= load_file(path)
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
