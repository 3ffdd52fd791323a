#!/usr/bin/env python3
"""Goal: whatever is wrong with a model directory, attnd ends at once, with one line that names the file and the reason,
an exit code, little time and little memory. Method: the real program on copies of a small model, each with one thing
wrong; the kernel says what it used.

    malformed_test.py BUILD_FOLDER MODELS_FOLDER
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

BUILD, MODELS = sys.argv[1:3]
MODEL = f"{MODELS}/tiny-bert-mlm"

CPU_SECONDS_MAX = 2
MEMORY_KIB_MAX = 256 * 1024
HANG_SECONDS = 60

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
LENGTH = "sentence_bert_config.json"
INDEX = "model.safetensors.index.json"
WORDS = "bert.embeddings.word_embeddings.weight"


class Run:
    """One attnd on a directory: what it said, how it ended, what it used."""

    def __init__(self, folder):
        command = [f"{BUILD}/server/attnd", "--model", f"broken={folder}", "--listen", "127.0.0.1:0"]
        command += ["--metrics-listen", "", "--log-level", "error", "--workers", "1"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        hang = threading.Timer(HANG_SECONDS, process.kill)
        hang.start()
        self.lines = process.stderr.read().decode().splitlines()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        hang.cancel()
        process.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.memory_kib = usage.ru_maxrss


def read(folder, name):
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


def write(name, content):
    def damage(folder):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    return damage


def remove(name):
    return lambda folder: os.remove(f"{folder}/{name}")


def resize(name, size):
    return lambda folder: os.truncate(f"{folder}/{name}", size)


def both(first, second):
    def damage(folder):
        first(folder)
        second(folder)

    return damage


def fifo(name):
    return both(remove(name), lambda folder: os.mkfifo(f"{folder}/{name}"))


def directory(name):
    return both(remove(name), lambda folder: os.mkdir(f"{folder}/{name}"))


def link(name, target):
    return both(remove(name), lambda folder: os.symlink(target, f"{folder}/{name}"))


def change(name, edit):
    """`edit` changes what the JSON file holds."""

    def damage(folder):
        value = json.loads(read(folder, name))
        edit(value)
        write(name, json.dumps(value))(folder)

    return damage


def update(name, **values):
    return change(name, lambda value: value.update(values))


def header(edit):
    """`edit` changes the header of the weights; the data stays."""

    def damage(folder):
        content = read(folder, WEIGHTS)
        end = 8 + struct.unpack("<Q", content[:8])[0]
        value = json.loads(content[8:end])
        edit(value)
        text = json.dumps(value).encode()
        write(WEIGHTS, struct.pack("<Q", len(text)) + text + content[end:])(folder)

    return damage


def entry(**values):
    return header(lambda value: value[WORDS].update(values))


def header_length(length):
    return lambda folder: write(WEIGHTS, struct.pack("<Q", length) + read(folder, WEIGHTS)[8:])(folder)


def first_number(bits):
    """Of the data."""

    def damage(folder):
        content = bytearray(read(folder, WEIGHTS))
        begin = 8 + struct.unpack("<Q", content[:8])[0]
        content[begin : begin + 4] = struct.pack("<I", bits)
        write(WEIGHTS, bytes(content))(folder)

    return damage


def special_token(**values):
    piece = {"SpecialToken": {"id": "1", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = [piece, text, {"Sequence": {"id": "B", "type_id": 1}}]
    token = {"id": "1", "ids": [1], "tokens": ["1"], **values}
    processor = {"type": "TemplateProcessing", "single": [piece, text], "pair": pair, "special_tokens": {"1": token}}
    return update(TOKENIZER, post_processor=processor)


def vocabulary(edit):
    return change(TOKENIZER, lambda value: edit(value["model"]["vocab"]))


def index(weight_map):
    return both(remove(WEIGHTS), write(INDEX, json.dumps({"weight_map": weight_map})))


def every_file():
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        yield remove(name), name, "not found"
        yield fifo(name), name, "is a FIFO, not a regular file"
        yield directory(name), name, "is a directory, not a regular file"
        yield link(name, "/dev/zero"), name, "leaves the model directory"
        yield link(name, f"../{name}"), name, "leaves the model directory"
        yield link(name, name), name, "follows more than 8 links"
        yield resize(name, 1 << 40), name, "has 1099511627776 bytes; the limit is"
        yield resize(name, 0), name, ""


def configs():
    yield write(CONFIG, "[" * 1_000_000), CONFIG, "is nested deeper than 64"
    yield write(CONFIG, '{"a": 1, "a": 2}'), CONFIG, 'key "a" appears twice'
    yield resize(CONFIG, 100), CONFIG, "is no valid JSON"
    yield update(CONFIG, hidden_size=10**15), CONFIG, "hidden_size is 1000000000000000"
    yield update(CONFIG, num_hidden_layers=257), CONFIG, "num_hidden_layers is 257"
    yield update(CONFIG, vocab_size=-1), CONFIG, "vocab_size is -1"
    yield update(CONFIG, model_type="gpt\n2"), CONFIG, "model_type is gpt\\n2"
    yield update(CONFIG, num_hidden_layers=256), WEIGHTS, "is missing"
    yield update(CONFIG, vocab_size=1 << 24), WEIGHTS, "has shape [48, 16]; [16777216, 16] is wanted"
    yield write("modules.json", '[{"type": "Dense"}]'), "modules.json", "type is Dense"
    yield write(LENGTH, '{"max_seq_length": 0}'), LENGTH, "max_seq_length is 0"
    yield write("config_sentence_transformers.json", "{"), "config_sentence_transformers.json", "is no valid JSON"
    # Of a masked-language model alone.
    yield write("tokenizer_config.json", '{"mask_token": 1}'), "tokenizer_config.json", "mask_token is 1"
    yield write("special_tokens_map.json", '{"mask_token": {}}'), "special_tokens_map.json", "content is missing"
    yield both(write("tokenizer_config.json", ""), fifo("tokenizer_config.json")), "tokenizer_config.json", "is a FIFO"


def weights():
    yield header_length(0), WEIGHTS, "header does not begin with {"
    yield header_length(2**64 - 1), WEIGHTS, "header claims 18446744073709551615 bytes"
    yield both(header_length((8 << 20) + 1), resize(WEIGHTS, 1 << 35)), WEIGHTS, "the limit is 8388608"
    yield write(WEIGHTS, struct.pack("<Q", 8 << 20) + b"{" * (8 << 20)), WEIGHTS, "header is no valid JSON"
    yield entry(shape=[2**62, 16]), WEIGHTS, "a shape whose size overflows"
    yield entry(shape=[48 + 2**58, 16]), WEIGHTS, "a shape whose size overflows"
    yield entry(shape=[1] * 9), WEIGHTS, "more than 8 dimensions"
    yield entry(shape=[1 << 24, 16]), WEIGHTS, "its shape and dtype take 1073741824"
    yield entry(dtype="F33"), WEIGHTS, "unknown dtype F33"
    yield entry(dtype="I32"), WEIGHTS, "has dtype I32"
    yield entry(data_offsets=[0, 64]), WEIGHTS, "has 64 bytes of data"
    yield header(lambda value: value.update({"over": value[WORDS]})), WEIGHTS, "over another tensor"
    yield header(lambda value: value.pop(WORDS)), WEIGHTS, "after a hole"
    yield header(lambda value: value.update({"w": value.pop(WORDS)})), WEIGHTS, "word_embeddings.weight is missing"
    yield first_number(0x7FC00000), WEIGHTS, "holds NaN or Inf"
    yield first_number(0xFF800000), WEIGHTS, "holds NaN or Inf"
    yield index({"w": "../../etc/passwd"}), INDEX, "is no file name without slashes"
    yield index({"w": "gone"}), "gone", "not found"
    yield index({str(i): str(i) for i in range(5000)}), INDEX, "names 5000 shards"


def tokenizers():
    yield resize(TOKENIZER, 300), TOKENIZER, ""
    # Zeros that no disk holds.
    yield resize(TOKENIZER, 64 << 20), TOKENIZER, ""
    yield write(TOKENIZER, "[" * 5_000_000), TOKENIZER, "has 5000000 levels of nesting"
    yield write(TOKENIZER, "[" + "{}," * 200_000 + "{}]"), TOKENIZER, "has 200001 objects"
    yield vocabulary(lambda value: value.clear()), TOKENIZER, ""
    yield vocabulary(lambda value: value.update(more=48)), TOKENIZER, "its largest id 48 is not in the model's"
    yield vocabulary(lambda value: value.update(more=2**32 - 1)), TOKENIZER, "4294967295"
    yield vocabulary(lambda value: value.update(more=-1)), TOKENIZER, ""
    yield change(TOKENIZER, lambda value: value["model"].update(unk_token="none")), TOKENIZER, "Missing [UNK]"
    yield change(TOKENIZER, lambda value: value["model"].update(type="BPE")), TOKENIZER, ""
    yield special_token(ids=[1] * 3), TOKENIZER, "other numbers of ids and tokens"
    yield special_token(ids=[1] * 300, tokens=["1"] * 300), TOKENIZER, "post_processor adds 300 tokens, over 256"
    yield special_token(ids=[48]), TOKENIZER, "its largest id 48 is not in the model's vocabulary"


def truncations():
    for size in range(1024, os.path.getsize(f"{MODEL}/{WEIGHTS}"), 1024):
        yield resize(WEIGHTS, size), WEIGHTS, ""


class MalformedTest(unittest.TestCase):
    def check_all(self, damages):
        for number, (damage, file, reason) in enumerate(damages):
            with self.subTest(f"{number}: {file}: {reason}"), tempfile.TemporaryDirectory() as folder:
                broken = shutil.copytree(MODEL, f"{folder}/model")
                damage(broken)
                run = Run(broken)
                self.assertEqual(run.code, 1, run.lines)
                self.assertEqual(len(run.lines), 1, run.lines)
                self.assertIn(f"attnd cannot start: --model: broken: {file}: ", run.lines[0])
                self.assertIn(reason, run.lines[0])
                self.assertLess(run.cpu_seconds, CPU_SECONDS_MAX)
                self.assertLess(run.memory_kib, MEMORY_KIB_MAX)

    def test_each_file_may_be_anything(self):
        self.check_all(every_file())

    def test_configs(self):
        self.check_all(configs())

    def test_weights(self):
        self.check_all(weights())

    def test_tokenizers(self):
        self.check_all(tokenizers())

    def test_weights_cut_at_each_kibibyte(self):
        self.check_all(truncations())

    def test_the_control_is_served(self):
        """Undamaged, it starts: only the name of the socket's folder is wrong."""
        command = [f"{BUILD}/server/attnd", "--model", f"whole={MODEL}", "--metrics-listen", ""]
        command += ["--listen", "unix:/no/such/folder/socket", "--log-level", "error", "--workers", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("--model", done.stderr)
        self.assertIn("/no/such/folder", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
