"""What every engine is measured on, apart from any engine.

w1_16 w1_128 w1_512   one sequence: latency
w2                    32 x 128 tokens
w3                    256 log-normal lengths (median 24, sigma 0.9, within 4..512), as they arrive
w4                    8 x 512 tokens

Lengths count special tokens. bench/workload.cc draws the same lengths.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .terms import WHOLE

SEED = 7
CLS, SEP, PAD = 101, 102, 0
ID_MIN = 1000
VOCABULARY = 30522

_FIXED = {"w1_16": (1, 16), "w1_128": (1, 128), "w1_512": (1, 512), "w2": (32, 128), "w4": (8, 512)}
BATCH_SEQUENCES = 32
BATCH_PADDED_TOKENS = 1024

Sequence = np.ndarray  # int64 [tokens]


@dataclass(frozen=True)
class Batch:
    """Padded to the longest: ids and mask int64 [sequences, tokens], lengths [sequences]."""

    ids: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray


def mix_lengths(count: int = 256, seed: int = SEED) -> list[int]:
    """Token counts of w3: what people send."""
    normal = np.random.RandomState(seed).normal(np.log(24), 0.9, count)
    return [int(length) for length in np.clip(np.rint(np.exp(normal)), 4, 512)]


def lengths_of(workload: str) -> list[int]:
    if workload == "w3":
        return mix_lengths()
    count, length = _FIXED[workload]
    return [length] * count


def sequences(lengths: Iterable[int], seed: int = SEED) -> list[Sequence]:
    """Random ids between [CLS] and [SEP]."""
    random = np.random.RandomState(seed)
    return [
        np.r_[CLS, random.randint(ID_MIN, VOCABULARY, length - 2), SEP].astype(np.int64)
        for length in lengths
    ]


def pad(batch: list[Sequence]) -> Batch:
    lengths = np.array([len(sequence) for sequence in batch], np.int64)
    ids = np.full((len(batch), int(lengths.max())), PAD, np.int64)
    for row, sequence in zip(ids, batch, strict=True):
        row[: len(sequence)] = sequence
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    return Batch(ids, mask, lengths)


def cut(items: list[Sequence], size: int) -> list[list[Sequence]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def cut_by_tokens(longest_first: list[Sequence], tokens_max: int) -> list[list[Sequence]]:
    """Batches of at most `tokens_max` tokens, padding included; at least one sequence each."""
    batches: list[list[Sequence]] = []
    for sequence in longest_first:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= tokens_max:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return batches


def batches_of(workload: str, arrangement: str = WHOLE) -> list[list[Sequence]]:
    arrived = sequences(lengths_of(workload))
    if arrangement == WHOLE:
        return [arrived]
    if arrangement == "naive":
        return cut(arrived, BATCH_SEQUENCES)
    if arrangement == "single":
        return cut(arrived, 1)
    longest_first = sorted(arrived, key=len, reverse=True)
    if arrangement == "sorted":
        return cut(longest_first, BATCH_SEQUENCES)
    return cut_by_tokens(longest_first, BATCH_PADDED_TOKENS)


def check_batches() -> list[list[Sequence]]:
    """A small padded batch, on which engines are compared with PyTorch in f32."""
    return [sequences([5, 17, 33, 64], seed=3)]


def write(path: Path, batches: list[list[Sequence]]) -> None:
    """A sequence a line, ids between blanks; an empty line between batches."""
    text = "\n\n".join("\n".join(" ".join(map(str, s)) for s in batch) for batch in batches)
    path.write_text(text + "\n", encoding="ascii")


def read(path: Path) -> list[list[Sequence]]:
    return [
        [np.array(line.split(), np.int64) for line in batch.splitlines()]
        for batch in path.read_text(encoding="ascii").strip().split("\n\n")
    ]


def padded_tokens(batches: list[list[Sequence]]) -> int:
    return sum(len(batch) * max(map(len, batch)) for batch in batches)


def operations(config: dict, lengths: Iterable[int]) -> float:
    """Of projections, scores and weighted sums, two a multiplication; the rest counts nothing."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    projections = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    each = [length * projections + 4 * length * length * hidden for length in lengths]
    return float(config["num_hidden_layers"] * sum(each))
