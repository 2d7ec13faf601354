"""Sizes of the model's parts, under the names that the exported config.json files use."""

from __future__ import annotations

from dataclasses import dataclass, field

IMAGE_SIZE = 512
LATENT_SIZE = 16
LATENT_CHANNELS = 32
PROMPT_TOKENS = 40  # longest prompt in training; inference may pad further, padding is masked


@dataclass(frozen=True)
class AutoencoderConfig:
    """32x deep-compression autoencoder: three convolutional stages, then three attention stages."""

    latent_channels: int = LATENT_CHANNELS
    attention_head_dim: int = 32
    encoder_channels: tuple[int, ...] = (32, 64, 64, 128, 128, 256)
    decoder_channels: tuple[int, ...] = (32, 64, 128, 128, 256, 256)
    encoder_layers: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    decoder_layers: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    convolutional_stages: int = 3

    def stage_types(self) -> list[str]:
        attention_stages = len(self.encoder_channels) - self.convolutional_stages
        return ["ResBlock"] * self.convolutional_stages + ["EfficientViTBlock"] * attention_stages

    def to_diffusers(self, scaling_factor: float) -> dict:
        multiscales = [[] if kind == "ResBlock" else [5] for kind in self.stage_types()]
        return {
            "_class_name": "AutoencoderDC",
            "_diffusers_version": "0.33.0",
            "in_channels": 3,
            "latent_channels": self.latent_channels,
            "attention_head_dim": self.attention_head_dim,
            "encoder_block_types": self.stage_types(),
            "decoder_block_types": self.stage_types(),
            "encoder_block_out_channels": list(self.encoder_channels),
            "decoder_block_out_channels": list(self.decoder_channels),
            "encoder_layers_per_block": list(self.encoder_layers),
            "decoder_layers_per_block": list(self.decoder_layers),
            "encoder_qkv_multiscales": multiscales,
            "decoder_qkv_multiscales": multiscales,
            "upsample_block_type": "interpolate",
            "downsample_block_type": "Conv",
            "decoder_norm_types": "rms_norm",
            "decoder_act_fns": "silu",
            "encoder_out_shortcut": True,
            "decoder_in_shortcut": True,
            "decoder_conv_act_fn": "relu",
            "scaling_factor": scaling_factor,
        }


@dataclass(frozen=True)
class TextEncoderConfig:
    """A small Gemma-2 decoder used for its last hidden states."""

    vocab_size: int = 4000
    hidden_size: int = 192
    intermediate_size: int = 320
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 48
    softcap: float = 50.0
    rope_theta: float = 10000.0
    norm_eps: float = 1e-6

    def to_transformers(self) -> dict:
        return {
            "architectures": ["Gemma2Model"],
            "model_type": "gemma2",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "query_pre_attn_scalar": self.head_dim,
            "sliding_window": 4096,
            "attn_logit_softcapping": self.softcap,
            "final_logit_softcapping": 30.0,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "max_position_embeddings": 8192,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "initializer_range": 0.02,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
            "use_cache": False,
            "torch_dtype": "bfloat16",
        }


@dataclass(frozen=True)
class TransformerConfig:
    """Linear-attention diffusion transformer without a positional table."""

    in_channels: int = LATENT_CHANNELS
    num_heads: int = 8
    head_dim: int = 32
    num_layers: int = 10
    num_cross_heads: int = 8
    cross_head_dim: int = 32
    caption_channels: int = 192
    mlp_ratio: float = 2.5
    qk_norm: str = "rms_norm_across_heads"
    norm_eps: float = 1e-6

    @property
    def width(self) -> int:
        return self.num_heads * self.head_dim

    def to_diffusers(self) -> dict:
        return {
            "_class_name": "SanaTransformer2DModel",
            "_diffusers_version": "0.33.0",
            "in_channels": self.in_channels,
            "out_channels": self.in_channels,
            "num_attention_heads": self.num_heads,
            "attention_head_dim": self.head_dim,
            "num_layers": self.num_layers,
            "num_cross_attention_heads": self.num_cross_heads,
            "cross_attention_head_dim": self.cross_head_dim,
            "cross_attention_dim": self.width,
            "caption_channels": self.caption_channels,
            "mlp_ratio": self.mlp_ratio,
            "dropout": 0.0,
            "attention_bias": False,
            "sample_size": LATENT_SIZE,
            "patch_size": 1,
            "norm_elementwise_affine": False,
            "norm_eps": self.norm_eps,
            "interpolation_scale": None,
            "guidance_embeds": False,
            "guidance_embeds_scale": 0.1,
            "qk_norm": self.qk_norm,
            "timestep_scale": 1.0,
        }


@dataclass(frozen=True)
class ModelConfig:
    """All parts together."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)


MODEL = ModelConfig()
