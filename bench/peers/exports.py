"""Models in the form that each engine wants, made once and kept.

    python -m peers.exports MODEL_DIR CACHE KIND...      makes those that are missing

A kind is a function here. Each makes a folder CACHE/exports/TAG/MODEL/KIND, which appears by one
rename when it is whole; TAG is a digest of requirements.txt, so that another version of an engine
makes its own.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import workloads

SEED = 7
CALIBRATION_SAMPLES = 100


@dataclass(frozen=True)
class Source:
    """A Hugging Face directory, and where what is made of it is kept."""

    model: Path
    cache: Path

    @property
    def config(self) -> dict:
        return json.loads((self.model / "config.json").read_text(encoding="utf-8"))

    def made(self, kind: str) -> Path:
        """The folder of that kind, which is made now if it is missing."""
        requirements = Path(__file__).with_name("requirements.txt").read_bytes()
        tag = hashlib.sha256(requirements).hexdigest()[:8]
        folder = self.cache / "exports" / tag / self.model.name / kind
        if not folder.exists():
            _make(folder, lambda new: KINDS[kind](self, new))
        return folder


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fill(new)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def torch_model(model: Path, attention: str = "sdpa") -> Any:
    import torch
    from transformers import AutoModel

    torch.set_grad_enabled(False)
    return AutoModel.from_pretrained(
        model, attn_implementation=attention, add_pooling_layer=False
    ).eval()


def _sample(lengths: list[int], seed: int = workloads.SEED) -> workloads.Batch:
    return workloads.pad(workloads.sequences(lengths, seed))


def onnx(source: Source, folder: Path) -> None:
    """model.onnx with free batch and sequence axes."""
    import torch

    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch_model(source.model, attention="eager")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.encoder(
                input_ids=input_ids, attention_mask=attention_mask
            ).last_hidden_state

    sample = _sample([9, 12])
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        LastHiddenState(),
        (torch.from_numpy(sample.ids), torch.from_numpy(sample.mask)),
        folder / "model.onnx",
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, "last_hidden_state"]},
    )


def onnx_fused(source: Source, folder: Path) -> None:
    """With ONNX Runtime's own nodes for attention, embeddings, norms and GELU."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    fused = optimizer.optimize_model(
        str(source.made("onnx") / "model.onnx"),
        model_type="bert",
        num_heads=source.config["num_attention_heads"],
        hidden_size=source.config["hidden_size"],
        opt_level=0,
        optimization_options=FusionOptions("bert"),
    )
    fused.save_model_to_file(str(folder / "model.onnx"))


def onnx_int8(source: Source, folder: Path) -> None:
    """The fused graph with ONNX Runtime's dynamic quantization, weights by channel."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source.made("onnx_fused") / "model.onnx",
        folder / "model.onnx",
        per_channel=True,
        reduce_range=False,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Attention"],
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )  # Fused nodes defeat type inference.


def openvino(source: Source, folder: Path) -> None:
    """From PyTorch, which keeps attention in one node."""
    import openvino as ov
    import torch

    sample = _sample([9, 12])
    example = {
        "input_ids": torch.from_numpy(sample.ids),
        "attention_mask": torch.from_numpy(sample.mask),
    }
    model = ov.convert_model(torch_model(source.model), example_input=example)
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)


def openvino_int8(source: Source, folder: Path) -> None:
    """NNCF's static quantization, calibrated on random ids of the mix's lengths."""
    import nncf
    import openvino as ov

    lengths = workloads.mix_lengths(CALIBRATION_SAMPLES, seed=11)
    samples = [_sample([length], seed) for seed, length in enumerate(lengths)]
    inputs = [{"input_ids": s.ids, "attention_mask": s.mask} for s in samples]
    model = nncf.quantize(
        ov.Core().read_model(source.made("openvino") / "model.xml"),
        nncf.Dataset(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=CALIBRATION_SAMPLES,
    )
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)


def ctranslate2(source: Source, folder: Path) -> None:
    import transformers
    from ctranslate2.converters.transformers import TransformersConverter

    # Transformers 5 no longer has this field, which the converter reads; BERT's is always this.
    if not hasattr(transformers.BertConfig(), "position_embedding_type"):
        setattr(transformers.BertConfig, "position_embedding_type", "absolute")  # noqa: B010
    TransformersConverter(str(source.model)).convert(str(folder), force=True)


def reference(source: Source, folder: Path) -> None:
    """states.npy: PyTorch's f32 states of workloads.check_batches(), [tokens, hidden]."""
    import torch

    batch = workloads.pad(workloads.check_batches()[0])
    output = torch_model(source.model)(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask)
    )
    np.save(folder / "states.npy", output.last_hidden_state.numpy()[batch.mask > 0])


KINDS: dict[str, Callable[[Source, Path], None]] = {
    kind.__name__: kind
    for kind in (onnx, onnx_fused, onnx_int8, openvino, openvino_int8, ctranslate2, reference)
}


def bert_base(tokenizer_of: Path, cache: Path) -> Path:
    """A directory of BERT-base's shape: seeded random weights, another model's tokenizer."""
    folder = cache / "models" / "bert-base-random"
    if not folder.exists():
        _make(folder, lambda new: _write_bert_base(tokenizer_of, new))
    return folder


def _write_bert_base(tokenizer_of: Path, folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    # BERT's own initializer keeps activations in an ordinary range: no denormals distort the times.
    BertModel(BertConfig(architectures=["BertModel"])).eval().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (tokenizer_of / name).exists():
            shutil.copy(tokenizer_of / name, folder)


def main() -> None:
    model, cache, *kinds = sys.argv[1:]
    source = Source(Path(model), Path(cache))
    for kind in kinds:
        if kind == "bert_base":
            print(bert_base(source.model, source.cache))
        else:
            print(source.made(kind))


if __name__ == "__main__":
    main()
