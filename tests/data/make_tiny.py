#!/usr/bin/env python3
"""Writes models of every family and head, a few KB each, with random weights, and their cases by reference.py.

    tests/data/make_tiny.py     overwrites models/tiny-* and cases/tiny-* in this folder

They have what the golden folder has of the same mechanism, and some that it lacks (gated T5, ModernBERT's classifiers).
The cases give ids: their tokenizer.json is there because a model has to have one.
"""

import json
import os

import numpy as np
from make_subset import HERE, write_safetensors
from reference import BERT_LAYER, DISTILBERT_LAYER, MPNET_LAYER, Reference

VOCABULARY, HIDDEN, HEADS, INNER, LAYERS, POSITIONS = 48, 16, 2, 24, 2, 40
BUCKETS, DISTANCE_MAX, HEAD_SIZE = 8, 12, 16  # Of T5, whose heads are wider than its rows.
LENGTHS = (5, 1, 30)
# Where attention depends on the distance: longer than what one call of a kernel takes, and than any window.
LENGTH_LONG = 500
LONG = ("mpnet", "modernbert-mlm", "t5enc")
PADDING_ID = 1  # Of RoBERTa and MPNet. It stands in each sequence that is long enough.
LABELS = ("red", "green", "blue")

BERT = {
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": POSITIONS,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
}
ROBERTA = BERT | {"type_vocab_size": 1, "pad_token_id": 1, "hidden_act": "gelu_new"}
DISTILBERT = {
    "activation": "relu",
    "dim": HIDDEN,
    "hidden_dim": INNER,
    "max_position_embeddings": POSITIONS,
    "n_heads": HEADS,
    "n_layers": LAYERS,
    "pad_token_id": 0,
    "sinusoidal_pos_embds": False,
    "vocab_size": VOCABULARY,
}
MODERNBERT = {
    "classifier_activation": "gelu",
    "classifier_pooling": "mean",
    "hidden_activation": "gelu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "local_attention": 8,
    "max_position_embeddings": POSITIONS,
    "norm_eps": 1e-5,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 3,
    "pad_token_id": 3,
    "vocab_size": VOCABULARY,
}
# As transformers 4.x writes it; every second layer is global.
MODERNBERT_4 = MODERNBERT | {
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
}
MODERNBERT_5 = MODERNBERT | {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_theta": 160000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
}
T5 = {
    "d_ff": INNER,
    "d_kv": HEAD_SIZE,
    "d_model": HIDDEN,
    "feed_forward_proj": "relu",
    "is_encoder_decoder": False,
    "layer_norm_epsilon": 1e-6,
    "num_heads": HEADS,
    "num_layers": LAYERS,
    "pad_token_id": 0,
    "relative_attention_max_distance": DISTANCE_MAX,
    "relative_attention_num_buckets": BUCKETS,
    "vocab_size": VOCABULARY,
}

# name -> model_type, class of the reference, config.
MODELS = {
    "bert-mlm": ("bert", "BertForMaskedLM", BERT),
    "bert-qa": ("bert", "BertForQuestionAnswering", BERT),
    "bert-seqcls": ("bert", "BertForSequenceClassification", BERT),
    "bert-tokcls": ("bert", "BertForTokenClassification", BERT),
    "roberta-mlm": ("roberta", "RobertaForMaskedLM", ROBERTA),
    "roberta-seqcls": ("roberta", "RobertaForSequenceClassification", ROBERTA),
    "xlmr": ("xlm-roberta", "XLMRobertaModel", ROBERTA),
    "distilbert-mlm": ("distilbert", "DistilBertForMaskedLM", DISTILBERT),
    "distilbert-seqcls": ("distilbert", "DistilBertForSequenceClassification", DISTILBERT),
    "mpnet": (
        "mpnet",
        "MPNetModel",
        ROBERTA | {"max_position_embeddings": LENGTH_LONG + 2, "relative_attention_num_buckets": 32},
    ),
    "modernbert-mlm": (
        "modernbert",
        "ModernBertForMaskedLM",
        MODERNBERT_5 | {"max_position_embeddings": LENGTH_LONG},
    ),
    "modernbert-seqcls": ("modernbert", "ModernBertForSequenceClassification", MODERNBERT_4),
    "t5enc": ("t5", "T5EncoderModel", T5),
    "t5enc-gated": ("t5", "T5EncoderModel", T5 | {"feed_forward_proj": "gated-gelu"}),
}


class Tensors(dict):
    """Random tensors by name; `prefix` goes before those of the encoder."""

    def __init__(self, seed, prefix):
        super().__init__()
        self.random = np.random.RandomState(seed)
        self.prefix = prefix

    def add(self, name, *shape, center=0.0, scale=0.25):
        self[name] = (center + scale * self.random.standard_normal(shape)).astype(np.float32)

    def dense(self, name, rows, columns, bias=True):
        self.add(f"{name}.weight", rows, columns)
        if bias:
            self.add(f"{name}.bias", rows)

    def norm(self, name, bias=True):
        self.add(f"{name}.weight", HIDDEN, center=1.0)
        if bias:
            self.add(f"{name}.bias", HIDDEN)


