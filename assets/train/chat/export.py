"""Write a trained model as one GGUF file, in llama.cpp's layout, and as safetensors in the authors' naming for comparisons."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from config import CONFIGS, END_OF_TEXT, TINY, Mamba2Config, Rwkv7Config
from corpus import CHAT_TEMPLATE
from k_quants import BLOCK, quantise_q6_k
from weights import load_parts, make, parameter_count

CONTEXT = 1 << 20  # recurrent models have no limit
LICENCE = "other"
DESCRIPTION = {
    "rwkv7": "Linea's built-in RWKV-7 chat model: small talk, simple questions, and picture prompts",
    "mamba2": "Linea's built-in Mamba-2 chat model: small talk, simple questions, and picture prompts",
}
NAMES = {"rwkv7": "linea-chat-rwkv7", "mamba2": "linea-chat-mamba2"}
QUANTISED = {
    "q6_k": gguf.GGMLQuantizationType.Q6_K,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "f16": gguf.GGMLQuantizationType.F16,
}


def mamba2_hugging_face_config(c: Mamba2Config):
    from transformers import Mamba2Config as HuggingFaceConfig

    return HuggingFaceConfig(
        vocab_size=c.vocabulary, hidden_size=c.width, num_hidden_layers=c.layers, num_heads=c.heads, head_dim=c.head,
        state_size=c.state, n_groups=1, expand=c.expand, conv_kernel=c.taps, chunk_size=64, use_bias=False, use_conv_bias=True,
        layer_norm_epsilon=c.eps, rms_norm=True, tie_word_embeddings=True,
        bos_token_id=END_OF_TEXT, eos_token_id=END_OF_TEXT, pad_token_id=END_OF_TEXT,
    )  # fmt: skip


class Writer:
    """A GGUF file with its tensors; matrices take the chosen type, everything else stays in floats."""

    def __init__(self, path: Path, architecture: str, matrix_type: str) -> None:
        self.file = gguf.GGUFWriter(str(path), architecture)
        self.matrix_type = QUANTISED[matrix_type]

    def floats(self, name: str, tensor: Tensor, dtype=np.float32) -> None:
        self.file.add_tensor(name, np.ascontiguousarray(tensor.detach().float().numpy().astype(dtype)))

    def low_rank(self, name: str, tensor: Tensor) -> None:
        """A matrix stored [in, out], as an ordinary linear [out, in]."""
        self.floats(name, tensor.T, np.float16)

    def matrix(self, name: str, tensor: Tensor) -> None:
        values = np.ascontiguousarray(tensor.detach().float().numpy())
        kind = self.matrix_type
        if kind == gguf.GGMLQuantizationType.Q6_K:
            if values.shape[-1] % BLOCK != 0:
                kind = gguf.GGMLQuantizationType.Q8_0
            else:
                self.file.add_tensor(name, quantise_q6_k(values), raw_dtype=kind)
                return
        self.file.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def tokenizer(self, path: Path) -> None:
        content = json.loads(path.read_text())["model"]
        tokens = sorted(content["vocab"], key=content["vocab"].get)
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["merges"]]
        kinds = [gguf.TokenType.CONTROL if i == END_OF_TEXT else gguf.TokenType.NORMAL for i in range(len(tokens))]
        self.file.add_tokenizer_model("gpt2")
        self.file.add_tokenizer_pre("gpt-2")
        self.file.add_token_list(tokens)
        self.file.add_token_types(kinds)
        self.file.add_token_merges(merges)
        self.file.add_bos_token_id(END_OF_TEXT)
        self.file.add_eos_token_id(END_OF_TEXT)
        self.file.add_add_bos_token(True)
        self.file.add_chat_template(CHAT_TEMPLATE)

    def close(self) -> None:
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def describe(out: Writer, kind: str, count: int, matrix_type: str) -> None:
    file = out.file
    file.add_name(NAMES[kind])
    file.add_description(DESCRIPTION[kind])
    file.add_license(LICENCE)
    file.add_license_name("see README.md: CC0, MIT, BSD-3-Clause, Apache-2.0, CC BY 3.0 and 4.0, WordNet 3.0")
    file.add_languages(["en"])
    file.add_size_label(f"{count / 1e6:.0f}M")
    file.add_quantization_version(gguf.GGML_QUANT_VERSION)
    file.add_file_type({"q6_k": gguf.LlamaFileType.MOSTLY_Q6_K, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}.get(
        matrix_type, gguf.LlamaFileType.MOSTLY_F16))  # fmt: skip
    file.add_context_length(CONTEXT)
    file.add_head_count(0)


def write_rwkv7(out: Writer, c: Rwkv7Config, weights: dict[str, Tensor]) -> None:
    file = out.file
    file.add_embedding_length(c.width)
    file.add_block_count(c.layers)
    file.add_feed_forward_length(c.feed_forward)
    file.add_layer_norm_eps(1e-5)
    file.add_wkv_head_size(c.head)
    file.add_decay_lora_rank(c.decay_rank)
    file.add_iclr_lora_rank(c.rate_rank)
    file.add_value_residual_mix_lora_rank(c.value_rank)
    file.add_gate_lora_rank(c.gate_rank)
    file.add_token_shift_count(2)
    out.matrix("token_embd.weight", weights["emb.weight"])
    out.matrix("output.weight", weights["head.weight"])
    for part in ("weight", "bias"):
        out.floats(f"token_embd_norm.{part}", weights[f"blocks.0.ln0.{part}"])
        out.floats(f"output_norm.{part}", weights[f"ln_out.{part}"])
    for i in range(c.layers):
        write_rwkv7_block(out, f"blk.{i}.", {k.removeprefix(f"blocks.{i}."): v for k, v in weights.items() if k.startswith(f"blocks.{i}.")})


def write_rwkv7_block(out: Writer, to: str, w: dict[str, Tensor]) -> None:
    for part in ("weight", "bias"):
        out.floats(f"{to}attn_norm.{part}", w[f"ln1.{part}"])
        out.floats(f"{to}attn_norm_2.{part}", w[f"ln2.{part}"])
        out.floats(f"{to}time_mix_ln.{part}", w[f"att.ln_x.{part}"])
    lerps = torch.stack([w[f"att.x_{name}"] for name in "rwkvag"])
    out.floats(f"{to}time_mix_lerp_fused.weight", lerps[:, None, None, :])
    for name in "wavg":
        source = name if f"att.{name}1" in w else "a"  # block 0 has no value residual: copies, unused
        if name != "g":
            out.floats(f"{to}time_mix_{name}0.weight", w[f"att.{source}0"])
        out.low_rank(f"{to}time_mix_{name}1.weight", w[f"att.{source}1"])
        out.low_rank(f"{to}time_mix_{name}2.weight", w[f"att.{source}2"])
    for name in ("k_k", "k_a", "r_k"):
        out.floats(f"{to}time_mix_{name}.weight", w[f"att.{name}"].flatten())
    for name in ("receptance", "key", "value", "output"):
        out.matrix(f"{to}time_mix_{name}.weight", w[f"att.{name}.weight"])
    out.floats(f"{to}channel_mix_lerp_k.weight", w["ffn.x_k"][None, None, :])
    out.matrix(f"{to}channel_mix_key.weight", w["ffn.key.weight"])
    out.matrix(f"{to}channel_mix_value.weight", w["ffn.value.weight"])


def write_mamba2(out: Writer, c: Mamba2Config, weights: dict[str, Tensor]) -> None:
    file = out.file
    file.add_embedding_length(c.width)
    file.add_block_count(c.layers)
    file.add_feed_forward_length(0)
    file.add_layer_norm_rms_eps(c.eps)
    file.add_ssm_conv_kernel(c.taps)
    file.add_ssm_inner_size(c.inner)
    file.add_ssm_state_size(c.state)
    file.add_ssm_time_step_rank(c.heads)
    file.add_ssm_group_count(1)
    out.matrix("token_embd.weight", weights["backbone.embeddings.weight"])
    out.floats("output_norm.weight", weights["backbone.norm_f.weight"])
    for i in range(c.layers):
        to, of = f"blk.{i}.", f"backbone.layers.{i}."
        mixer = {k.removeprefix(f"{of}mixer."): v for k, v in weights.items() if k.startswith(f"{of}mixer.")}
        out.floats(f"{to}attn_norm.weight", weights[f"{of}norm.weight"])
        out.matrix(f"{to}ssm_in.weight", mixer["in_proj.weight"])
        out.floats(f"{to}ssm_conv1d.weight", mixer["conv1d.weight"][:, 0])
        out.floats(f"{to}ssm_conv1d.bias", mixer["conv1d.bias"])
        out.floats(f"{to}ssm_dt.bias", mixer["dt_bias"])
        out.floats(f"{to}ssm_a", -torch.exp(mixer["A_log"])[:, None])
        out.floats(f"{to}ssm_d", mixer["D"][:, None])
        out.floats(f"{to}ssm_norm.weight", mixer["norm.weight"][None, :])
        out.matrix(f"{to}ssm_out.weight", mixer["out_proj.weight"])


def write_reference(folder: Path, kind: str, config, weights: dict[str, Tensor]) -> None:
    """The same weights for other programs, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().float().contiguous() for name, value in weights.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if kind == "mamba2":
        mamba2_hugging_face_config(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("rwkv7", "mamba2"))
    parser.add_argument("--weights", type=Path, required=True, help="folder with part-*.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--reference", type=Path, help="folder for the safetensors of the same weights")
    parser.add_argument("--type", choices=tuple(QUANTISED), default="q6_k", help="of the matrices")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--random", action="store_true", help="untrained weights, to see the size")
    args = parser.parse_args()
    config = (TINY if args.tiny else CONFIGS)[args.kind]
    torch.manual_seed(0)
    model = make(args.kind, args.tiny)
    if not args.random:
        load_parts(model, args.weights)
    weights = model.state_dict()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    out = Writer(args.out, args.kind, args.type)
    describe(out, args.kind, parameter_count(model), args.type)
    (write_rwkv7 if args.kind == "rwkv7" else write_mamba2)(out, config, weights)
    out.tokenizer(args.tokenizer)
    out.close()
    if args.reference is not None:
        write_reference(args.reference, args.kind, config, weights)
    print(f"{args.out}: {parameter_count(model) / 1e6:.2f} M parameters, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
