"""The words that results.json is written in. No library is needed to read it."""

ATTND = "attnd"
MODELS = ("minilm", "bert-base")
PRECISIONS = ("f32", "bf16", "int8")
WORKLOADS = ("w1_16", "w1_128", "w1_512", "w2", "w3", "w4")

# How w3 is cut into batches for engines that pad. attnd gets the sequences as they arrive, whole.
WHOLE = "whole"
ARRANGEMENTS = {
    "naive": "in order of arrival, 32 a batch, padded to the longest",
    "sorted": "sorted by length, 32 a batch",
    "tok": "sorted by length, at most 1,024 padded tokens a batch",
    "single": "in order of arrival, one at a time",
}
