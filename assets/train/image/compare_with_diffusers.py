"""Check every part, and the whole pipeline's tokens, against diffusers and transformers on the CPU."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import SanaPipeline

from autoencoder import Autoencoder
from checkpoint import AUTOENCODER_WEIGHTS, TEXT_ENCODER_WEIGHTS, TRANSFORMER_WEIGHTS, load_weights
from config import MODEL
from text_encoder import TextEncoder
from tokenizer import PromptTokenizer
from transformer import Transformer


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    pipeline = SanaPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    vae, text_encoder, transformer = (
        Autoencoder(MODEL.autoencoder),
        TextEncoder(MODEL.text_encoder),
        Transformer(MODEL.transformer),
    )
    load_weights(vae, args.model / AUTOENCODER_WEIGHTS)
    load_weights(text_encoder, args.model / TEXT_ENCODER_WEIGHTS)
    load_weights(transformer, args.model / TRANSFORMER_WEIGHTS)

    image = torch.rand(1, 3, 256, 256) * 2 - 1
    latents = vae.encoder(image)
    print("encoder", relative_error(latents, pipeline.vae.encode(image).latent))
    print("decoder", relative_error(vae.decoder(latents), pipeline.vae.decode(latents).sample))

    prompts = ["A red apple on a blue background ", "a glossy 3d illustration of a dragon"]
    tokens, lengths = PromptTokenizer(args.model / "tokenizer")(prompts)
    tokens = torch.from_numpy(tokens).long()
    embeds, mask, _, _ = pipeline.encode_prompt(prompts, False, complex_human_instruction=None)
    states = text_encoder(tokens)
    for i, length in enumerate(lengths):
        assert int(mask[i].sum()) == length
        print("text encoder", relative_error(states[i, :length], embeds[i, :length]))

    noise = torch.randn(2, 32, 16, 16)
    timestep = torch.tensor([900.0, 150.0])
    for name, parameter in transformer.named_parameters():  # untrained parts must count too
        if not parameter.any():
            parameter.normal_(std=0.02)
            dict(pipeline.transformer.named_parameters())[name].copy_(parameter)
    short = (torch.arange(tokens.shape[1]) < torch.from_numpy(lengths)[:, None]).float()
    ours = transformer(noise, states, short, timestep)
    theirs = pipeline.transformer(noise, embeds, timestep, encoder_attention_mask=mask).sample
    print("transformer", relative_error(ours, theirs))


if __name__ == "__main__":
    main()
