"""A model folder of a published SANA configuration with random weights, for measuring speed and memory without any download.

    python tests/full_size/make_random_model.py sana-600m /tmp/sana-600m [--dtype f32|bf16] [--text small|gemma-2-2b]

Needs numpy only. The tokenizer is that of the golden tests. Weights are drawn once and reused in shifted order: their values do not matter,
their spread does (activations stay near unit size).
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]

TRANSFORMERS = {
    "sana-600m": dict(num_attention_heads=36, num_layers=28, num_cross_attention_heads=16, cross_attention_head_dim=72),
    "sana-1600m": dict(num_attention_heads=70, num_layers=20, num_cross_attention_heads=20, cross_attention_head_dim=112),
    "sana-1.5-1600m": dict(num_attention_heads=70, num_layers=20, num_cross_attention_heads=20, cross_attention_head_dim=112,
                           qk_norm="rms_norm_across_heads"),
    "sana-1600m-4k": dict(num_attention_heads=70, num_layers=20, num_cross_attention_heads=20, cross_attention_head_dim=112,
                          sample_size=128, interpolation_scale=2.0),
    "sana-1.5-4800m": dict(num_attention_heads=70, num_layers=60, num_cross_attention_heads=20, cross_attention_head_dim=112,
                           qk_norm="rms_norm_across_heads"),
}
TEXT = {
    "gemma-2-2b": dict(hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4,
                       head_dim=256, query_pre_attn_scalar=256, vocab_size=256000),
    "small": dict(hidden_size=2304, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=64,
                  query_pre_attn_scalar=64, vocab_size=4096),
}
VAE = dict(
    _class_name="AutoencoderDC", in_channels=3, latent_channels=32, attention_head_dim=32,
    encoder_block_types=["ResBlock"] * 3 + ["EfficientViTBlock"] * 3, decoder_block_types=["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
    encoder_block_out_channels=[128, 256, 512, 512, 1024, 1024], decoder_block_out_channels=[128, 256, 512, 512, 1024, 1024],
    encoder_layers_per_block=[2, 2, 2, 3, 3, 3], decoder_layers_per_block=[3, 3, 3, 3, 3, 3],
    encoder_qkv_multiscales=[[], [], [], [5], [5], [5]], decoder_qkv_multiscales=[[], [], [], [5], [5], [5]],
    upsample_block_type="interpolate", downsample_block_type="Conv", decoder_norm_types="rms_norm", decoder_act_fns="silu",
    scaling_factor=0.41407)


def transformer_shapes(c: dict) -> dict:
    d, text = c["num_attention_heads"] * 32, c["caption_channels"]
    hidden = int(2.5 * d)
    shapes = {
        "patch_embed.proj.weight": (d, 32, 1, 1), "patch_embed.proj.bias": (d,),
        "time_embed.emb.timestep_embedder.linear_1.weight": (d, 256), "time_embed.emb.timestep_embedder.linear_1.bias": (d,),
        "time_embed.emb.timestep_embedder.linear_2.weight": (d, d), "time_embed.emb.timestep_embedder.linear_2.bias": (d,),
        "time_embed.linear.weight": (6 * d, d), "time_embed.linear.bias": (6 * d,),
        "caption_projection.linear_1.weight": (d, text), "caption_projection.linear_1.bias": (d,),
        "caption_projection.linear_2.weight": (d, d), "caption_projection.linear_2.bias": (d,),
        "caption_norm.weight": (d,), "scale_shift_table": (2, d), "proj_out.weight": (32, d), "proj_out.bias": (32,),
    }
    for i in range(c["num_layers"]):
        p = f"transformer_blocks.{i}."
        shapes[p + "scale_shift_table"] = (6, d)
        for attention in ("attn1", "attn2"):
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                shapes[f"{p}{attention}.{name}.weight"] = (d, d)
                if attention == "attn2" or name == "to_out.0":
                    shapes[f"{p}{attention}.{name}.bias"] = (d,)
            if c.get("qk_norm"):
                shapes[f"{p}{attention}.norm_q.weight"] = shapes[f"{p}{attention}.norm_k.weight"] = (d,)
        shapes |= {
            p + "ff.conv_inverted.weight": (2 * hidden, d, 1, 1), p + "ff.conv_inverted.bias": (2 * hidden,),
            p + "ff.conv_depth.weight": (2 * hidden, 1, 3, 3), p + "ff.conv_depth.bias": (2 * hidden,),
            p + "ff.conv_point.weight": (d, hidden, 1, 1),
        }
    return shapes


def text_shapes(c: dict) -> dict:
    d, heads, kv, width, ff = (c[k] for k in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"))
    shapes = {"embed_tokens.weight": (c["vocab_size"], d), "norm.weight": (d,)}
    for i in range(c["num_hidden_layers"]):
        p = f"layers.{i}."
        shapes |= {
            p + "self_attn.q_proj.weight": (heads * width, d), p + "self_attn.k_proj.weight": (kv * width, d),
            p + "self_attn.v_proj.weight": (kv * width, d), p + "self_attn.o_proj.weight": (d, heads * width),
            p + "mlp.gate_proj.weight": (ff, d), p + "mlp.up_proj.weight": (ff, d), p + "mlp.down_proj.weight": (d, ff),
        }
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            shapes[f"{p}{norm}_layernorm.weight"] = (d,)
    return shapes


def vae_shapes(c: dict) -> dict:
    shapes = {}

    def conv(name, out, inner, k=3, bias=True):
        shapes[name + ".weight"] = (out, inner, k, k)
        if bias:
            shapes[name + ".bias"] = (out,)

    def norm(name, width):
        shapes[name + ".weight"] = shapes[name + ".bias"] = (width,)

    def block(p, kind, width):
        if kind == "ResBlock":
            conv(p + "conv1", width, width)
            conv(p + "conv2", width, width, bias=False)
            norm(p + "norm", width)
            return
        for name in ("to_q", "to_k", "to_v"):
            shapes[f"{p}attn.{name}.weight"] = (width, width)
        shapes[p + "attn.to_qkv_multiscale.0.proj_in.weight"] = (3 * width, 1, 5, 5)
        shapes[p + "attn.to_qkv_multiscale.0.proj_out.weight"] = (3 * width, 32, 1, 1)
        shapes[p + "attn.to_out.weight"] = (width, 2 * width)
        norm(p + "attn.norm_out", width)
        conv(p + "conv_out.conv_inverted", 8 * width, width, 1)
        conv(p + "conv_out.conv_depth", 8 * width, 1)
        conv(p + "conv_out.conv_point", width, 4 * width, 1, bias=False)
        norm(p + "conv_out.norm", width)

    for side, key in (("encoder", "down"), ("decoder", "up")):
        widths, layers, kinds = c[f"{side}_block_out_channels"], c[f"{side}_layers_per_block"], c[f"{side}_block_types"]
        for i, (width, count, kind) in enumerate(zip(widths, layers, kinds)):
            first = 0
            if side == "decoder" and i + 1 < len(widths):
                conv(f"decoder.up_blocks.{i}.0.conv", width, widths[i + 1])
                first = 1
            for j in range(count):
                block(f"{side}.{key}_blocks.{i}.{first + j}.", kind, width)
            if side == "encoder" and i + 1 < len(widths):
                conv(f"encoder.down_blocks.{i}.{count}.conv", widths[i + 1], width)
    conv("encoder.conv_in", 128, 3)
    conv("encoder.conv_out", 32, 1024)
    conv("decoder.conv_in", 1024, 32)
    norm("decoder.norm_out", 128)
    conv("decoder.conv_out", 3, 128)
    return shapes


class Weights:
    """Normal values from one pool, scaled to the fan-in; norms around one (Gemma's around zero)."""

    def __init__(self, dtype: str, norm_offset: float):
        self.dtype, self.norm_offset = dtype, norm_offset
        self.pool = np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32)
        self.turn = 0
        self.scaled = {}  # the pool times a scale, as bytes: a handful of scales serves a whole model

    def draw(self, name: str, shape: tuple):
        """The tensor's bytes, in pieces."""
        item = 4 if self.dtype == "f32" else 2
        self.turn = (self.turn + 99991) % len(self.pool)
        if len(shape) == 1:
            values = np.resize(np.roll(self.pool, self.turn), shape) * 0.02
            yield self.encoded(values + (self.norm_offset if "norm" in name and name.endswith("weight") else 0))
            return
        scale = float(np.prod(shape[1:])) ** -0.5
        if scale not in self.scaled:
            self.scaled[scale] = self.encoded(self.pool * scale)
        source, start, left = memoryview(self.scaled[scale]), self.turn * item, int(np.prod(shape)) * item
        while left > 0:
            piece = source[start : start + left]
            yield piece
            left -= len(piece)
            start = 0

    def encoded(self, values: np.ndarray) -> bytes:
        values = values.astype(np.float32)
        if self.dtype == "f32":
            return values.tobytes()
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def write(path: pathlib.Path, shapes: dict, weights: Weights) -> None:
    item = 4 if weights.dtype == "f32" else 2
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * item
        header[name] = {"dtype": "F32" if item == 4 else "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            file.writelines(weights.draw(name, shape))
    print(f"{path}: {offset / 2**30:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=TRANSFORMERS)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--text", choices=TEXT, default="gemma-2-2b")
    a = parser.parse_args()

    transformer = dict(_class_name="SanaTransformer2DModel", in_channels=32, out_channels=32, attention_head_dim=32, caption_channels=2304,
                       mlp_ratio=2.5, sample_size=32, patch_size=1, interpolation_scale=None)
    transformer |= TRANSFORMERS[a.model]
    transformer["cross_attention_dim"] = transformer["num_attention_heads"] * 32
    text = dict(architectures=["Gemma2Model"], model_type="gemma2", sliding_window=4096, attn_logit_softcapping=50.0,
                final_logit_softcapping=30.0, rms_norm_eps=1e-6, rope_theta=10000.0, max_position_embeddings=8192, attention_bias=False,
                hidden_activation="gelu_pytorch_tanh", bos_token_id=2, eos_token_id=1, pad_token_id=0, **TEXT[a.text])
    scheduler = dict(_class_name="DPMSolverMultistepScheduler", prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0,
                     num_train_timesteps=1000, solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint")
    index = {"_class_name": "SanaPipeline", "_diffusers_version": "0.32.0",
             "scheduler": ["diffusers", "DPMSolverMultistepScheduler"], "text_encoder": ["transformers", "Gemma2Model"],
             "tokenizer": ["transformers", "GemmaTokenizerFast"], "transformer": ["diffusers", "SanaTransformer2DModel"],
             "vae": ["diffusers", "AutoencoderDC"]}

    for part, config in (("transformer", transformer), ("text_encoder", text), ("vae", VAE)):
        (a.folder / part).mkdir(parents=True, exist_ok=True)
        (a.folder / part / "config.json").write_text(json.dumps(config, indent=2))
    (a.folder / "scheduler").mkdir(exist_ok=True)
    (a.folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2))
    (a.folder / "model_index.json").write_text(json.dumps(index, indent=2))
    shutil.copytree(ROOT / "tests" / "data" / "textenc" / "tokenizer", a.folder / "tokenizer", dirs_exist_ok=True)
    write(a.folder / "transformer" / "diffusion_pytorch_model.safetensors", transformer_shapes(transformer), Weights(a.dtype, 1.0))
    write(a.folder / "vae" / "diffusion_pytorch_model.safetensors", vae_shapes(VAE), Weights(a.dtype, 1.0))
    write(a.folder / "text_encoder" / "model.safetensors", text_shapes(text), Weights(a.dtype, 0.0))


if __name__ == "__main__":
    main()
