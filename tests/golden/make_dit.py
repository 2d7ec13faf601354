"""Small random SANA transformers of every architecture switch, with their inputs and intermediate tensors (diffusers, fp32, CPU)."""
import torch
from common import DATA, randomize, save
from diffusers import SanaTransformer2DModel

BASE = dict(
    in_channels=8,
    out_channels=8,
    num_attention_heads=2,
    attention_head_dim=16,
    num_layers=2,
    num_cross_attention_heads=4,
    cross_attention_head_dim=8,
    cross_attention_dim=32,
    caption_channels=24,
    sample_size=8,
    interpolation_scale=None,
)

VARIANTS = {
    "plain": {},
    "qk_norm": dict(qk_norm="rms_norm_across_heads"),
    "guidance": dict(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
    "positions": dict(interpolation_scale=2.0),
    "bias": dict(attention_bias=True, mlp_ratio=3.0, out_channels=6),
    "patch2": dict(patch_size=2, interpolation_scale=1.0),
    "head32": dict(num_attention_heads=2, attention_head_dim=32, num_cross_attention_heads=2, cross_attention_head_dim=32,
                   cross_attention_dim=64, num_layers=1),
    "head112": dict(num_attention_heads=7, attention_head_dim=16, num_cross_attention_heads=1, cross_attention_head_dim=112,
                    cross_attention_dim=112, num_layers=1, mlp_ratio=1.0),
}


def make(name: str, changes: dict, seed: int) -> None:
    model = SanaTransformer2DModel(**{**BASE, **changes}).eval()
    randomize(model, seed)
    folder = DATA / "dit" / name
    model.save_pretrained(folder)

    generator = torch.Generator().manual_seed(seed + 100)
    height, width, tokens = 6, 10, 7
    channels = model.config.in_channels
    latents = torch.randn(2, channels, height, width, generator=generator)
    embeddings = torch.randn(2, tokens, model.config.caption_channels, generator=generator) * 2
    mask = torch.tensor([[1] * 3 + [0] * 4, [1] * 6 + [0]])
    timestep = torch.tensor([749.0, 12.0]) if not model.config.guidance_embeds else torch.tensor([0.7827, 1.0])
    guidance = torch.tensor([4.5, 4.5]) * model.config.guidance_embeds_scale if model.config.guidance_embeds else None

    taps = {}
    for index, block in enumerate(model.transformer_blocks):
        block.register_forward_hook(lambda _m, _i, out, index=index: taps.__setitem__(f"transformer_blocks.{index}", out))
    model.caption_norm.register_forward_hook(lambda _m, _i, out: taps.__setitem__("caption", out))
    with torch.no_grad():
        velocity = model(latents, embeddings, timestep, guidance=guidance, encoder_attention_mask=mask).sample
    save(
        folder / "golden.safetensors",
        {"latents": latents, "embeddings": embeddings, "mask": mask, "timestep": timestep, "velocity": velocity, **taps},
    )


if __name__ == "__main__":
    for seed, (name, changes) in enumerate(VARIANTS.items()):
        make(name, changes, seed)
