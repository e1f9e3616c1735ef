"""Public models in both frameworks: transformers' Flax modules and their PyTorch twins, tiny.

test_transformers.py puts each on the ladder. Weights are random; every pair is a real port that
somebody published.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import optax
import torch
import transformers
from torch import nn

from mnist_fn.parity import FlaxProgram
from torch_ref.parity import TorchProgram

VOCABULARY, LENGTH, ROWS = 50, 7, 3
# Attention's dropout is drawn within Flax's functions, drop path by torch.rand: both at rate 0.
# The pooler has no gradient here: torch's optimizer skips it, optax would decay it.
NO_DRAWS = {
    "attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0, "attn_pdrop": 0.0,
    "drop_path_rate": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One model of transformers."""

    name: str  # as in its classes: FlaxBertModule, BertModel
    config: dict[str, Any]
    images: int = 0  # pixels of a side; 0 for tokens
    rung: str = ""  # where the two truly differ; "" where they agree
    words: str = ""  # what the verdict must say
    first_position: int = 0  # RoBERTa's places begin behind its padding's

    def programs(self) -> tuple[TorchProgram, FlaxProgram, list[Any]]:
        """Reference, port and batches."""
        torch.manual_seed(0)
        config = getattr(transformers, f"{self.name}Config")(**{**NO_DRAWS, **self.config})
        config._attn_implementation = "eager"
        model = getattr(transformers, f"{self.name}Model")(config)
        module = flax_module(self.name)(config=config, dtype=jnp.float64)
        reference = TorchProgram(
            TorchPair(model, bool(self.images)),
            loss=lambda out, y: ((out - y) ** 2).mean(),
            optimizer=lambda p: torch.optim.Adam(p, 1e-3),
        )
        port = FlaxProgram(
            FlaxPair(module, bool(self.images), self.first_position),
            loss=lambda out, y: jnp.mean((out - y) ** 2),
            optimizer=optax.adam(1e-3),
        )
        return reference, port, batches(model, self.images)


def flax_module(name: str) -> type[fnn.Module]:
    """The Linen module behind a Flax model."""
    model = getattr(transformers, f"Flax{name}Model")
    return model.module_class


def flat(features: Any) -> Any:
    """Feature maps [n, channels, rows, columns], which both sides of ResNet give, in one axis."""
    return features.reshape(*features.shape[:2], -1) if features.ndim == 4 else features


class TorchPair(nn.Module):
    """A model that gives its last hidden state."""

    def __init__(self, model: nn.Module, images: bool) -> None:
        super().__init__()
        self.model, self.images = model, images

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.images:
            return flat(self.model(pixel_values=x)[0])
        more = {}
        if "decoder_input_ids" in inspect.signature(self.model.forward).parameters:
            more["decoder_input_ids"] = x
        return self.model(input_ids=x, **more)[0]


class FlaxPair(fnn.Module):
    """The same; Flax's modules are given their masks and positions."""

    model: fnn.Module
    images: bool
    first_position: int = 0

    @fnn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        if self.images:
            return flat(self.model(x, deterministic=not train, return_dict=False)[0])
        first = self.first_position
        positions = jnp.broadcast_to(jnp.arange(first, first + x.shape[1]), x.shape)
        values: dict[str, Callable[[], Any]] = {
            "input_ids": lambda: x,
            "decoder_input_ids": lambda: x,
            "attention_mask": lambda: jnp.ones_like(x),
            "decoder_attention_mask": lambda: jnp.ones_like(x),
            "token_type_ids": lambda: jnp.zeros_like(x),
            "position_ids": lambda: positions,
            "decoder_position_ids": lambda: positions,
        }
        wanted = inspect.signature(type(self.model).__call__).parameters
        given = {name: make() for name, make in values.items() if name in wanted}
        return self.model(**given, deterministic=not train, return_dict=False)[0]


def batches(model: nn.Module, images: int) -> list[Any]:
    """Two batches with targets of the last hidden state's shape."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        if images:
            x = rng.normal(size=(ROWS, 3, images, images))
        else:
            x = rng.integers(3, VOCABULARY, (ROWS, LENGTH))
        with torch.no_grad():
            given = torch.tensor(x, dtype=torch.float32 if images else torch.int64)
            shape = TorchPair(model.eval(), bool(images))(given).shape
        found.append((x, rng.normal(size=tuple(shape))))
    return found


BERT = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 16,
}  # fmt: skip
LLAMA = {**BERT, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
VISION = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip

PAIRS = [
    Pair("Bert", BERT),
    Pair("GPT2", {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2,
                  "n_positions": 16}),
    Pair("ViT", VISION, images=16),
    Pair("ResNet", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}, images=32),
    Pair("Albert", {**BERT, "embedding_size": 8}),
    Pair("Electra", {**BERT, "embedding_size": 8}),
    Pair("Beit", VISION, images=16),
    Pair("Dinov2", {**VISION, "mlp_ratio": 2}, images=16),
    Pair("DistilBert", {"vocab_size": VOCABULARY, "dim": 16, "n_layers": 2, "n_heads": 2,
                        "hidden_dim": 32, "max_position_embeddings": 16}),
    Pair("CLIPVision", VISION, images=16),
    Pair("CLIPText", BERT),
    Pair("Bart", {"vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 1,
                  "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
                  "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 16}),
    Pair("OPT", {**BERT, "word_embed_proj_dim": 16, "ffn_dim": 32}),
    Pair("Llama", LLAMA),
    Pair("Mistral", LLAMA),
    Pair("Gemma", LLAMA),
    Pair("GPTNeo", {"vocab_size": VOCABULARY, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
                    "intermediate_size": 32, "max_position_embeddings": 16, "window_size": 4,
                    "attention_types": [[["global", "local"], 1]]},
         rung="modules", words="calls of model.ln_f: 1 in the reference, 2 in the port"),
    Pair("GPTJ", {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2,
                  "n_positions": 16, "rotary_dim": 4}),
    Pair("Bloom", {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    Pair("Roberta", {**BERT, "pad_token_id": 1, "max_position_embeddings": 20},
         first_position=2),
]  # fmt: skip
