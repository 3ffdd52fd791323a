"""The encoders and heads in float64, as plainly as they can be written: the reference of this folder's tiny models.

It stands for transformers 5.23.0: `reference.py GOLDEN_DIR` computes every case of the golden folder that is about an
encoder and compares (NumPy alone is needed). Only then are the cases that make_tiny.py writes worth anything.
"""

import json
import math
import os
import struct
import sys

import numpy as np

DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "BOOL": np.bool_}
CASES = (
    "bert-a bert-a-mlm bert-a-qa bert-a-seqcls bert-a-tokcls cross-encoder-a roberta-a roberta-a-seqcls xlmr-a "
    "distilbert-a distilbert-a-seqcls mpnet-a modernbert-a modernbert-a-mlm t5enc-a"
).split()

# What is called what in a layer of a family: query, key, value, output, its norm, up, down, its norm.
BERT_LAYER = (
    "encoder.layer.{}.attention.self.query encoder.layer.{}.attention.self.key encoder.layer.{}.attention.self.value "
    "encoder.layer.{}.attention.output.dense encoder.layer.{}.attention.output.LayerNorm "
    "encoder.layer.{}.intermediate.dense encoder.layer.{}.output.dense encoder.layer.{}.output.LayerNorm"
).split()
DISTILBERT_LAYER = (
    "transformer.layer.{}.attention.q_lin transformer.layer.{}.attention.k_lin transformer.layer.{}.attention.v_lin "
    "transformer.layer.{}.attention.out_lin transformer.layer.{}.sa_layer_norm "
    "transformer.layer.{}.ffn.lin1 transformer.layer.{}.ffn.lin2 transformer.layer.{}.output_layer_norm"
).split()
MPNET_LAYER = (
    "encoder.layer.{}.attention.attn.q encoder.layer.{}.attention.attn.k encoder.layer.{}.attention.attn.v "
    "encoder.layer.{}.attention.attn.o encoder.layer.{}.attention.LayerNorm "
    "encoder.layer.{}.intermediate.dense encoder.layer.{}.output.dense encoder.layer.{}.output.LayerNorm"
).split()


def read_safetensors(path):
    with open(path, "rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
        data = file.read()
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_new, "relu": lambda x: np.maximum(x, 0)}


def relative_buckets(length, buckets, distance_max):
    """The bucket of each (query, key): half of them for keys behind the query; exact when near, else logarithmic."""
    relative = np.arange(length)[None, :] - np.arange(length)[:, None]
    half = buckets // 2
    exact = half // 2
    n = np.abs(relative)
    # In float32, as the reference does it: where a logarithm is whole, its last bit decides.
    far = np.log(np.maximum(n, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(distance_max / exact))
    far = np.minimum(exact + (far * np.float32(half - exact)).astype(np.int64), half - 1)
    return np.where(relative > 0, half, 0) + np.where(n < exact, n, far)


def rotate(x, theta):
    """x [heads, length, size] turned by its position: halves, not interleaved (Su et al. 2021)."""
    size = x.shape[-1]
    # In float32: so checkpoints were trained, and far from the beginning it is more than a rounding.
    frequencies = 1 / np.float32(theta) ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))
    angles = (np.arange(x.shape[1], dtype=np.float32)[:, None] * frequencies[None, :]).astype(np.float64)
    cos, sin = np.cos(np.tile(angles, 2)), np.sin(np.tile(angles, 2))
    turned = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return x * cos + turned * sin


