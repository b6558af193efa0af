"""What the simulator says where it is not asked to converse."""

# pyright: basic
# Free JSON, as a client may write it, is read here.

import base64
import struct
from typing import Any

from msgspec.json import encode

_WORD = "simulated-harm"
"""A text that holds it is flagged, so that refusals can be tried out."""
_PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
        "0000000049454e44ae426082"
    )
).decode()


def moderation(asked: dict[str, Any]) -> bytes:
    given = asked["input"]
    texts = given if isinstance(given, list) else [given]
    results = []
    for text in texts:
        words = text if isinstance(text, str) else str(text.get("text", ""))
        flagged = _WORD in words
        results.append(
            {
                "flagged": flagged,
                "categories": {"violence": flagged, "hate": False},
                "category_scores": {"violence": 0.99 if flagged else 0.01, "hate": 0.0},
            }
        )
    model = asked.get("model", "omni-moderation-latest")
    return encode({"id": "modr-simulator", "model": model, "results": results})


def images(asked: dict[str, Any]) -> bytes:
    """One transparent pixel for each image asked for."""
    count = asked.get("n") or 1
    return encode({"created": 0, "data": [{"b64_json": _PIXEL} for _ in range(count)]})


def completion(asked: dict[str, Any]) -> tuple[bytes, int, int]:
    prompt = asked["prompt"] if isinstance(asked["prompt"], str) else str(asked["prompt"])
    text = f" (simulated) {prompt[-200:]}"
    given, said = len(prompt) // 4 + 1, len(text) // 4 + 1
    body = encode(
        {
            "id": "cmpl-simulator",
            "object": "text_completion",
            "created": 0,
            "model": asked["model"],
            "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": given,
                "completion_tokens": said,
                "total_tokens": given + said,
            },
        }
    )
    return body, given, said


def speech(asked: dict[str, Any]) -> bytes:
    """Silence in WAV, a tenth of a second for each character."""
    samples = b"\x00\x00" * (800 * len(asked["input"]))
    head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    return head + b"data" + struct.pack("<I", len(samples)) + samples


def transcription(body: bytes) -> bytes:
    """Tells how much it was sent, since it cannot hear."""
    return encode({"text": f"(simulated) a form of {len(body)} bytes"})


def rerank(asked: dict[str, Any]) -> tuple[bytes, int]:
    """Orders by how many of the query's words a document holds."""
    words = set(asked["query"].lower().split())
    scored = []
    tokens = len(words)
    for at, document in enumerate(asked["documents"]):
        text = document if isinstance(document, str) else str(document.get("text", ""))
        own = text.lower().split()
        tokens += len(own)
        scored.append((len(words.intersection(own)) / max(1, len(words)), at, text))
    scored.sort(key=lambda s: (-s[0], s[1]))
    results = [
        {"index": at, "relevance_score": score}
        | ({"document": {"text": text}} if asked.get("return_documents") else {})
        for score, at, text in scored[: asked.get("top_n") or len(scored)]
    ]
    usage = {"total_tokens": tokens}
    return encode({"model": asked["model"], "results": results, "usage": usage}), tokens