def add_bert(t, family, task, config):
    names = {"distilbert": DISTILBERT_LAYER, "mpnet": MPNET_LAYER}.get(family, BERT_LAYER)
    p = t.prefix
    t.add(f"{p}embeddings.word_embeddings.weight", VOCABULARY, HIDDEN, scale=1.0)
    t.add(f"{p}embeddings.position_embeddings.weight", config["max_position_embeddings"], HIDDEN)
    if family not in ("distilbert", "mpnet"):
        t.add(f"{p}embeddings.token_type_embeddings.weight", 2 if family == "bert" else 1, HIDDEN)
    t.norm(f"{p}embeddings.LayerNorm")
    if family == "mpnet":
        t.add(f"{p}encoder.relative_attention_bias.weight", 32, HEADS, scale=1.0)
    for i in range(LAYERS):
        q, k, v, o, o_norm, up, down, down_norm = (p + name.format(i) for name in names)
        for name in (q, k, v, o):
            t.dense(name, HIDDEN, HIDDEN)
        t.norm(o_norm)
        t.dense(up, INNER, HIDDEN)
        t.dense(down, HIDDEN, INNER)
        t.norm(down_norm)
    if task == "Model" or (family, task) == ("bert", "SequenceClassification"):
        t.dense(f"{p}pooler.dense", HIDDEN, HIDDEN)


def add_modernbert(t):
    p = t.prefix
    t.add(f"{p}embeddings.tok_embeddings.weight", VOCABULARY, HIDDEN, scale=1.0)
    t.norm(f"{p}embeddings.norm", bias=False)
    for i in range(MODERNBERT["num_hidden_layers"]):
        if i > 0:
            t.norm(f"{p}layers.{i}.attn_norm", bias=False)
        t.dense(f"{p}layers.{i}.attn.Wqkv", 3 * HIDDEN, HIDDEN, bias=False)
        t.dense(f"{p}layers.{i}.attn.Wo", HIDDEN, HIDDEN, bias=False)
        t.norm(f"{p}layers.{i}.mlp_norm", bias=False)
        t.dense(f"{p}layers.{i}.mlp.Wi", 2 * INNER, HIDDEN, bias=False)
        t.dense(f"{p}layers.{i}.mlp.Wo", HIDDEN, INNER, bias=False)
    t.norm(f"{p}final_norm", bias=False)


def add_t5(t, config):
    t.add("shared.weight", VOCABULARY, HIDDEN, scale=1.0)
    for i in range(LAYERS):
        block = f"encoder.block.{i}.layer"
        for name in "qkv":
            t.dense(f"{block}.0.SelfAttention.{name}", HEADS * HEAD_SIZE, HIDDEN, bias=False)
        t.dense(f"{block}.0.SelfAttention.o", HIDDEN, HEADS * HEAD_SIZE, bias=False)
        if i == 0:
            t.add(f"{block}.0.SelfAttention.relative_attention_bias.weight", BUCKETS, HEADS, scale=1.0)
        t.norm(f"{block}.0.layer_norm", bias=False)
        for name in ("wi",) if config["feed_forward_proj"] == "relu" else ("wi_0", "wi_1"):
            t.dense(f"{block}.1.DenseReluDense.{name}", INNER, HIDDEN, bias=False)
        t.dense(f"{block}.1.DenseReluDense.wo", HIDDEN, INNER, bias=False)
        t.norm(f"{block}.1.layer_norm", bias=False)
    t.norm("encoder.final_layer_norm", bias=False)


