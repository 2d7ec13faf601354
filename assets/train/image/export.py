"""Write the model in the folder layout of diffusers' SanaPipeline, weights in bfloat16.

Reads a training folder with transformer/, vae/ and text_encoder/ weights and vae/latents.json (the
latents' standard deviation); ``--random`` writes untrained weights of the same shapes instead.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from autoencoder import Autoencoder
from checkpoint import (
    AUTOENCODER_WEIGHTS,
    TEXT_ENCODER_WEIGHTS,
    TRANSFORMER_WEIGHTS,
    load_weights,
    parameter_count,
    save_weights,
)
from config import MODEL
from text_encoder import TextEncoder
from transformer import Transformer

MODEL_INDEX = {
    "_class_name": "SanaPipeline",
    "_diffusers_version": "0.33.0",
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "Gemma2Model"],
    "tokenizer": ["transformers", "GemmaTokenizerFast"],
    "transformer": ["diffusers", "SanaTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderDC"],
}

SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "_diffusers_version": "0.33.0",
    "algorithm_type": "dpmsolver++",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "flow_shift": 3.0,
    "lambda_min_clipped": float("-inf"),
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_type": "midpoint",
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": True,
    "use_karras_sigmas": False,
    "use_lu_lambdas": False,
    "variance_type": None,
}


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(trained: Path | None, tokenizer: Path, target: Path) -> None:
    """Assemble the model folder; without ``trained`` the weights are random."""
    torch.manual_seed(0)
    scaling_factor = 1.0
    if trained is not None:
        scaling_factor = 1 / json.loads((trained / "vae/latents.json").read_text())["std"]
    write_json(target / "model_index.json", MODEL_INDEX)
    write_json(target / "scheduler/scheduler_config.json", SCHEDULER)
    write_json(target / "vae/config.json", MODEL.autoencoder.to_diffusers(scaling_factor))
    write_json(target / "text_encoder/config.json", MODEL.text_encoder.to_transformers())
    write_json(target / "transformer/config.json", MODEL.transformer.to_diffusers())
    (target / "tokenizer").mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(tokenizer / name, target / "tokenizer" / name)
    parts = {
        AUTOENCODER_WEIGHTS: Autoencoder(MODEL.autoencoder),
        TEXT_ENCODER_WEIGHTS: TextEncoder(MODEL.text_encoder),
        TRANSFORMER_WEIGHTS: Transformer(MODEL.transformer),
    }
    for path, module in parts.items():
        if trained is not None:
            load_weights(module, trained / path)
        save_weights(module, target / path, torch.bfloat16)
        print(f"{path}: {parameter_count(module) / 1e6:.2f} M parameters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, help="training folder")
    parser.add_argument("--random", action="store_true", help="untrained weights")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.random == (args.trained is not None):
        parser.error("give either --trained or --random")
    export(args.trained, args.tokenizer, args.out)


if __name__ == "__main__":
    main()
