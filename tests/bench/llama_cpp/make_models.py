#!/usr/bin/env python3
"""GGUF checkpoints of the smallest published RWKV-7 and Mamba-2 sizes with random weights, for compare.sh.

    make_models.py FOLDER        writes rwkv7-q8_0, rwkv7-q4_k, mamba2-q8_0 and mamba2-q4_k (.gguf)

Names, shapes and types as llama.cpp's converter and quantiser choose them: in a Q4_K file the head is Q6_K, and what is no large matrix stays
in f32. Needs the Python packages gguf and numpy.
"""
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

random = np.random.default_rng(0)


def normal(*shape, scale=1.0, mean=0.0):
    return (mean + scale * random.standard_normal(shape)).astype(np.float32)


def matrix(type, rows, columns):
    """Random blocks whose values have about the variance 1/columns."""
    scale = columns**-0.5
    if type == Type.Q8_0:
        return gguf.quants.quantize(normal(rows, columns, scale=scale), type)
    elements, size = gguf.GGML_QUANT_SIZES[type]
    count = rows * columns // elements
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)

    def put_half(at, value):
        blocks[:, at : at + 2] = np.full((count, 1), value, dtype=np.float16).view(np.uint8)

    if type == Type.Q4_K:  # eight six-bit scales of 40 and offsets of 40
        put_half(0, scale * 3.4 / 15 / 40)
        put_half(2, scale * 1.7 / 40)
        blocks[:, 4:12], blocks[:, 12:16] = 0x28, 0x88
        blocks[:, 4:12] |= 0x80
    elif type == Type.Q6_K:
        put_half(208, scale * 1.7 / 32 / 64)
        blocks[:, 192:208] = 64
    return blocks.reshape(rows, -1)


class Writer(gguf.GGUFWriter):
    def add(self, name, values, type=Type.F32):
        self.add_tensor(name, values, raw_dtype=None if type == Type.F32 else type)

    def add_norm(self, name, channels):
        self.add(name + ".weight", normal(channels, scale=0.1, mean=1))
        self.add(name + ".bias", normal(channels, scale=0.1))

    def finish(self):
        self.write_header_to_file()
        self.write_kv_data_to_file()
        self.write_tensors_to_file()
        self.close()


def byte_level_tokenizer(writer, vocabulary):
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = ["<|endoftext|>", *letters, "ab"]
    tokens += [f"token{i}" for i in range(len(tokens), vocabulary)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("mpt")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (vocabulary - 1))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def world_tokenizer(writer, vocabulary):
    tokens = ["<s>"] + [f"\\x{b:02x}" for b in range(256)]
    tokens += [f"token{i}" for i in range(len(tokens), vocabulary)]
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (vocabulary - 1))
    writer.add_eos_token_id(0)


def rwkv7(path, type, head_type):
    """RWKV-7 World 0.1B."""
    C, layers, wide, vocabulary, head = 768, 12, 3072, 65536, 64
    ranks = {"w": 64, "a": 64, "v": 32, "g": 128}
    writer = Writer(path, "rwkv7")
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(C)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(0)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(head)
    writer.add_token_shift_count(2)
    for key, name in (("w", "decay"), ("a", "iclr"), ("v", "value_residual_mix"), ("g", "gate")):
        writer.add_uint32(f"rwkv7.attention.{name}_lora_rank", ranks[key])
    world_tokenizer(writer, vocabulary)
    writer.add("token_embd.weight", matrix(type, vocabulary, C), type)
    writer.add("output.weight", matrix(head_type, vocabulary, C), head_type)
    for name in ("token_embd_norm", "output_norm"):
        writer.add_norm(name, C)
    for i in range(layers):
        block = f"blk.{i}."
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            writer.add_norm(block + name, C)
        writer.add(block + "time_mix_lerp_fused.weight", random.random((6, 1, 1, C)).astype(np.float32))
        for key, full_rank in ranks.items():
            rank = ranks["a"] if key == "v" and i == 0 else full_rank
            if key != "g":
                writer.add(block + f"time_mix_{key}0.weight", normal(C, mean=-2 if key == "w" else 0))
            writer.add(block + f"time_mix_{key}1.weight", normal(rank, C, scale=C**-0.5))
            writer.add(block + f"time_mix_{key}2.weight", normal(C, rank, scale=rank**-0.5))
        writer.add(block + "time_mix_k_k.weight", normal(C, scale=0.1, mean=0.85))
        writer.add(block + "time_mix_k_a.weight", normal(C, scale=0.1, mean=1))
        writer.add(block + "time_mix_r_k.weight", normal(C, scale=0.1))
        for name in ("receptance", "key", "value", "output"):
            writer.add(block + f"time_mix_{name}.weight", matrix(type, C, C), type)
        writer.add(block + "channel_mix_lerp_k.weight", random.random((1, 1, C)).astype(np.float32))
        writer.add(block + "channel_mix_key.weight", matrix(type, wide, C), type)
        writer.add(block + "channel_mix_value.weight", matrix(type, C, wide), type)
    writer.finish()


def mamba2(path, type, head_type):
    """Mamba-2 130M, whose embedding is the head too."""
    D, layers, vocabulary, states, groups = 768, 24, 50288, 128, 1
    inner, heads = 2 * D, 2 * D // 64
    convolved = inner + 2 * groups * states
    writer = Writer(path, "mamba2")
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(D)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(states)
    writer.add_ssm_time_step_rank(heads)
    writer.add_ssm_group_count(groups)
    byte_level_tokenizer(writer, vocabulary)
    writer.add("token_embd.weight", matrix(head_type, vocabulary, D), head_type)
    writer.add("output_norm.weight", normal(D, scale=0.1, mean=1))
    for i in range(layers):
        block = f"blk.{i}."
        writer.add(block + "attn_norm.weight", normal(D, scale=0.1, mean=1))
        writer.add(block + "ssm_in.weight", matrix(type, inner + convolved + heads, D), type)
        writer.add(block + "ssm_conv1d.weight", normal(convolved, 4, scale=0.4))
        writer.add(block + "ssm_conv1d.bias", normal(convolved, scale=0.1))
        writer.add(block + "ssm_dt.bias", normal(heads, mean=-3))
        writer.add(block + "ssm_a", -np.exp(normal(heads, 1)))
        writer.add(block + "ssm_d", normal(heads, 1, mean=1, scale=0.1))
        writer.add(block + "ssm_norm.weight", normal(groups, inner // groups, scale=0.1, mean=1))
        writer.add(block + "ssm_out.weight", matrix(type, D, inner), type)
    writer.finish()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in (rwkv7, mamba2):
        for type, head_type in ((Type.Q8_0, Type.Q8_0), (Type.Q4_K, Type.Q6_K)):
            make(folder / f"{make.__name__}-{type.name.lower()}.gguf", type, head_type)


if __name__ == "__main__":
    main()
