"""Golden data of Mamba: small random models saved by transformers, and their logits in fp32 without its CUDA kernels.

    python make_lm_mamba.py OUT_FOLDER      (tests/data/lm)

Every model is a folder with config.json, model.safetensors (bf16; the reference computes in fp32 from the stored values) and
golden.safetensors: ids i32 [T], logits f32 [T, V]. mamba2_groups has two groups: transformers norms over all channels there, the authors group
by group, so the reference's gated norm is replaced by the authors' definition. Needs torch, transformers, safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

TOKENS, VOCABULARY = 512, 61

MODELS = {
    "mamba2": Mamba2Config(
        vocab_size=VOCABULARY, hidden_size=32, num_heads=8, head_dim=8, state_size=5, n_groups=1, chunk_size=16, num_hidden_layers=3, expand=2,
        tie_word_embeddings=True,
    ),
    "mamba2_groups": Mamba2Config(
        vocab_size=VOCABULARY, hidden_size=36, num_heads=4, head_dim=18, state_size=7, n_groups=2, chunk_size=16, num_hidden_layers=2, expand=2,
        conv_kernel=3, use_bias=True, use_conv_bias=False, tie_word_embeddings=False, layer_norm_epsilon=1e-4,
    ),
    "mamba1": MambaConfig(
        vocab_size=VOCABULARY, hidden_size=28, state_size=5, num_hidden_layers=3, conv_kernel=4, expand=2, time_step_rank=3, use_bias=False,
    ),
}  # fmt: skip


def randomize(model: torch.nn.Module, generator: torch.Generator) -> None:
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "A_log" in name:
            value = 0.7 * noise
        elif "norm" in name or name.endswith(".D"):
            value = 1 + 0.3 * noise
        elif name.endswith("dt_bias") or name.endswith("dt_proj.bias"):
            value = -2 + noise
        elif "conv1d.weight" in name:
            value = 0.5 * noise
        elif p.dim() == 1:
            value = 0.3 * noise
        else:
            value = noise * (1.0 if "embed" in name else p.shape[-1] ** -0.5)
        p.data = value.bfloat16().float()


def norm_by_groups(mixer: torch.nn.Module, groups: int) -> None:
    norm = mixer.norm

    def forward(y: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        y = y.float() * torch.nn.functional.silu(gate.float())
        parts = y.unflatten(-1, (groups, -1))
        parts = parts * torch.rsqrt(parts.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
        return norm.weight * parts.flatten(-2)

    norm.forward = forward


def main() -> None:
    out = Path(sys.argv[1])
    for seed, (name, config) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(seed)
        model = (Mamba2ForCausalLM if isinstance(config, Mamba2Config) else MambaForCausalLM)(config).eval()
        randomize(model, generator)
        if isinstance(config, Mamba2Config) and config.n_groups > 1:
            for layer in model.backbone.layers:
                norm_by_groups(layer.mixer, config.n_groups)
        ids = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator, dtype=torch.int32)
        with torch.no_grad():
            logits = model(ids[None].long(), use_cache=False).logits[0].float()
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        model.to(torch.bfloat16).save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
        print(name, "largest logit", logits.abs().max().item(), "std", logits.std().item())


if __name__ == "__main__":
    main()
