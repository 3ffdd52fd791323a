#!/usr/bin/env python3
"""Makes the cases and models in this folder from the golden folder, whose layout they keep.

    tests/data/make_subset.py GOLDEN_DIR

Small cases of each kind, so that every run of the tests has them; `golden GOLDEN_DIR` runs all of them. Models and
cases tiny-* are make_tiny.py's; cases *-windows and tokens.json are make_outputs.py's.
"""

import json
import os
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CASE_BYTES_MAX = 25_000  # Of a case that is not named below.
KEPT = {
    "attention": set(),
    "bert-a": {"text0", "text3", "text5", "pair0", "pair2", "batch"},
}
# Tokenizers, and how many of their cases: WordPiece (all), and BPE of bytes. A Unigram's tokenizer.json has 380 KB.
FUZZ = {"fuzz-wp1000": None, "fuzz-roberta1000": 60}


def read_safetensors(path):
    with open(path, "rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
        data = file.read()
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_safetensors(path, tensors):
    header, begin = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


def write_json(name, file_json, kept):
    """The case file `file_json` with the cases `kept` alone."""
    header = {key: value for key, value in file_json.items() if key != "cases"}
    with open(f"{HERE}/cases/{name}.json", "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in kept)
        file.write(json.dumps(header, ensure_ascii=False)[:-1] + ',\n"cases": [\n' + lines + "\n]}\n")
    print(f"{name}: {len(kept)} of {len(file_json['cases'])} cases")


def write_cases(golden, name, ids):
    with open(f"{golden}/cases/{name}.json", encoding="utf-8") as file:
        cases = json.load(file)
    tensors = read_safetensors(f"{golden}/cases/{name}.safetensors")
    kept, kept_tensors = [], {}
    for case in cases["cases"]:
        of_case = {key: value for key, value in tensors.items() if key.startswith(case["id"] + "/")}
        size = sum(len(data) for _, _, data in of_case.values())
        if case["id"] not in ids if ids else size > CASE_BYTES_MAX:
            continue
        kept.append(case)
        kept_tensors |= of_case
    write_json(name, cases, kept)
    write_safetensors(f"{HERE}/cases/{name}.safetensors", kept_tensors)


def write_fuzz_cases(golden, name, count):
    with open(f"{golden}/cases/{name}.json", encoding="utf-8") as file:
        cases = json.load(file)
    model = cases["model"]
    os.makedirs(f"{HERE}/{model}", exist_ok=True)
    shutil.copyfile(f"{golden}/{model}/tokenizer.json", f"{HERE}/{model}/tokenizer.json")
    if count is None:
        shutil.copyfile(f"{golden}/cases/{name}.json", f"{HERE}/cases/{name}.json")
    else:
        write_json(name, cases, cases["cases"][:count])


def main():
    golden = sys.argv[1]
    os.makedirs(f"{HERE}/cases", exist_ok=True)
    os.makedirs(f"{HERE}/models/bert-a", exist_ok=True)
    for name, ids in KEPT.items():
        write_cases(golden, name, ids)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copyfile(f"{golden}/models/bert-a/{name}", f"{HERE}/models/bert-a/{name}")
    for name, count in FUZZ.items():
        write_fuzz_cases(golden, name, count)


if __name__ == "__main__":
    main()
