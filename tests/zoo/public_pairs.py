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
    audio: int = 0  # frames of a spectrogram, with the decoder's tokens
    rung: str = ""  # where the two truly differ; "" where they agree
    words: str = ""  # what the verdict must say
    first_position: int = 0  # RoBERTa's places begin behind its padding's
    first_token: int = 3  # below are those of padding, begin and end
    kind: str = "Model"  # FlaxBartForConditionalGenerationModule, BartForConditionalGeneration

    def __str__(self) -> str:
        words = [self.name, "" if self.kind == "Model" else self.kind]
        return " ".join([*filter(None, words), *(["with padding"] if not self.first_token else [])])

    def programs(self) -> tuple[TorchProgram, FlaxProgram, list[Any]]:
        """Reference, port and batches."""
        torch.manual_seed(0)
        config = getattr(transformers, f"{self.name}Config")(**{**NO_DRAWS, **self.config})
        config._attn_implementation = "eager"
        make = getattr(transformers, f"{self.name}{self.kind}")
        flax = getattr(transformers, f"Flax{self.name}{self.kind}")
        module = flax.module_class(config=config, dtype=jnp.float64)
        reference = TorchProgram(
            lambda: TorchPair(make(config), bool(self.images)),  # float64 in its tables as well
            loss=lambda out, y: ((out - y) ** 2).mean(),
            optimizer=lambda p: torch.optim.Adam(p, 1e-3),
        )
        port = FlaxProgram(
            FlaxPair(module, bool(self.images), self.first_position),
            loss=lambda out, y: jnp.mean((out - y) ** 2),
            optimizer=optax.adam(1e-3),
        )
        return reference, port, self.batches(make(config))

    def batches(self, model: nn.Module) -> list[Any]:
        """Two batches with targets of the last hidden state's shape."""
        rng = np.random.default_rng(0)
        made = []
        for _ in range(2):
            ids = rng.integers(self.first_token, VOCABULARY, (ROWS, LENGTH))
            if self.images:
                inputs = (rng.normal(size=(ROWS, 3, self.images, self.images)),)
            elif self.audio:
                inputs = (rng.normal(size=(ROWS, model.config.num_mel_bins, self.audio)), ids)
            else:
                inputs = (ids,)
            with torch.no_grad():
                given = [torch.tensor(x).to(torch.float32 if x.dtype.kind == "f" else torch.int64)
                         for x in inputs]  # fmt: skip
                shape = TorchPair(model.eval(), bool(self.images))(*given).shape
            made.append((inputs, rng.normal(size=tuple(shape))))
        return made


def flat(features: Any) -> Any:
    """Feature maps [n, channels, rows, columns], which both sides of ResNet give, in one axis."""
    return features.reshape(*features.shape[:2], -1) if features.ndim == 4 else features


class TorchPair(nn.Module):
    """A model that gives its last hidden state."""

    def __init__(self, model: nn.Module, images: bool) -> None:
        super().__init__()
        self.model, self.images = model, images

    def forward(self, x: torch.Tensor, ids: torch.Tensor | None = None) -> torch.Tensor:
        if self.images:
            return flat(self.model(pixel_values=x)[0])
        if ids is not None:
            return self.model(input_features=x, decoder_input_ids=ids)[0]
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
    def __call__(self, x: Any, ids: Any = None, train: bool = True) -> Any:
        if self.images:
            return flat(self.model(x, deterministic=not train, return_dict=False)[0])
        ids, first = x if ids is None else ids, self.first_position
        positions = jnp.broadcast_to(jnp.arange(first, first + ids.shape[1]), ids.shape)
        values: dict[str, Callable[[], Any]] = {
            "input_features": lambda: x,
            "input_ids": lambda: ids,
            "decoder_input_ids": lambda: ids,
            "attention_mask": lambda: jnp.ones_like(ids),
            "decoder_attention_mask": lambda: jnp.ones_like(ids),
            "token_type_ids": lambda: jnp.zeros_like(ids),
            "position_ids": lambda: positions,
            "decoder_position_ids": lambda: positions,
        }
        wanted = inspect.signature(type(self.model).__call__).parameters
        given = {name: make() for name, make in values.items() if name in wanted}
        return self.model(**given, deterministic=not train, return_dict=False)[0]


BERT = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 16,
}  # fmt: skip
LLAMA = {**BERT, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
VISION = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
BART = {
    "vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_position_embeddings": 16,
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
    Pair("Bart", BART),
    Pair("Bart", BART, kind="ForConditionalGeneration"),  # its bias is a buffer in PyTorch
    Pair("Whisper", {"vocab_size": VOCABULARY, "num_mel_bins": 8, "d_model": 16,
                     "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                     "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
                     "max_source_positions": 10, "max_target_positions": 16, "pad_token_id": 0,
                     "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
         audio=20),
    Pair("Bert", BERT, first_token=0, rung="gradients",
         words="row 0, padding_idx in the reference, is trained in the port"),
    Pair("OPT", {**BERT, "word_embed_proj_dim": 16, "ffn_dim": 32}),
    Pair("Llama", LLAMA),
    Pair("Mistral", LLAMA),
    Pair("Gemma", LLAMA),
    Pair("GPTNeo", {"vocab_size": VOCABULARY, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
                    "intermediate_size": 32, "max_position_embeddings": 16, "window_size": 4,
                    "attention_types": [[["global", "local"], 1]]}),
    Pair("GPTJ", {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2,
                  "n_positions": 16, "rotary_dim": 4}),
    # its backward pass is written by hand, with 0.1070322243 for 3 · 0.044715 · 0.79788456, that is
    # 0.1070322243012
    Pair("Bloom", {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 2, "n_head": 2},
         rung="stress states",
         words="model.h.0.mlp.gelu_impl computes its gradient by hand (GeLUFunction)"),
    Pair("Roberta", {**BERT, "pad_token_id": 1, "max_position_embeddings": 20},
         first_position=2),
]  # fmt: skip
