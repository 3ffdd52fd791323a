#!/usr/bin/env python3
"""Writes what tests/outputs compares with and the golden folder lacks.

    tests/data/make_outputs.py GOLDEN_DIR MINILM_DIR     overwrites cases/*-windows.* and tokens.json in this folder

- cases/*-windows.*: the windows of a long text, one an item of a padded batch, by reference.py; `windows` has the text.
- tokens.json: where each token of the folder's texts stands, in code points, and the word that it is of, by the package
  tokenizers (0.23.3 wrote what is here). The ids are those of the case.
"""

import json
import os
import sys

import numpy as np
from make_subset import HERE, write_safetensors
from make_tiny import outputs_of
from reference import CASES, Reference, read_safetensors
from tokenizers import Tokenizer

# Sentences that end in all ways there are, and words of several tokens.
TEXT = (
    'The cat sat on the mat. "Is it empty?" the server asks, and waits... Café naïve résumé — 3.14 is not a word! '
    "東京で新しい file を open する。Return the sum (or raise an error.) In the morning the train stops twice for water"
)
# More words than the tiny models have positions; each is its own id.
WORDS = " ".join(str(i * i % 47) for i in range(1, 61))
WINDOWS = {
    "bert-a": ("BertModel", TEXT, {"overlapping": (24, 9), "side_by_side": (20, 18)}),
    "tiny-bert-mlm": ("BertForMaskedLM", WORDS, {"overlapping": (24, 7), "side_by_side": (16, 16)}),
    "tiny-modernbert-mlm": ("ModernBertForMaskedLM", WORDS, {"overlapping": (25, 10)}),
}
MORE_CASES = ("bert-a-bf16", "bert-a-f16", "minilm")


def tokenizer_of(directory):
    """The tokenizer without what its file says of truncation and padding, as the server uses it."""
    tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def cut(encoding, length, stride):
    """The ids and types of each window: special tokens around a run of the text's."""
    special = np.array(encoding.special_tokens_mask) == 1
    columns = np.array([encoding.ids, encoding.type_ids])
    first, end = (~special).argmax(), len(special) - (~special)[::-1].argmax()
    room = length - special.sum()
    windows = []
    for begin in range(first, end, stride):
        run = columns[:, begin : min(begin + room, end)]
        windows.append(np.concatenate([columns[:, :first], run, columns[:, end:]], 1))
        if begin + room >= end:
            return windows
    raise ValueError("no window reaches the end")


def padded(windows, has_types):
    longest = max(window.shape[1] for window in windows)
    pad = [np.pad(window, ((0, 0), (0, longest - window.shape[1]))) for window in windows]
    lengths = np.array([window.shape[1] for window in windows])
    inputs = {
        "in.input_ids": np.stack([window[0] for window in pad]).astype(np.int64),
        "in.attention_mask": (np.arange(longest)[None, :] < lengths[:, None]).astype(np.int64),
    }
    if has_types:
        inputs["in.token_type_ids"] = np.stack([window[1] for window in pad]).astype(np.int64)
    return inputs


def write_windows(model, architecture, text, cuts):
    """Gives the encoding of the whole text."""
    reference = Reference(f"{HERE}/models/{model}")
    encoding = tokenizer_of(f"{HERE}/models/{model}").encode(text)
    cases, tensors = [], {}
    for case_id, (length, stride) in cuts.items():
        inputs = padded(cut(encoding, length, stride), reference.family == "bert")
        windows = {"text": text, "ids": encoding.ids, "length": length, "stride": stride}
        cases.append({"id": case_id, "kind": "padded_batch", "windows": windows})
        tensors |= {f"{case_id}/{key}": ("I64", list(value.shape), value.tobytes()) for key, value in inputs.items()}
        outputs = outputs_of(reference, inputs, lambda key: key.startswith("out.") or key == "hidden_states.1")
        for key, value in outputs.items():
            tensors[f"{case_id}/{key}"] = ("F32", list(value.shape), value.astype(np.float32).tobytes())
    name = f"{model}-windows"
    header = {
        "name": name,
        "model": f"models/{model}",
        "architecture": architecture,
        "reference": "tests/data/reference.py",
        "tolerance": {"atol": 2e-5, "rtol": 1e-5},
    }
    with open(f"{HERE}/cases/{name}.json", "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        file.write(json.dumps(header)[:-1] + ',\n"cases": [\n' + lines + "\n]}\n")
    write_safetensors(f"{HERE}/cases/{name}.safetensors", tensors)
    return encoding


def describe(text, pair, encoding):
    """One entry of tokens.json; -1 is the text, and the word, of a special token."""
    return {
        "text": text,
        "text_pair": pair,
        "ids": encoding.ids,
        "starts": [start for start, _ in encoding.offsets],
        "ends": [end for _, end in encoding.offsets],
        "texts": [-1 if text_index is None else text_index for text_index in encoding.sequence_ids],
        "words": [-1 if word is None else word for word in encoding.word_ids],
    }


def described_cases(golden, name, minilm):
    """Yields an entry for each text of a case file that has hidden states."""
    with open(f"{golden}/cases/{name}.json", encoding="utf-8") as file:
        cases = json.load(file)
    tensors = read_safetensors(f"{golden}/cases/{name}.safetensors")
    tokenizer = tokenizer_of(minilm if name == "minilm" else os.path.join(golden, cases["model"]))
    for case in cases["cases"]:
        rows = (f"{case['id']}/{tensor}" in tensors for tensor in ("hidden_states.1", "out.last_hidden_state"))
        if "text" not in case or not any(rows):
            continue
        encoding = tokenizer.encode(case["text"], case.get("text_pair"))
        ids = case["ids"] if "ids" in case else tensors[f"{case['id']}/in.input_ids"][0].tolist()
        assert encoding.ids == ids, (name, case["id"])
        if "offsets" in case:
            assert [list(offset) for offset in encoding.offsets] == case["offsets"], (name, case["id"])
        yield describe(case["text"], case.get("text_pair"), encoding)


def main():
    golden, minilm = sys.argv[1:]
    entries = []
    for model, (architecture, text, cuts) in WINDOWS.items():
        entries.append(describe(text, None, write_windows(model, architecture, text, cuts)))
    for name in (*CASES, *MORE_CASES):
        entries += described_cases(golden, name, minilm)
    # Many of the folder's models share a tokenizer.
    lines = dict.fromkeys(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    with open(f"{HERE}/tokens.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} texts")


if __name__ == "__main__":
    main()
