"""A logistic score of what the guard lets pass, as the alternative to its margins that was tried.

Learnt by Newton's method from one half of the pairs; numpy alone.
"""

# pyright: basic
from collections.abc import Sequence
from math import log

import numpy as np

from ai_gateway.caching.semantic.guard import read
from ai_gateway.caching.semantic.tune import Pair

_RIDGE = 1.0


def features(pair: Pair, similarity: float) -> list[float]:
    a, b = read(pair.a), read(pair.b)
    more, less = len(a.content - b.content), len(b.content - a.content)
    shared, all_words = len(a.content & b.content), len(a.content | b.content)
    around = set(a.words) - a.content ^ set(b.words) - b.content
    return [
        1.0,
        20 * (similarity - 0.9),
        float(max(more, less) > 0),
        float(more == less == 1),
        float(min(len(a.content), len(b.content)) < 3),
        shared / max(1, all_words),
        log(1 + min(len(a.content), len(b.content))),
        float(a.question != b.question),
        abs(log(len(pair.a) / len(pair.b))),
        float(len(around)),
        float(a.sequence != b.sequence),
    ]


def learn(rows: Sequence[Sequence[float]], same: Sequence[bool]) -> np.ndarray:
    x, y = np.asarray(rows, float), np.asarray(same, float)
    weights = np.zeros(x.shape[1])
    ridge = np.full(x.shape[1], _RIDGE)
    ridge[0] = 0.0
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - y) + ridge * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        weights -= np.linalg.solve(bend, slope)
    return weights
