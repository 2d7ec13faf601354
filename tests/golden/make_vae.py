"""Small random deep-compression autoencoders of every architecture switch, with an image and what each side makes of it (diffusers, fp32)."""
import torch
from common import DATA, randomize, save
from diffusers import AutoencoderDC

BASE = dict(
    in_channels=3,
    latent_channels=8,
    attention_head_dim=8,
    encoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
    decoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
    encoder_block_out_channels=(8, 16, 16),
    decoder_block_out_channels=(8, 16, 16),
    encoder_layers_per_block=(1, 2, 1),
    decoder_layers_per_block=(2, 1, 1),
    encoder_qkv_multiscales=((), (), (5,)),
    decoder_qkv_multiscales=((), (), (5,)),
    downsample_block_type="Conv",
    upsample_block_type="interpolate",
    decoder_norm_types="rms_norm",
    decoder_act_fns="silu",
    scaling_factor=0.41407,
)

RESIDUAL = ("ResBlock", "ResBlock", "ResBlock")

VARIANTS = {
    "sana": {},
    "shuffle": dict(downsample_block_type="pixel_unshuffle", upsample_block_type="pixel_shuffle"),
    "lite": dict(
        encoder_layers_per_block=(2, 2, 1),
        decoder_layers_per_block=(0, 2, 1),
        decoder_block_types=RESIDUAL,
        decoder_qkv_multiscales=((), (), ()),
        upsample_block_type="pixel_shuffle",
        decoder_conv_act_fn="silu",
    ),
    "mix": dict(
        encoder_layers_per_block=(0, 2, 1),
        decoder_layers_per_block=(0, 2, 1),
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        decoder_norm_types=("batch_norm", "batch_norm", "rms_norm"),
        decoder_act_fns=("relu", "relu", "silu"),
    ),
    "bn_attention": dict(decoder_norm_types="batch_norm", decoder_act_fns="relu"),
    "no_shortcuts": dict(encoder_out_shortcut=False, decoder_in_shortcut=False, decoder_qkv_multiscales=((), (), (3, 5))),
    "deep": dict(  # four convolution stages, widths that halve and stay
        encoder_block_types=("ResBlock",) * 4 + ("EfficientViTBlock",),
        decoder_block_types=("ResBlock",) * 4 + ("EfficientViTBlock",),
        encoder_block_out_channels=(8, 8, 16, 16, 32),
        decoder_block_out_channels=(8, 8, 16, 16, 32),
        encoder_layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(3, 2, 1, 1, 1),
        encoder_qkv_multiscales=((), (), (), (), (5,)),
        decoder_qkv_multiscales=((), (), (), (), (5,)),
    ),
}


def make(name: str, changes: dict, seed: int) -> None:
    model = AutoencoderDC(**{**BASE, **changes}).eval()
    randomize(model, seed)
    folder = DATA / "vae" / name
    model.save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed + 100)
    side = 2 ** (len(model.config.decoder_block_out_channels) - 1)
    image = torch.rand(1, 3, 10 * side, 6 * side, generator=generator) * 2 - 1
    with torch.no_grad():
        latents = model.encode(image).latent
        decoded = model.decode(latents).sample
        small = model.decode(latents[:, :, :2, :2]).sample  # few pixels: the reference's quadratic form of attention
        # The reference's own result in bf16: our rounding may not lie farther from fp32 than this.
        half = model.to(torch.bfloat16)
        latents_bf16 = half.encode(image.bfloat16()).latent.float()
        decoded_bf16 = half.decode(latents.bfloat16()).sample.float()
    save(
        folder / "golden.safetensors",
        {
            "image": image,
            "latents": latents,
            "decoded": decoded,
            "decoded_small": small,
            "latents_bf16": latents_bf16,
            "decoded_bf16": decoded_bf16,
        },
    )


if __name__ == "__main__":
    for seed, (name, changes) in enumerate(VARIANTS.items()):
        make(name, changes, seed)
