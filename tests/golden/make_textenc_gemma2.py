"""Golden data of Gemma 2: small random models, each saved by transformers, and their hidden states with eager attention in fp32.

    python make_textenc_gemma2.py OUT_FOLDER      (tests/data/textenc/gemma2)

Every model is a folder with config.json, model.safetensors and golden.safetensors: ids i32 [T]; embed_tokens, layers.i, norm f32 [T, hidden];
norm.no_softcap, the last hidden state with the softcap left out, as fused attention does. Weights are stored in bf16 (one model in f32) and
the reference computes in fp32 from the stored values. Needs torch, transformers, safetensors.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Gemma2Config, Gemma2ForCausalLM

# name: sizes, tokens. hidden is a multiple of heads because transformers insists; head_dim is free.
MODELS = {
    "one_layer": dict(layers=1, hidden=24, heads=4, kv_heads=4, head_dim=8, inter=40, window=64, softcap=50.0, tokens=9),
    "gqa2_window": dict(layers=4, hidden=20, heads=4, kv_heads=2, head_dim=10, inter=48, window=5, softcap=3.0, tokens=19),
    "gqa4_float32": dict(layers=2, hidden=36, heads=4, kv_heads=1, head_dim=6, inter=33, window=3, softcap=None, tokens=23, dtype=torch.float32),
    "odd": dict(layers=3, hidden=26, heads=2, kv_heads=1, head_dim=14, inter=37, window=7, softcap=2.0, tokens=33, scalar=30,
                theta=500.0, types=["full_attention", "sliding_attention", "sliding_attention"], activation="silu"),
    "wide": dict(layers=1, hidden=48, heads=6, kv_heads=3, head_dim=32, inter=64, window=40, softcap=5.0, tokens=55),
    "one_token": dict(layers=2, hidden=16, heads=2, kv_heads=2, head_dim=4, inter=16, window=4, softcap=50.0, tokens=1),
}  # fmt: skip
VOCABULARY = 97


def build(spec: dict) -> Gemma2ForCausalLM:
    config = Gemma2Config(
        vocab_size=VOCABULARY, hidden_size=spec["hidden"], intermediate_size=spec["inter"], num_hidden_layers=spec["layers"],
        num_attention_heads=spec["heads"], num_key_value_heads=spec["kv_heads"], head_dim=spec["head_dim"],
        query_pre_attn_scalar=spec.get("scalar", spec["head_dim"]), sliding_window=spec["window"], attn_logit_softcapping=spec["softcap"],
        hidden_activation=spec.get("activation", "gelu_pytorch_tanh"), layer_types=spec.get("types"), max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": spec.get("theta", 10000.0)},
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = Gemma2ForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        scale = 0.3 if "norm" in name else 1.0 if "embed" in name else 1.5 * weight.shape[-1] ** -0.5
        weight.data = torch.randn(weight.shape) * scale
    return model


def hidden_states(model, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(_module, _inputs, output):
            found[name] = (output if isinstance(output, torch.Tensor) else output[0]).reshape(ids.numel(), -1).clone()

        return hook

    handles = [model.embed_tokens.register_forward_hook(keep("embed_tokens")), model.norm.register_forward_hook(keep("norm"))]
    handles += [layer.register_forward_hook(keep(f"layers.{i}")) for i, layer in enumerate(model.layers)]
    with torch.no_grad():
        model(input_ids=ids[None].long(), use_cache=False)
    for handle in handles:
        handle.remove()
    return found


def main() -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)
    for name, spec in MODELS.items():
        folder = Path(sys.argv[1]) / name
        model, dtype = build(spec), spec.get("dtype", torch.bfloat16)
        for weight in model.parameters():  # not model.to(dtype), which would round the tables of the rotary embedding as well
            weight.data = weight.data.to(dtype).float()
        # With the head and the prefix "model." for some, the bare decoder as SANA's repositories have it for the others.
        saved = copy.deepcopy(model).to(dtype)
        (saved if name in ("gqa2_window", "one_token") else saved.model).save_pretrained(folder)
        ids = torch.randint(0, VOCABULARY, (spec["tokens"],), dtype=torch.int32)
        golden = {"ids": ids, **hidden_states(model.model, ids)}
        for layer in model.model.layers:
            layer.self_attn.attn_logit_softcapping = None
        golden["norm.no_softcap"] = hidden_states(model.model, ids)["norm"]
        difference = (golden["norm.no_softcap"] - golden["norm"]).norm() / golden["norm"].norm()
        print(f"{name}: leaving the softcap out changes the result by {difference:.3f}")
        save_file(golden, str(folder / "golden.safetensors"))
        config = json.loads((folder / "config.json").read_text())
        config.pop("transformers_version", None)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        for extra in folder.glob("generation_config.json"):
            extra.unlink()
        for file in folder.iterdir():
            file.chmod(0o644)


if __name__ == "__main__":
    main()