def add_head(t, family, task):
    if task == "QuestionAnswering":
        t.dense("qa_outputs", 2, HIDDEN)
    elif task == "TokenClassification":
        t.dense("classifier", len(LABELS), HIDDEN)
    elif task == "SequenceClassification":
        if family == "modernbert":
            t.dense("head.dense", HIDDEN, HIDDEN, bias=False)
            t.norm("head.norm", bias=False)
        elif family in ("roberta", "xlm-roberta", "mpnet"):
            t.dense("classifier.dense", HIDDEN, HIDDEN)
        elif family == "distilbert":
            t.dense("pre_classifier", HIDDEN, HIDDEN)
        last = "classifier.out_proj" if "classifier.dense.weight" in t else "classifier"
        t.dense(last, len(LABELS), HIDDEN)
    elif task == "MaskedLM":
        dense, norm, bias = {
            "bert": [f"cls.predictions.{x}" for x in ("transform.dense", "transform.LayerNorm", "bias")],
            "distilbert": ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias"],
            "modernbert": ["head.dense", "head.norm", "decoder.bias"],
        }.get(family, ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"])
        t.dense(dense, HIDDEN, HIDDEN, bias=family != "modernbert")
        t.norm(norm, bias=family != "modernbert")
        t.add(bias, VOCABULARY)


def write_model(name, family, architecture, config, seed):
    task = architecture.split("For")[-1] if "For" in architecture else "Model"
    prefixes = {"xlm-roberta": "roberta.", "modernbert": "model."}
    tensors = Tensors(seed, "" if task == "Model" else prefixes.get(family, family + "."))
    if family == "t5":
        add_t5(tensors, config)
    elif family == "modernbert":
        add_modernbert(tensors)
    else:
        add_bert(tensors, family, task, config)
    add_head(tensors, family, task)
    config = {"architectures": [architecture], "model_type": family} | config
    if task in ("SequenceClassification", "TokenClassification"):
        config["id2label"] = {str(i): label for i, label in enumerate(LABELS)}
    os.makedirs(f"{HERE}/models/{name}", exist_ok=True)
    with open(f"{HERE}/models/{name}/config.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(config, indent=2) + "\n")
    with open(f"{HERE}/models/{name}/tokenizer.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(tokenizer()) + "\n")
    write_safetensors(
        f"{HERE}/models/{name}/model.safetensors",
        {key: ("F32", list(value.shape), value.tobytes()) for key, value in tensors.items()},
    )


def inputs_of(random, has_types, length, rows):
    """Ids of one sequence, padded with zeros to `rows`, in the dimension of a batch of one."""
    padding = (0, rows - length)
    ids = np.pad(random.randint(0, VOCABULARY, length), padding)[None].astype(np.int64)
    ids[:, 7 : min(length, 8)] = PADDING_ID
    inputs = {"in.input_ids": ids, "in.attention_mask": np.pad(np.ones((1, length), np.int64), ((0, 0), padding))}
    if has_types:
        inputs["in.token_type_ids"] = np.pad(random.randint(0, 2, length), padding)[None].astype(np.int64)
    return inputs


def tokenizer():
    """Words `0`, `1`, ... that are their own ids."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {str(i): i for i in range(VOCABULARY)}, "unk_token": "0"},
    }


def outputs_of(reference, inputs, keep):
    """What the reference makes of a batch, padded with zeros to one length, as far as `keep` has its name."""
    items = []
    for b, mask in enumerate(inputs["in.attention_mask"] == 1):
        types = inputs.get("in.token_type_ids")
        out = reference.run(inputs["in.input_ids"][b][mask], None if types is None else types[b][mask])
        padding = (0, len(mask) - int(mask.sum()))
        for name, value in out.items():
            if value.shape[0] == mask.sum() and not name.startswith("attentions") and len(mask) > mask.sum():
                out[name] = np.pad(value, (padding,) + ((0, 0),) * (value.ndim - 1))
        items.append(out)
    return {name: np.stack([item[name] for item in items]) for name in items[0] if keep(name)}


def write_cases(name, architecture, config):
    reference = Reference(f"{HERE}/models/{name}")
    random = np.random.RandomState(1)
    has_types = config.get("type_vocab_size", 0) > 1
    tensors, cases = {}, []

    def add(case_id, kind, inputs, keep, **more):
        cases.append({"id": case_id, "kind": kind} | more)
        tensors.update({f"{case_id}/{key}": ("I64", value) for key, value in inputs.items()})
        for key, value in outputs_of(reference, inputs, keep).items():
            tensors[f"{case_id}/{key}"] = ("F32", value.astype(np.float32))

    for length in LENGTHS:
        with_attention = length == LENGTHS[0]
        inputs = inputs_of(random, has_types, length, length)
        add(f"rows{length}", "single", inputs, lambda key, a=with_attention: a or not key.startswith("attentions"))
    if name.removeprefix("tiny-") in LONG:
        inputs = inputs_of(random, has_types, LENGTH_LONG, LENGTH_LONG)
        add(f"rows{LENGTH_LONG}", "single", inputs, lambda key: key == "out.last_hidden_state")
    batch = [inputs_of(random, has_types, length, 9) for length in (9, 2, 4)]
    batch = {key: np.concatenate([item[key] for item in batch]) for key in batch[0]}
    add("batch", "padded_batch", batch, lambda key: key.startswith("out."))

    header = {
        "name": name,
        "model": f"models/{name}",
        "architecture": architecture,
        "reference": "tests/data/reference.py",
        "tolerance": {"atol": 2e-5, "rtol": 1e-5},
    }
    with open(f"{HERE}/cases/{name}.json", "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case) for case in cases)
        file.write(json.dumps(header)[:-1] + ',\n"cases": [\n' + lines + "\n]}\n")
    stored = {key: (dtype, list(value.shape), value.tobytes()) for key, (dtype, value) in tensors.items()}
    write_safetensors(f"{HERE}/cases/{name}.safetensors", stored)


def main():
    for seed, (name, (family, architecture, config)) in enumerate(MODELS.items()):
        write_model(f"tiny-{name}", family, architecture, config, seed)
        write_cases(f"tiny-{name}", architecture, config)


if __name__ == "__main__":
    main()
