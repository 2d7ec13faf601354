"""GGUF files of the small models of make_lm_rwkv.py and make_lm_mamba.py, with llama.cpp's names and layouts, and RWKV-4 by transformers.

    python make_lm_gguf.py FOLDER      (tests/data/lm: reads FOLDER/NAME/model.safetensors, writes FOLDER/NAME/model.gguf and FOLDER/rwkv4_hf)

Matrices stay bf16, vectors become f32, so the logits of golden.safetensors hold for these files too. The transforms are those of llama.cpp's
converter, written from its description of the formats. Needs numpy, torch, safetensors, gguf, transformers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import gguf
import torch
from safetensors.torch import load_file, save_file
from transformers import RwkvConfig, RwkvForCausalLM

RESCALE = 2  # of the RWKV-6 file: its residual stream is halved after every second layer
TABLES = {
    "rwkv7": {"ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "ffn.x_k": "channel_mix_lerp_k",
              **{f"att.{n}": f"time_mix_{n}" for n in "w0 w1 w2 a0 a1 a2 v0 v1 v2 g1 g2 k_k k_a r_k receptance key value output".split()},
              "ffn.key": "channel_mix_key", "ffn.value": "channel_mix_value"},
    "rwkv6": {"ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.time_maa_x": "time_mix_lerp_x",
              "att.time_maa_w1": "time_mix_w1", "att.time_maa_w2": "time_mix_w2", "att.time_faaaa": "time_mix_first",
              "att.time_decay": "time_mix_decay", "att.time_decay_w1": "time_mix_decay_w1", "att.time_decay_w2": "time_mix_decay_w2",
              **{f"att.{n}": f"time_mix_{n}" for n in "receptance key value gate output".split()},
              "ffn.time_maa_k": "channel_mix_lerp_k", "ffn.time_maa_r": "channel_mix_lerp_r",
              **{f"ffn.{n}": f"channel_mix_{n}" for n in "receptance key value".split()}},
    "mamba": {"norm": "attn_norm", "mixer.in_proj": "ssm_in", "mixer.conv1d": "ssm_conv1d", "mixer.x_proj": "ssm_x",
              "mixer.dt_proj": "ssm_dt", "mixer.dt_bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
              "mixer.norm": "ssm_norm", "mixer.out_proj": "ssm_out"},
}  # fmt: skip
SHELL = {"emb": "token_embd", "blocks.0.ln0": "token_embd_norm", "ln_out": "output_norm", "head": "output",
         "backbone.embeddings": "token_embd", "backbone.norm_f": "output_norm", "lm_head": "output"}  # fmt: skip


def block_tensors(tensors: dict[str, torch.Tensor], prefix: str) -> dict[int, dict[str, torch.Tensor]]:
    blocks: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        found = re.fullmatch(re.escape(prefix) + r"(\d+)\.(.*)", name)
        if found and found[2].removesuffix(".weight").removesuffix(".bias") != "ln0":
            blocks.setdefault(int(found[1]), {})[found[2]] = value.float()
    return blocks


def renamed(name: str, table: dict[str, str]) -> str:
    for suffix in (".weight", ".bias"):
        if name.endswith(suffix):
            return table[name.removesuffix(suffix)] + suffix
    new = table[name]
    return new if new in ("ssm_a", "ssm_d") or new.endswith(".bias") else new + ".weight"


def rwkv_block(version: str, i: int, block: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix, parts = ("att.x_", "rwkvag") if version == "rwkv7" else ("att.time_maa_", "wkvrg")
    fused = torch.stack([block.pop(prefix + part).reshape(1, 1, -1) for part in parts])
    result = {"time_mix_lerp_fused.weight": fused}
    if version == "rwkv7" and i == 0:  # copies that nobody reads
        block |= {f"att.v{k}": block[f"att.a{k}"] for k in range(3)}
    for name, value in block.items():
        leaf = name.split(".")[-1]
        if leaf in ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2", "time_maa_w1", "time_decay_w1", "time_decay_w2"):
            value = value.T
        elif leaf == "time_maa_w2":
            value = value.permute(0, 2, 1)
        elif name in ("att.time_maa_x", "ffn.time_maa_k", "ffn.time_maa_r", "ffn.x_k"):
            value = value.reshape(1, 1, -1)
        elif leaf == "r_k" or value.dim() == 3:
            value = value.flatten()
        if version == "rwkv6" and name in ("att.output.weight", "ffn.value.weight"):
            value = value / 2 ** (i // RESCALE)
        result[renamed(name, TABLES[version])] = value
    return result


def mamba_block(groups: int, block: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    result = {}
    for name, value in block.items():
        if name == "mixer.conv1d.weight":
            value = value.squeeze(1)
        elif name == "mixer.A_log":
            value = -torch.exp(value)
        elif name == "mixer.norm.weight":
            value = value.reshape(groups, -1)
        if groups and name in ("mixer.A_log", "mixer.D"):
            value = value.reshape(-1, 1)
        result[renamed(name, TABLES["mamba"])] = value
    return result


def metadata(writer: gguf.GGUFWriter, arch: str, tensors: dict[str, torch.Tensor], blocks: int, groups: int) -> None:
    key = lambda name: f"{arch}.{name}"  # noqa: E731
    emb = tensors.get("emb.weight", tensors.get("backbone.embeddings.weight"))
    writer.add_uint32(key("context_length"), 1 << 20)
    writer.add_uint32(key("embedding_length"), emb.shape[1])
    writer.add_uint32(key("block_count"), blocks)
    writer.add_uint32(key("attention.head_count"), 0)
    if arch.startswith("rwkv"):
        heads = tensors["blocks.0.att." + ("r_k" if arch == "rwkv7" else "time_faaaa")].shape
        writer.add_float32(key("attention.layer_norm_epsilon"), 1e-5)
        writer.add_uint32(key("wkv.head_size"), heads[1])
        writer.add_uint32(key("feed_forward_length"), tensors["blocks.0.ffn.key.weight"].shape[0])
        if arch == "rwkv6":
            writer.add_uint32(key("rescale_every_n_layers"), RESCALE)
    else:
        writer.add_float32(key("attention.layer_norm_rms_epsilon"), 1e-4 if groups > 1 else 1e-5)
        writer.add_uint32(key("ssm.conv_kernel"), tensors["backbone.layers.0.mixer.conv1d.weight"].shape[-1])
        if groups:
            writer.add_uint32(key("ssm.group_count"), groups)


def write(folder: Path, arch: str, groups: int = 0) -> None:
    tensors = load_file(folder / "model.safetensors")
    writer = gguf.GGUFWriter(folder / "model.gguf", arch)
    blocks = block_tensors(tensors, "blocks." if arch.startswith("rwkv") else "backbone.layers.")
    metadata(writer, arch, tensors, len(blocks), groups)

    def put(name: str, value: torch.Tensor) -> None:
        if name.endswith(".weight") and value.dim() == 2 and value.numel() > 1000:  # bf16 holds these exactly
            data = value.bfloat16().contiguous().view(torch.int16).numpy().view("uint8")
            writer.add_tensor(name, data, raw_shape=data.shape, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, value.float().contiguous().numpy())

    for name, value in tensors.items():
        for own, theirs in SHELL.items():
            if name in (own + ".weight", own + ".bias") and not (own == "lm_head" and groups == 1):
                put(theirs + name.removeprefix(own), value.float())
    for i, block in sorted(blocks.items()):
        for name, value in (rwkv_block(arch, i, block) if arch.startswith("rwkv") else mamba_block(groups, block)).items():
            put(f"blk.{i}.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(folder.name, (folder / "model.gguf").stat().st_size // 1024, "KiB")


def write_rwkv4(folder: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    config = RwkvConfig(vocab_size=61, hidden_size=32, attention_hidden_size=40, num_hidden_layers=3, intermediate_size=72, rescale_every=0)
    model = RwkvForCausalLM(config).eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "time_mix" in name:
            value = torch.rand(p.shape, generator=generator)
        elif "time_decay" in name:
            value = -2 + 1.5 * noise
        elif p.dim() == 1:
            value = (1.0 if ("ln" in name and "weight" in name) else 0.0) + 0.3 * noise
        else:
            value = noise * (1.0 if "embeddings" in name else p.shape[-1] ** -0.5)
        p.data = value.bfloat16().float()
    ids = torch.randint(0, 61, (512,), generator=generator, dtype=torch.int32)
    with torch.no_grad():
        logits = model(ids[None].long(), use_cache=False).logits[0].float()
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
    print(folder.name, "largest logit", logits.abs().max().item())


def main() -> None:
    root = Path(sys.argv[1])
    for name, arch, groups in (("rwkv7", "rwkv7", 0), ("rwkv6", "rwkv6", 0), ("mamba1", "mamba", 0), ("mamba2", "mamba2", 1),
                               ("mamba2_groups", "mamba2", 2)):  # fmt: skip
        if name == "mamba2_groups":
            continue  # its projections have biases, for which llama.cpp has no names
        write(root / name, arch, groups)
    write_rwkv4(root / "rwkv4_hf")


if __name__ == "__main__":
    main()
