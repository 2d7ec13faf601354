"""Golden data of the prompt path: SanaPipeline.encode_prompt with a tiny random Gemma 2 and the tokenizer of make_textenc_tokenizer.py.

    python make_textenc_prompt.py OUT_FOLDER      (tests/data/textenc; its tokenizer/ must exist)

Writes text_encoder/{config.json,model.safetensors} (weights bf16; the reference computes in fp32 from them) and

    prompt.safetensors   <case>.ids i32 [300], <case>.mask u8 [300], <case>.embeddings f32 [real rows, hidden] for the cases of prompt.json
    prompt.json          {"instructions": {name: text}, "prompts": {name: text},
                         "cases": [{"name", "prompt": name, "instruction": name or null, "negative": bool}]}

Needs torch, transformers, diffusers, safetensors.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import torch
from diffusers import SanaPipeline
from safetensors.torch import save_file
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

INSTRUCTIONS = {
    "short": ["Describe the picture that the user asks for in more words.", "- Keep all that is there.", "User Prompt: "],
    "long": [f"- Rule {i}: add colours, shapes, sizes and textures where the prompt has none, and nothing else." for i in range(12)] + ["Prompt: "],
    "unspaced": ["Draw:"],  # its last token may join the prompt's first word
}
LONG = ", ".join(f"a {c} {s} number {i} on a table" for i, (c, s) in enumerate(zip(["Red", "blue", "GREEN", "teal"] * 20, ["box", "ball", "cup", "hat", "pen"] * 16)))
PROMPTS = {
    "plain": "A red apple on a blue plate",
    "messy": " \t\n  ΟΔΥΣΣΕΥΣ and İstanbul, ÀÉÎ  ẞ ÅNGSTRÖM 😀\n\n<bos> <0x41>\u3000\x1f ",
    "empty": "",
    "blank": "  \n ",
    "long": LONG,
}
CASES = [(p, i, False) for p in PROMPTS for i in (None, *INSTRUCTIONS)] + [("empty", None, True), ("messy", None, True), ("long", None, True)]


def main() -> None:
    out = Path(sys.argv[1])
    torch.manual_seed(11)
    torch.set_num_threads(1)
    config = Gemma2Config(vocab_size=4096, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                          num_key_value_heads=1, head_dim=10, query_pre_attn_scalar=10, sliding_window=100, max_position_embeddings=2048)  # fmt: skip
    config._attn_implementation = "eager"
    model = Gemma2Model(config).eval()
    for name, weight in model.named_parameters():
        scale = 0.3 if "norm" in name else 1.0 if "embed" in name else 1.5 * weight.shape[-1] ** -0.5
        weight.data = (torch.randn(weight.shape) * scale).bfloat16().float()
    copy.deepcopy(model).bfloat16().save_pretrained(out / "text_encoder")
    tokenizer = GemmaTokenizer.from_pretrained(str(out / "tokenizer"))
    pipeline = SanaPipeline(tokenizer=tokenizer, text_encoder=model, vae=None, transformer=None, scheduler=None)

    tensors, cases = {}, []
    for prompt, instruction, negative in CASES:
        name = f"{prompt}.{instruction or 'none'}{'.negative' if negative else ''}"
        with torch.no_grad():
            result = pipeline.encode_prompt(
                PROMPTS["plain"] if negative else PROMPTS[prompt],
                do_classifier_free_guidance=negative,
                negative_prompt=PROMPTS[prompt],
                device=torch.device("cpu"),
                complex_human_instruction=INSTRUCTIONS.get(instruction),
            )
        embeddings, mask = (result[2], result[3]) if negative else (result[0], result[1])
        real = int(mask.sum())
        assert embeddings.shape[:2] == (1, 300) and bool(mask[0, :real].all())
        tensors[f"{name}.mask"] = mask[0].to(torch.uint8)
        tensors[f"{name}.embeddings"] = embeddings[0, :real].clone()
        tensors[f"{name}.ids"] = selected_ids(pipeline, PROMPTS[prompt], None if negative else INSTRUCTIONS.get(instruction)).to(torch.int32)
        cases.append({"name": name, "prompt": prompt, "instruction": instruction, "negative": negative})
    save_file(tensors, str(out / "prompt.safetensors"))
    content = {"instructions": {name: "\n".join(lines) for name, lines in INSTRUCTIONS.items()}, "prompts": PROMPTS, "cases": cases}
    (out / "prompt.json").write_text(json.dumps(content, indent=1) + "\n")
    for file in (out / "prompt.safetensors", *(out / "text_encoder").iterdir()):
        file.chmod(0o644)


def selected_ids(pipeline: SanaPipeline, prompt: str, instruction: list[str] | None) -> torch.Tensor:
    """The ids behind the selected embeddings, seen by an encoder that returns its input."""
    encoder = pipeline.text_encoder
    seen = []
    handle = encoder.register_forward_pre_hook(lambda _m, args, kwargs: seen.append(args[0]), with_kwargs=True)
    with torch.no_grad():
        pipeline._get_gemma_prompt_embeds(prompt, device=torch.device("cpu"), dtype=torch.float32, complex_human_instruction=instruction)
    handle.remove()
    return seen[0][0][[0, *range(-299, 0)]]


if __name__ == "__main__":
    main()
