"""The peers. Each gets padded int64 ids and mask, and hands back the last hidden states in host
memory.

Every engine is set as its makers advise for CPUs: the threads that it may use, its fused graph, its
precision forced.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .exports import Source, torch_model
from .workloads import Batch


@dataclass(frozen=True)
class Setting:
    source: Source
    precision: str  # "f32", "bf16", "int8"
    threads: int


class Engine:
    """A loaded model. `run` is one pass over a workload."""

    precisions: tuple[str, ...] = ("f32",)
    # Takes several batches at once, so that a workload of one batch says nothing of it.
    parallel = False
    # The exports that it needs, by precision.
    exports: dict[str, str] = {}

    def __init__(self, setting: Setting) -> None:
        self.version = ""
        self.notes = ""

    def states(self, batch: Batch) -> np.ndarray:
        """[sequences, tokens, hidden], padding included; valid until the next call."""
        raise NotImplementedError

    def run(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.states(batch)


class Torch(Engine):
    precisions = ("f32", "bf16")

    def __init__(self, setting: Setting) -> None:
        import torch

        torch.set_num_threads(setting.threads)
        self.torch = torch
        self.model = torch_model(setting.source.model)
        if setting.precision == "bf16":
            self.model = self.model.to(torch.bfloat16)
        self.version = torch.__version__
        self.notes = "eager, sdpa"

    def states(self, batch: Batch) -> np.ndarray:
        from_numpy = self.torch.from_numpy
        with self.torch.inference_mode():
            output = self.model(
                input_ids=from_numpy(batch.ids), attention_mask=from_numpy(batch.mask)
            )
            return output.last_hidden_state.float().numpy()


class OnnxRuntime(Engine):
    precisions = ("f32", "int8")
    exports = {"f32": "onnx_fused", "int8": "onnx_int8"}

    def __init__(self, setting: Setting) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = setting.source.made(self.exports[setting.precision]) / "model.onnx"
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.dtypes = {
            i.name: np.int32 if "int32" in i.type else np.int64 for i in self.session.get_inputs()
        }
        self.version = ort.__version__
        self.notes = "fused graph" + (", dynamic int8" if setting.precision == "int8" else "")

    def states(self, batch: Batch) -> np.ndarray:
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
        cast = {name: array.astype(self.dtypes[name], copy=False) for name, array in inputs.items()}
        return self.session.run(None, cast)[0]


class OpenVino(Engine):
    precisions = ("f32", "bf16", "int8")
    exports = {"f32": "openvino", "bf16": "openvino", "int8": "openvino_int8"}
    streams = 1

    def __init__(self, setting: Setting) -> None:
        import openvino as ov

        hint = "bf16" if setting.precision == "bf16" else "f32"
        path = setting.source.made(self.exports[setting.precision]) / "model.xml"
        self.compiled = ov.Core().compile_model(
            path,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": setting.threads,
                "NUM_STREAMS": self.streams,
                "PERFORMANCE_HINT": "LATENCY" if self.streams == 1 else "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": hint,
            },
        )
        self.names = [i.get_any_name() for i in self.compiled.inputs]
        self.request = self.compiled.create_infer_request()
        self.version = ov.__version__.split("-")[0]
        self.notes = f"{self.streams} stream" + ("s" if self.streams > 1 else "")
        if setting.precision == "int8":
            self.notes += ", NNCF static int8"

    def inputs(self, batch: Batch) -> dict[str, np.ndarray]:
        both = {"input_ids": batch.ids, "attention_mask": batch.mask}
        return {name: both[name] for name in self.names}

    def states(self, batch: Batch) -> np.ndarray:
        self.request.infer(self.inputs(batch), share_inputs=True)
        return self.request.get_output_tensor(0).data


class OpenVinoStreams(OpenVino):
    """A stream a thread, each with a batch of its own."""

    parallel = True

    def __init__(self, setting: Setting) -> None:
        import openvino as ov

        self.streams = setting.threads
        super().__init__(setting)
        self.queue = ov.AsyncInferQueue(self.compiled, self.streams)

    def run(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.queue.start_async(self.inputs(batch), share_inputs=True)
        self.queue.wait_all()


class CTranslate2(Engine):
    precisions = ("f32", "int8", "bf16")
    exports = dict.fromkeys(precisions, "ctranslate2")
    compute_types = {"f32": "float32", "int8": "int8", "bf16": "bfloat16"}

    def __init__(self, setting: Setting) -> None:
        import ctranslate2

        self.library: Any = ctranslate2
        wanted = self.compute_types[setting.precision]
        if wanted not in ctranslate2.get_supported_compute_types("cpu"):
            raise ValueError(f"no {wanted} on this CPU")
        self.encoder = ctranslate2.Encoder(
            str(setting.source.made("ctranslate2")),
            device="cpu",
            compute_type=wanted,
            inter_threads=1,
            intra_threads=setting.threads,
        )
        self.version = ctranslate2.__version__
        self.notes = f"{self.encoder.compute_type}; leaves padding out by itself"

    def states(self, batch: Batch) -> np.ndarray:
        view: Callable[[np.ndarray], Any] = self.library.StorageView.from_array
        output = self.encoder.forward_batch(
            view(batch.ids.astype(np.int32)), view(batch.lengths.astype(np.int32))
        )
        return np.asarray(output.last_hidden_state)


ENGINES: dict[str, type[Engine]] = {
    "openvino": OpenVino,
    "openvino-streams": OpenVinoStreams,
    "onnxruntime": OnnxRuntime,
    "ctranslate2": CTranslate2,
    "torch": Torch,
}


def load(name: str, model: Path, cache: Path, precision: str, threads: int) -> Engine:
    return ENGINES[name](Setting(Source(model, cache), precision, threads))
