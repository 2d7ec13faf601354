"""An exported GGUF file back as weights of the training's model, dequantised: what quantising costs can then be measured."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor

from config import CONFIGS, Mamba2Config, Rwkv7Config


class GgufTensors:
    """Tensors of a file as float32, by name."""

    def __init__(self, path: Path) -> None:
        self.tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}

    def __call__(self, name: str, *shape: int) -> Tensor:
        tensor = self.tensors[name]
        values = np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
        return torch.from_numpy(values.reshape(shape or tuple(int(size) for size in reversed(tensor.shape))))


def rwkv7_block(read: GgufTensors, c: Rwkv7Config, i: int) -> dict[str, Tensor]:
    of, to, weights = f"blk.{i}.", f"blocks.{i}.", {}
    for ours, theirs in (("ln1", "attn_norm"), ("ln2", "attn_norm_2"), ("att.ln_x", "time_mix_ln")):
        for part in ("weight", "bias"):
            weights[f"{to}{ours}.{part}"] = read(f"{of}{theirs}.{part}")
    for name, lerp in zip("rwkvag", read(f"{of}time_mix_lerp_fused.weight", 6, c.width)):
        weights[f"{to}att.x_{name}"] = lerp
    for name in "wavg" if i > 0 else "wag":
        if name != "g":
            weights[f"{to}att.{name}0"] = read(f"{of}time_mix_{name}0.weight")
        for part in "12":
            weights[f"{to}att.{name}{part}"] = read(f"{of}time_mix_{name}{part}.weight").T
    for name in ("k_k", "k_a"):
        weights[f"{to}att.{name}"] = read(f"{of}time_mix_{name}.weight")
    weights[f"{to}att.r_k"] = read(f"{of}time_mix_r_k.weight", c.width // c.head, c.head)
    for name in ("receptance", "key", "value", "output"):
        weights[f"{to}att.{name}.weight"] = read(f"{of}time_mix_{name}.weight")
    weights[f"{to}ffn.x_k"] = read(f"{of}channel_mix_lerp_k.weight", c.width)
    for name in ("key", "value"):
        weights[f"{to}ffn.{name}.weight"] = read(f"{of}channel_mix_{name}.weight")
    return weights


def rwkv7_weights(read: GgufTensors, c: Rwkv7Config) -> dict[str, Tensor]:
    weights = {"emb.weight": read("token_embd.weight"), "head.weight": read("output.weight")}
    for part in ("weight", "bias"):
        weights[f"blocks.0.ln0.{part}"] = read(f"token_embd_norm.{part}")
        weights[f"ln_out.{part}"] = read(f"output_norm.{part}")
    for i in range(c.layers):
        weights |= rwkv7_block(read, c, i)
    return weights


def mamba2_weights(read: GgufTensors, c: Mamba2Config) -> dict[str, Tensor]:
    weights = {"backbone.embeddings.weight": read("token_embd.weight"), "backbone.norm_f.weight": read("output_norm.weight")}
    for i in range(c.layers):
        of, to = f"blk.{i}.", f"backbone.layers.{i}."
        weights |= {
            f"{to}norm.weight": read(f"{of}attn_norm.weight"),
            f"{to}mixer.in_proj.weight": read(f"{of}ssm_in.weight"),
            f"{to}mixer.conv1d.weight": read(f"{of}ssm_conv1d.weight", c.convolved, 1, c.taps),
            f"{to}mixer.conv1d.bias": read(f"{of}ssm_conv1d.bias"),
            f"{to}mixer.dt_bias": read(f"{of}ssm_dt.bias"),
            f"{to}mixer.A_log": torch.log(-read(f"{of}ssm_a", c.heads)),
            f"{to}mixer.D": read(f"{of}ssm_d", c.heads),
            f"{to}mixer.norm.weight": read(f"{of}ssm_norm.weight", c.inner),
            f"{to}mixer.out_proj.weight": read(f"{of}ssm_out.weight"),
        }
    return weights


def gguf_weights(kind: str, path: Path) -> dict[str, Tensor]:
    read = GgufTensors(path)
    return rwkv7_weights(read, CONFIGS[kind]) if kind == "rwkv7" else mamba2_weights(read, CONFIGS[kind])
