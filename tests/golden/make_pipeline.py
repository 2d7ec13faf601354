"""A complete small random pipeline as diffusers saves it, with what SanaPipeline draws from it: trajectories and pictures (fp32, CPU).

The tokenizer and the text encoder are those of make_textenc_tokenizer.py and make_textenc_prompt.py.
"""
import shutil

import torch
from common import DATA, randomize, save
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, SanaPipeline, SanaTransformer2DModel
from transformers import AutoTokenizer, Gemma2Model

FOLDER = DATA / "pipeline"
PROMPT, NEGATIVE = "A painting of a Squirrel eating a burger", "blurry"


def build() -> SanaPipeline:
    tokenizer = AutoTokenizer.from_pretrained(DATA / "textenc" / "tokenizer")
    text_encoder = Gemma2Model.from_pretrained(DATA / "textenc" / "text_encoder", attn_implementation="eager", torch_dtype=torch.float32)
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=text_encoder.config.hidden_size,
        sample_size=16,
        interpolation_scale=None,
        qk_norm="rms_norm_across_heads",
    )
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=8,
        encoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8, 16),
        decoder_block_out_channels=(8, 8, 16),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), (5,)),
        decoder_qkv_multiscales=((), (), (5,)),
        downsample_block_type="Conv",
        upsample_block_type="interpolate",
        scaling_factor=0.5,
    )
    randomize(transformer, 11)
    randomize(vae, 12)
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return SanaPipeline(tokenizer, text_encoder, vae.eval(), transformer.eval(), scheduler)


def draw(pipeline: SanaPipeline, **arguments) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The picture [1, 3, H, W] before clamping, and the latents after every step."""
    trajectory = []

    def keep(_pipe, _step, _time, kwargs):
        trajectory.append(kwargs["latents"].clone())
        return kwargs

    captured = {}
    postprocess = pipeline.image_processor.postprocess
    pipeline.image_processor.postprocess = lambda image, output_type: captured.setdefault("image", image)
    try:
        pipeline(
            PROMPT,
            complex_human_instruction=None,
            callback_on_step_end=keep,
            callback_on_step_end_tensor_inputs=["latents"],
            **arguments,
        )
    finally:
        pipeline.image_processor.postprocess = postprocess
    return captured["image"], trajectory


def main() -> None:
    pipeline = build()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(FOLDER / "model")
    # One tokenizer in the repository is enough; the tests lay it in.
    shutil.rmtree(FOLDER / "model" / "tokenizer")
    shutil.rmtree(FOLDER / "model" / "text_encoder")

    def generator(seed=5):
        return torch.Generator().manual_seed(seed)

    tensors = {}
    exact = dict(height=32, width=64, use_resolution_binning=False)
    image, trajectory = draw(pipeline, negative_prompt=NEGATIVE, generator=generator(), guidance_scale=4.5, num_inference_steps=20, **exact)
    tensors["dpm.image"] = image
    for i, latents in enumerate(trajectory):
        tensors[f"dpm.latents_{i + 1:03d}"] = latents
    tensors["unguided.image"], _ = draw(pipeline, generator=generator(), guidance_scale=1.0, num_inference_steps=4, **exact)
    tensors["joint.image"], _ = draw(
        pipeline, generator=generator(), guidance_scale=3.0, num_inference_steps=3, num_images_per_prompt=2, **exact)
    tensors["bins.image"], _ = draw(pipeline, generator=generator(), guidance_scale=3.0, num_inference_steps=2, height=64, width=96)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    tensors["euler.image"], _ = draw(pipeline, generator=generator(), guidance_scale=2.0, num_inference_steps=7, **exact)
    save(FOLDER / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
