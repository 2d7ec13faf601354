"""Golden data of RWKV: small random models with the authors' names, and their logits by the authors' package `rwkv` on the CPU in fp32.

    python make_lm_rwkv.py OUT_FOLDER VERSION...      (tests/data/lm; versions: 7 6 5.2 5.1 5.0 4)

Every version is a folder with model.safetensors (bf16; the reference computes in fp32 from the stored values) and golden.safetensors: ids i32
[T], logits f32 [T, V] of one run over the whole sequence. Sizes are pairwise different, so that a transposed matrix cannot go unnoticed.
Needs torch, rwkv, safetensors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["RWKV_JIT_ON"] = "0"
os.environ["RWKV_CUDA_ON"] = "0"
if sys.argv[2:] == ["7"]:
    os.environ["RWKV_V7_ON"] = "1"  # read when the package is imported, so version 7 gets a process of its own

import torch
from safetensors.torch import save_file

TOKENS, VOCABULARY, LAYERS, CHANNELS, HEADS, HIDDEN = 512, 61, 3, 48, 3, 88
HEAD_DIM = CHANNELS // HEADS


class Builder:
    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, torch.Tensor] = {}

    def normal(self, name: str, *shape: int, scale: float = 0.3, mean: float = 0.0) -> None:
        self.tensors[name] = (mean + scale * torch.randn(shape, generator=self.generator)).bfloat16()

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> None:
        self.tensors[name] = (low + (high - low) * torch.rand(shape, generator=self.generator)).bfloat16()

    def matrix(self, name: str, out: int, inner: int, gain: float = 1.0) -> None:
        self.normal(name, out, inner, scale=gain * inner**-0.5)

    def norm(self, name: str, size: int = CHANNELS) -> None:
        self.normal(name + ".weight", size, mean=1.0)
        self.normal(name + ".bias", size)


def shell(b: Builder) -> None:
    b.normal("emb.weight", VOCABULARY, CHANNELS, scale=1.0)
    b.norm("blocks.0.ln0")
    for i in range(LAYERS):
        b.norm(f"blocks.{i}.ln1")
        b.norm(f"blocks.{i}.ln2")
        for name in ("receptance", "key", "value", "output"):
            b.matrix(f"blocks.{i}.att.{name}.weight", CHANNELS, CHANNELS)
        b.matrix(f"blocks.{i}.ffn.key.weight", HIDDEN, CHANNELS)
        b.matrix(f"blocks.{i}.ffn.value.weight", CHANNELS, HIDDEN)
    b.norm("ln_out")
    b.matrix("head.weight", VOCABULARY, CHANNELS)


def version_7(b: Builder) -> None:
    shell(b)
    ranks = {"w": 5, "a": 6, "v": 8, "g": 10}
    for i in range(LAYERS):
        att = f"blocks.{i}.att."
        for name in "rwkvag":
            b.uniform(att + f"x_{name}", 1, 1, CHANNELS)
        for name, rank in ranks.items():
            if name == "v" and i == 0:
                continue
            b.normal(att + f"{name}1", CHANNELS, rank, scale=CHANNELS**-0.5)
            b.normal(att + f"{name}2", rank, CHANNELS, scale=rank**-0.5)
            if name != "g":
                b.normal(att + f"{name}0", 1, 1, CHANNELS, scale=1.0, mean=-2.0 if name == "w" else 0.0)
        b.normal(att + "k_k", 1, 1, CHANNELS, mean=0.85)
        b.normal(att + "k_a", 1, 1, CHANNELS, mean=1.0)
        b.normal(att + "r_k", HEADS, HEAD_DIM)
        b.norm(att + "ln_x")
        b.uniform(f"blocks.{i}.ffn.x_k", 1, 1, CHANNELS)


def version_6(b: Builder) -> None:
    shell(b)
    rank, decay_rank = 6, 5
    for i in range(LAYERS):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        for name in "xwkvrg":
            b.uniform(att + f"time_maa_{name}", 1, 1, CHANNELS)
        b.normal(att + "time_maa_w1", CHANNELS, 5 * rank, scale=CHANNELS**-0.5)
        b.normal(att + "time_maa_w2", 5, rank, CHANNELS, scale=0.5 * rank**-0.5)
        b.normal(att + "time_decay", 1, 1, CHANNELS, scale=1.5, mean=-3.0)
        b.normal(att + "time_decay_w1", CHANNELS, decay_rank, scale=CHANNELS**-0.5)
        b.normal(att + "time_decay_w2", decay_rank, CHANNELS, scale=decay_rank**-0.5)
        b.normal(att + "time_faaaa", HEADS, HEAD_DIM)
        b.matrix(att + "gate.weight", CHANNELS, CHANNELS)
        b.norm(att + "ln_x")
        b.uniform(ffn + "time_maa_k", 1, 1, CHANNELS)
        b.uniform(ffn + "time_maa_r", 1, 1, CHANNELS)
        b.matrix(ffn + "receptance.weight", CHANNELS, CHANNELS)


def version_5(b: Builder, minor: int) -> None:
    shell(b)
    width = (HEADS, HEAD_DIM) if minor == 2 else (HEADS,)
    for i in range(LAYERS):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        for name in "kvr" if minor == 0 else "kvrg":
            b.uniform(att + f"time_mix_{name}", 1, 1, CHANNELS)
        b.normal(att + "time_decay", *width, scale=1.5, mean=-3.0)
        b.normal(att + ("time_faaaa" if minor == 2 else "time_first"), *width)
        if minor > 0:
            b.matrix(att + "gate.weight", CHANNELS, CHANNELS)
        b.norm(att + "ln_x")
        b.uniform(ffn + "time_mix_k", 1, 1, CHANNELS)
        b.uniform(ffn + "time_mix_r", 1, 1, CHANNELS)
        b.matrix(ffn + "receptance.weight", CHANNELS, CHANNELS)


def version_4(b: Builder) -> None:
    shell(b)
    for i in range(LAYERS):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        for name in "kvr":
            b.uniform(att + f"time_mix_{name}", 1, 1, CHANNELS)
        b.normal(att + "time_decay", CHANNELS, scale=1.5, mean=-2.0)
        b.normal(att + "time_first", CHANNELS)
        b.uniform(ffn + "time_mix_k", 1, 1, CHANNELS)
        b.uniform(ffn + "time_mix_r", 1, 1, CHANNELS)
        b.matrix(ffn + "receptance.weight", CHANNELS, CHANNELS)


def reference_logits(tensors: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    from rwkv.model import RWKV

    with tempfile.TemporaryDirectory() as folder:
        # In fp32 already, since the package computes some weights (the normed embedding) in the type that it finds.
        torch.save({name: value.float() for name, value in tensors.items()}, folder + "/model.pth")
        model = RWKV(model=folder + "/model", strategy="cpu fp32")
        return model.forward(ids, None, full_output=True)[0].float()


def main() -> None:
    out = Path(sys.argv[1])
    versions = sys.argv[2:]
    if len(versions) > 1:
        for version in versions:
            subprocess.run([sys.executable, __file__, str(out), version], check=True)
        return
    version = versions[0]
    b = Builder(seed=round(float(version) * 10))
    if version == "7":
        version_7(b)
    elif version == "6":
        version_6(b)
    elif version == "4":
        version_4(b)
    else:
        version_5(b, int(version[2:]))
    ids = torch.randint(0, VOCABULARY, (TOKENS,), generator=b.generator, dtype=torch.int32)
    logits = reference_logits(b.tensors, ids.tolist())
    folder = out / f"rwkv{version}"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(b.tensors, folder / "model.safetensors")
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
    print(version, "largest logit", logits.abs().max().item(), "std", logits.std().item())


if __name__ == "__main__":
    main()
