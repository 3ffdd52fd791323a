#!/usr/bin/env python3
"""Goal: the programs that people run do what the README says. Method: attnd as a process with the small model of the
repository, attnctl as a process against it, and what both print.

    e2e_test.py BUILD_FOLDER MODEL_DIRECTORY
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from running import Attnd

BUILD, MODEL = sys.argv[1:3]

LINES = [
    {"id": "first", "text": "a b c"},
    {"text": "a b c", "text_pair": "d e"},
    {"id": 3, "ids": [1, 2, 3, 4]},
]


class EndToEndTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.attnd = Attnd(BUILD, f"small={MODEL}").__enter__()
        cls.addClassCleanup(cls.attnd.__exit__)

    def succeed(self, *arguments, text=""):
        code, output, error = self.attnd.attnctl(*arguments, text=text)
        self.assertEqual((code, error), (0, ""), (arguments, output))
        return output

    def jsonl(self, lines, *arguments, code=0):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        got, output, error = self.attnd.attnctl("encode", "--jsonl", *arguments, text=text)
        self.assertEqual(got, code, error)
        return [json.loads(line) for line in output.splitlines()]

    def test_health_says_serving(self):
        self.assertEqual(self.succeed("health"), "SERVING\n")
        self.assertEqual(self.succeed("health", "--service", "attnd.v1.EncoderService"), "SERVING\n")

    def test_models_names_the_model(self):
        self.assertIn("small", self.succeed("models"))

    def test_jsonl_answers_each_line_in_order(self):
        answers = self.jsonl(LINES, "--vectors")
        self.assertEqual([answer.get("id") for answer in answers], ["first", None, 3])
        self.assertEqual(answers[2]["ids"], [1, 2, 3, 4])
        for answer in answers:
            tokens = len(answer["ids"])
            self.assertEqual(len(answer["tokens"]), tokens)
            self.assertEqual(len(answer["vectors"]), tokens)
            self.assertFalse(answer["truncated"])
            self.assertTrue(all(map(math.isfinite, answer["pooled"])))

    def test_a_line_alone_has_the_bits_that_it_has_in_company(self):
        together = self.jsonl(LINES * 20, "--vectors")
        for i, line in enumerate(LINES):
            self.assertEqual(self.jsonl([line], "--vectors"), [together[i]])
            self.assertEqual(together[i], together[i + 19 * len(LINES)])

    def test_one_bad_line_fails_itself_alone(self):
        answers = self.jsonl([LINES[0], {"ids": [2**30]}, {"nothing": 1}, LINES[0]], code=1)
        self.assertEqual(["error" in answer for answer in answers], [False, True, True, False])
        self.assertEqual(answers[0], answers[3])

    def test_attend_returns_the_average_of_equal_keys(self):
        request = {"query": [[[[1.0]]]], "key": [[[[1.0], [1.0]]]], "value": [[[[2.0], [4.0]]]]}
        reply = json.loads(self.succeed("attend", text=json.dumps(request)))
        self.assertEqual(reply["output"], [[[[3.0]]]])

    def test_metrics_count_what_was_sent(self):
        before = self.attnd.metrics()
        self.succeed("encode", "one", "two")
        after = self.attnd.metrics()
        # attnctl sends each text as a request of its own over one stream.
        for name in (
            'attnd_requests_total{code="OK",method="EncodeStream",model="small"}',
            'attnd_compute_duration_seconds_count{model="small"}',
        ):
            self.assertEqual(after[name] - before[name], 2, name)

    def test_load_sends_and_reports(self):
        report = json.loads(self.succeed("load", "--json", "--rate", "50", "--duration", "1", "--warmup", "0"))
        self.assertGreater(report["sent"], 0)
        self.assertEqual(report["failed"], 0)
        self.assertEqual(report["answered"], report["sent"])


class StartAndStopTest(unittest.TestCase):
    def test_sigterm_ends_with_0_and_says_that_nothing_was_lost(self):
        with Attnd(BUILD, MODEL) as attnd:
            self.assertEqual(attnd.attnctl("encode", "a text")[0], 0)
            self.assertEqual(attnd.stop(), 0)
        self.assertIn("everything accepted was answered", "".join(attnd.log))

    def test_two_models_are_served_side_by_side(self):
        more = ["--model", f"other={MODEL}", "--model-weight", "other=3", "--result-cache-bytes", "1000000"]
        with Attnd(BUILD, f"small={MODEL}", *more) as attnd:
            code, output, error = attnd.attnctl("models")
            self.assertEqual((code, error), (0, ""))
            self.assertIn("small", output)
            self.assertIn("other", output)
            for service in ("models/small", "models/other"):
                self.assertEqual(attnd.attnctl("health", "--service", service)[1], "SERVING\n")
            answers = [attnd.attnctl("encode", *model, "--jsonl", text='{"text": "a b c"}\n')[1]
                       for model in ([], ["--model", "small"], ["--model", "other"])]
            self.assertEqual(answers[0], answers[1])
            self.assertEqual(answers[0], answers[2])
            code, _, error = attnd.attnctl("encode", "--model", "third", "a")
            self.assertNotEqual(code, 0)
            self.assertIn("other", error)
            after = attnd.metrics()
            # One directory under two names: computed once, and kept.
            self.assertEqual(after['attnd_compute_duration_seconds_count{model="small"}'], 1)
            self.assertEqual(after['attnd_compute_duration_seconds_count{model="other"}'], 0)
            self.assertEqual(after['attnd_result_cache_hits_total{model="other"}'], 1)
            self.assertEqual(attnd.stop(), 0)

    def test_payloads_stay_out_of_the_log(self):
        with Attnd(BUILD, MODEL, "--log-level", "debug") as attnd:
            attnd.attnctl("encode", "--jsonl", text='{"text": "canary canary"}\n{"ids": [99999999]}\n{"text": 1}\n')
            attnd.stop()
        self.assertNotIn("canary", "".join(attnd.log))

    def test_json_logs_are_json_lines(self):
        with Attnd(BUILD, MODEL, "--log-format", "json") as attnd:
            attnd.stop()
        self.assertGreater(len(attnd.log), 3)
        for line in attnd.log:
            self.assertEqual(set(json.loads(line)), {"time", "level", "message"})

    def refused(self, *arguments):
        command = [f"{BUILD}/server/attnd", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0, done)
        return done.stderr

    def test_what_cannot_start_says_why_and_fails(self):
        self.assertIn("/no/such/folder", self.refused("--model", "/no/such/folder"))
        self.assertIn("insecure", self.refused("--model", MODEL, "--listen", "0.0.0.0:0"))
        self.assertIn("--workers", self.refused("--model", MODEL, "--workers", "-1"))
        f16 = self.refused("--model", MODEL, "--precision", "f16")
        self.assertIn("--precision", f16)
        self.assertIn("int8", f16)
        texts = ["--calibration-texts", "/no/such/file"]
        for check in ([], ["--check-config"]):
            self.assertIn(": ".join(texts), self.refused("--model", MODEL, *texts, *check))

    def test_bf16_is_served_where_the_cpu_computes_it_and_refused_elsewhere(self):
        with Attnd(BUILD, MODEL) as attnd:
            isa = json.loads(attnd.attnctl("models", "--json")[1])["isa"]
        if not any(part in isa for part in ("bf16", "fp16", "amx")):
            for check in ([], ["--check-config"]):
                error = self.refused("--model", MODEL, "--precision", "bf16", *check)
                self.assertIn("--precision: bf16 needs AVX-512 BF16", error)
                self.assertIn(isa, error)
            return
        with Attnd(BUILD, MODEL, "--precision", "bf16") as attnd:
            model = json.loads(attnd.attnctl("models", "--json")[1])
        self.assertEqual(model["dtype"], "bf16")
        self.assertGreater(model["accuracy"]["cosine_min"], 0.999)

    def test_check_config_looks_at_the_model_directory_without_starting(self):
        command = [f"{BUILD}/server/attnd", "--check-config", "--model"]
        done = subprocess.run([*command, MODEL], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("batch-tokens=4096", done.stdout)
        self.assertIn("/no/such/folder", self.refused("--check-config", "--model", "/no/such/folder"))
        for name, content in {
            "config.json": "{",
            "tokenizer.json": "{}",
            "model.safetensors": "too short",
            "model.safetensors (cut)": None,
        }.items():
            with tempfile.TemporaryDirectory() as folder, self.subTest(name):
                broken = shutil.copytree(MODEL, f"{folder}/broken")
                file = name.split()[0]
                if content is None:
                    os.truncate(f"{broken}/{file}", os.path.getsize(f"{broken}/{file}") - 1)
                else:
                    with open(f"{broken}/{file}", "w", encoding="ascii") as out:
                        out.write(content)
                self.assertIn(f"attnd: --model: broken: {file}: ", self.refused("--check-config", "--model", broken))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
