"""A gRPC server around a peer engine, as a careful user would write it in Python. It speaks
attnd.v1's Encode and gives pooled replies.

    python -m peers.reference_server ENGINE --model DIR --cache DIR --descriptors FILE --port N
                                     [--precision f32|bf16|int8] [--threads N]

One thread computes. It takes everything that waits, tokenizes it, sorts it by length, and runs
batches of at most 1,024 padded tokens; each request is answered as soon as its batch is done.
"""

import argparse
import asyncio
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tokenizers import Tokenizer

from . import workloads
from .engines import ENGINES, Engine, load

SERVICE, METHOD = "attnd.v1.EncoderService", "Encode"
FLOAT32 = 1  # attnd.v1.DataType


@dataclass
class Waiting:
    """A request in the queue."""

    text: str
    answer: asyncio.Future
    since: float


@dataclass(frozen=True)
class Result:
    vector: np.ndarray  # f32 [hidden], scaled to length 1
    tokens: int
    queue_seconds: float
    compute_seconds: float


class Batcher:
    """The queue and the thread that computes."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.engine, self.tokenizer, self.loop = engine, tokenizer, loop
        self.waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def encode(self, text: str) -> Result:
        answer = self.loop.create_future()
        self.waiting.put(Waiting(text, answer, time.monotonic()))
        return await answer

    def _work(self) -> None:
        while True:
            for batch, sequences in self._batches(self._take_all()):
                try:
                    outcome: list[Result] | Exception = self._compute(batch, sequences)
                except Exception as error:  # Whatever it is, the callers must not wait for ever.
                    outcome = error
                self.loop.call_soon_threadsafe(resolve, batch, outcome)

    def _take_all(self) -> list[Waiting]:
        items = [self.waiting.get()]
        while not self.waiting.empty():
            items.append(self.waiting.get())
        return items

    def _batches(
        self, items: list[Waiting]
    ) -> list[tuple[list[Waiting], list[workloads.Sequence]]]:
        encodings = self.tokenizer.encode_batch([item.text for item in items])
        sequences = [np.array(encoding.ids, np.int64) for encoding in encodings]
        order = sorted(range(len(items)), key=lambda i: -len(sequences[i]))
        cut = workloads.cut_by_tokens([sequences[i] for i in order], workloads.BATCH_PADDED_TOKENS)
        places = iter(order)
        return [([items[next(places)] for _ in batch], batch) for batch in cut]

    def _compute(self, batch: list[Waiting], sequences: list[workloads.Sequence]) -> list[Result]:
        begin = time.monotonic()
        padded = workloads.pad(sequences)
        mask = padded.mask[:, :, None].astype(np.float32)
        vectors = (self.engine.states(padded) * mask).sum(axis=1) / mask.sum(axis=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        seconds = time.monotonic() - begin
        return [
            Result(vector, len(sequence), begin - item.since, seconds)
            for item, sequence, vector in zip(batch, sequences, vectors, strict=True)
        ]


def resolve(batch: list[Waiting], outcome: list[Result] | Exception) -> None:
    for i, item in enumerate(batch):
        if item.answer.cancelled():
            continue
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome[i])


def message_classes(descriptors: Path) -> tuple[Any, Any]:
    """EncodeRequest and EncodeResponse, from what `protoc --descriptor_set_out` wrote."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    for file in files.file:
        pool.Add(file)
    names = ("attnd.v1.EncodeRequest", "attnd.v1.EncodeResponse")
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(n)) for n in names
    )
    return request, response


def fill(encoding: Any, result: Result) -> None:
    encoding.token_count = result.tokens
    encoding.pooled.dtype = FLOAT32
    encoding.pooled.shape.append(len(result.vector))
    encoding.pooled.data = result.vector.astype("<f4").tobytes()
    encoding.timings.queue_seconds = result.queue_seconds
    encoding.timings.compute_seconds = result.compute_seconds


async def serve(arguments: argparse.Namespace) -> None:
    engine = load(
        arguments.engine, arguments.model, arguments.cache, arguments.precision, arguments.threads
    )
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.no_padding()
    batcher = Batcher(engine, tokenizer, asyncio.get_running_loop())
    request_class, response_class = message_classes(arguments.descriptors)

    async def encode(request: Any, context: grpc.aio.ServicerContext) -> Any:
        results = await asyncio.gather(*(batcher.encode(i.text) for i in request.inputs))
        response = response_class()
        for i, result in enumerate(results):
            fill(response.encodings.add(input_index=i), result)
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        encode, request_class.FromString, lambda response: response.SerializeToString()
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
    )
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--descriptors", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