class Reference:
    """One checkpoint. `run` returns the tensors that a case has, without the dimension of the batch."""

    def __init__(self, directory):
        with open(f"{directory}/config.json", encoding="utf-8") as file:
            self.config = json.load(file)
        tensors = read_safetensors(f"{directory}/model.safetensors")
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.family = self.config["model_type"]
        self.task = self.config["architectures"][0].split("For")[-1]
        prefixes = ("", "bert.", "roberta.", "distilbert.", "mpnet.", "model.")
        first = "shared." if self.family == "t5" else "embeddings."
        self.prefix = next(p for p in prefixes if any(name.startswith(p + first) for name in self.tensors))
        self.epsilon = {"distilbert": 1e-12, "modernbert": self.config.get("norm_eps"), "t5": None}.get(
            self.family, self.config.get("layer_norm_eps")
        )

    def get(self, name):
        return self.tensors[self.prefix + name]

    def dense(self, x, name, prefix=None):
        prefix = self.prefix if prefix is None else prefix
        bias = self.tensors.get(f"{prefix}{name}.bias", 0)
        return x @ self.tensors[f"{prefix}{name}.weight"].T + bias

    def norm(self, x, name, prefix=None):
        prefix = self.prefix if prefix is None else prefix
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + self.epsilon)
        return scaled * self.tensors[f"{prefix}{name}.weight"] + self.tensors.get(f"{prefix}{name}.bias", 0)

    def attend(self, q, k, v, scale, bias=0.0):
        """q, k, v [heads, length, size]: the context [length, heads * size] and the probabilities."""
        probabilities = softmax(q @ k.transpose(0, 2, 1) * scale + bias)
        context = probabilities @ v
        return context.transpose(1, 0, 2).reshape(context.shape[1], -1), probabilities

    def run(self, ids, types=None):
        run = {"modernbert": self.run_modernbert, "t5": self.run_t5}.get(self.family, self.run_bert)
        hidden, attentions, last = run(np.asarray(ids), types)
        out = {f"hidden_states.{i}": h for i, h in enumerate(hidden)}
        out |= {f"attentions.{i}": a for i, a in enumerate(attentions)}
        out["out.last_hidden_state"] = last
        if f"{self.prefix}pooler.dense.weight" in self.tensors:
            out["out.pooler_output"] = np.tanh(self.dense(last[0], "pooler.dense"))
        return out | self.run_head(last, out.get("out.pooler_output"))

    def run_bert(self, ids, types):
        """BERT and what differs from it in names and positions: RoBERTa, XLM-R, DistilBERT, MPNet."""
        config = self.config
        heads = config.get("num_attention_heads", config.get("n_heads"))
        activation = ACTIVATIONS[config.get("hidden_act", config.get("activation"))]
        length = len(ids)
        x = self.get("embeddings.word_embeddings.weight")[ids]
        x = x + self.get("embeddings.position_embeddings.weight")[self.positions(ids)]
        if self.family not in ("distilbert", "mpnet"):
            types = np.zeros(length, np.int64) if types is None else types
            x = x + self.get("embeddings.token_type_embeddings.weight")[types]
        x = self.norm(x, "embeddings.LayerNorm")
        bias = 0.0
        if self.family == "mpnet":
            table = self.get("encoder.relative_attention_bias.weight")
            bias = table[relative_buckets(length, 32, 128)].transpose(2, 0, 1)
        size = x.shape[1] // heads
        hidden, attentions = [x], []
        names = {"distilbert": DISTILBERT_LAYER, "mpnet": MPNET_LAYER}.get(self.family, BERT_LAYER)
        for i in range(config.get("num_hidden_layers", config.get("n_layers"))):
            q, k, v, o, o_norm, up, down, down_norm = (name.format(i) for name in names)
            split = [self.dense(x, name).reshape(length, heads, size).transpose(1, 0, 2) for name in (q, k, v)]
            context, probabilities = self.attend(*split, size**-0.5, bias)
            x = self.norm(x + self.dense(context, o), o_norm)
            x = self.norm(x + self.dense(activation(self.dense(x, up)), down), down_norm)
            hidden.append(x)
            attentions.append(probabilities)
        return hidden, attentions, x

    def positions(self, ids):
        if self.family not in ("roberta", "xlm-roberta", "mpnet"):
            return np.arange(len(ids))
        # The padding token, should a text have it, takes no place: all of them have the position of its id.
        padding = self.config["pad_token_id"]
        placed = ids != padding
        return np.cumsum(placed) * placed + padding

    def run_modernbert(self, ids, _):
        config = self.config
        heads, length = config["num_attention_heads"], len(ids)
        activation = ACTIVATIONS[config["hidden_activation"]]
        away = np.abs(np.arange(length)[None, :] - np.arange(length)[:, None])
        window = np.where(away <= config["local_attention"] // 2, 0.0, -np.inf)
        x = self.norm(self.get("embeddings.tok_embeddings.weight")[ids], "embeddings.norm")
        hidden, attentions = [x], []
        for i in range(config["num_hidden_layers"]):
            theta, bias = self.modernbert_layer(i, window)
            y = x if i == 0 else self.norm(x, f"layers.{i}.attn_norm")
            qkv = self.dense(y, f"layers.{i}.attn.Wqkv").reshape(length, 3, heads, -1).transpose(1, 2, 0, 3)
            context, probabilities = self.attend(
                rotate(qkv[0], theta), rotate(qkv[1], theta), qkv[2], qkv.shape[-1] ** -0.5, bias
            )
            x = x + self.dense(context, f"layers.{i}.attn.Wo")
            y, gate = np.split(self.dense(self.norm(x, f"layers.{i}.mlp_norm"), f"layers.{i}.mlp.Wi"), 2, -1)
            x = x + self.dense(activation(y) * gate, f"layers.{i}.mlp.Wo")
            hidden.append(x)
            attentions.append(probabilities)
        hidden[-1] = self.norm(x, "final_norm")
        return hidden, attentions, hidden[-1]

    def modernbert_layer(self, i, window):
        """The angle's base of layer i, and what is added to its scores."""
        config = self.config
        every = config.get("global_attn_every_n_layers", 3)
        types = config.get("layer_types")
        is_global = types[i] == "full_attention" if types else i % every == 0
        if "rope_parameters" in config:
            parameters = config["rope_parameters"]["full_attention" if is_global else "sliding_attention"]
            theta = parameters["rope_theta"]
        else:
            theta = config["global_rope_theta"] if is_global else config["local_rope_theta"]
        return theta, 0.0 if is_global else window

    def run_t5(self, ids, _):
        config = self.config
        heads, length = config["num_heads"], len(ids)

        def norm(x, name):
            scale = np.sqrt((x**2).mean(-1, keepdims=True) + config["layer_norm_epsilon"])
            return x / scale * self.get(f"{name}.weight")

        first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        buckets = relative_buckets(
            length, config["relative_attention_num_buckets"], config["relative_attention_max_distance"]
        )
        bias = self.get(first)[buckets].transpose(2, 0, 1)
        x = self.get("shared.weight")[ids]
        hidden, attentions = [x], []
        for i in range(config["num_layers"]):
            block = f"encoder.block.{i}.layer"
            y = norm(x, f"{block}.0.layer_norm")
            split = [
                self.dense(y, f"{block}.0.SelfAttention.{name}").reshape(length, heads, -1).transpose(1, 0, 2)
                for name in "qkv"
            ]
            context, probabilities = self.attend(*split, 1.0, bias)
            x = x + self.dense(context, f"{block}.0.SelfAttention.o")
            x = x + self.t5_feed_forward(norm(x, f"{block}.1.layer_norm"), f"{block}.1.DenseReluDense")
            hidden.append(x)
            attentions.append(probabilities)
        hidden[-1] = norm(x, "encoder.final_layer_norm")
        return hidden, attentions, hidden[-1]

    def t5_feed_forward(self, x, name):
        if self.config["feed_forward_proj"] == "relu":
            return self.dense(np.maximum(self.dense(x, f"{name}.wi"), 0), f"{name}.wo")
        # "gated-gelu" means gelu_new here, and nowhere else.
        return self.dense(gelu_new(self.dense(x, f"{name}.wi_0")) * self.dense(x, f"{name}.wi_1"), f"{name}.wo")

    def run_head(self, last, pooled):
        if self.task == "QuestionAnswering":
            name = "classifier" if self.family == "modernbert" else "qa_outputs"
            scores = self.dense(self.modernbert_head(last), name, "")
            return {"out.start_logits": scores[:, 0], "out.end_logits": scores[:, 1]}
        if self.task == "TokenClassification":
            return {"out.logits": self.dense(self.modernbert_head(last), "classifier", "")}
        if self.task == "SequenceClassification":
            return {"out.logits": self.label_scores(last, pooled)}
        if self.task == "MaskedLM":
            return {"out.logits": self.vocabulary_scores(last)}
        return {}

    def modernbert_head(self, x):
        """The transform that ModernBERT puts before each classifier; x itself in another family."""
        if self.family != "modernbert":
            return x
        activation = ACTIVATIONS[self.config.get("classifier_activation", "gelu")]
        return self.norm(activation(self.dense(x, "head.dense", "")), "head.norm", "")

    def label_scores(self, last, pooled):
        if self.family == "bert":
            return self.dense(pooled, "classifier", "")
        if self.family == "distilbert":
            return self.dense(np.maximum(self.dense(last[0], "pre_classifier", ""), 0), "classifier", "")
        if self.family == "modernbert":
            chosen = last.mean(0) if self.config["classifier_pooling"] == "mean" else last[0]
            return self.dense(self.modernbert_head(chosen), "classifier", "")
        return self.dense(np.tanh(self.dense(last[0], "classifier.dense", "")), "classifier.out_proj", "")

    def vocabulary_scores(self, last):
        dense, norm, bias, activation, table = {
            "bert": (
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.bias",
                "hidden_act",
                "word_embeddings",
            ),
            "distilbert": (
                "vocab_transform",
                "vocab_layer_norm",
                "vocab_projector.bias",
                "activation",
                "word_embeddings",
            ),
            "modernbert": ("head.dense", "head.norm", "decoder.bias", "classifier_activation", "tok_embeddings"),
        }.get(self.family, ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", None, "word_embeddings"))
        act = ACTIVATIONS[self.config[activation]] if activation else gelu
        x = self.norm(act(self.dense(last, dense, "")), norm, "")
        return x @ self.get(f"embeddings.{table}.weight").T + self.tensors[bias]


def worst_difference(golden, name):
    """The largest difference of any tensor of any case, as a part of the case file's tolerance."""
    with open(f"{golden}/cases/{name}.json", encoding="utf-8") as file:
        cases = json.load(file)
    tensors = read_safetensors(f"{golden}/cases/{name}.safetensors")
    reference = Reference(os.path.join(golden, cases["model"]))
    tolerance = cases["tolerance"]
    worst = (0.0, "")
    for case in cases["cases"]:
        if f"{case['id']}/in.input_ids" not in tensors:
            continue
        ids, mask = tensors[f"{case['id']}/in.input_ids"], tensors[f"{case['id']}/in.attention_mask"] == 1
        types = tensors.get(f"{case['id']}/in.token_type_ids")
        for b, row in enumerate(mask):
            out = reference.run(ids[b][row], None if types is None else types[b][row])
            for key, expected in tensors.items():
                tensor = key.removeprefix(f"{case['id']}/")
                if not key.startswith(f"{case['id']}/") or tensor.startswith("in."):
                    continue
                want = expected[b]
                if want.shape[0] == len(row) and not tensor.startswith("attentions"):
                    want = want[row]
                allowed = tolerance["atol"] + tolerance["rtol"] * np.abs(want)
                assert out[tensor].shape == want.shape, (key, out[tensor].shape, want.shape)
                worst = max(worst, (float((np.abs(out[tensor] - want) / allowed).max()), key))
    return worst


def main():
    wrong = 0
    for name in CASES:
        part, where = worst_difference(sys.argv[1], name)
        wrong += part > 1
        print(f"{name}: {part:.3f} of the tolerance at most ({where})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
