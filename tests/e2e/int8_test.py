#!/usr/bin/env python3
"""Goal: a model served in int8 says what that costs, keeps to it, and is refused where it does not keep to what its
operator asks for. Method: the default model, served in f32 and in int8 by processes, and what attnctl prints of both.
Needs ATTND_MODEL.

    int8_test.py BUILD_FOLDER
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

from running import START_SECONDS_MAX, Attnd

BUILD = sys.argv[1]
MODEL = os.environ.get("ATTND_MODEL", "")

# The default of --accuracy-min; here over texts that the model was not calibrated on, too.
COSINE_MIN = 0.99
TEXTS = [
    "The lighthouse keeper counted nine ships before breakfast.",
    "how to descale a kettle",
    "Die Rechnung ist seit drei Wochen offen.",
    "File \"main.py\", line 12: IndexError: list index out of range",
    "ok",
]


def cosine(a, b):
    return sum(map(float.__mul__, a, b)) / math.hypot(*a) / math.hypot(*b)


class Int8Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not MODEL:
            raise RuntimeError("ATTND_MODEL is not set: ATTND_MODEL=$(scripts/get-model.sh)")

    def model(self, attnd):
        code, output, error = attnd.attnctl("models", "--json")
        self.assertEqual((code, error), (0, ""))
        return json.loads(output)

    def pooled(self, attnd):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
        code, output, error = attnd.attnctl("encode", "--jsonl", text=lines)
        self.assertEqual((code, error), (0, ""))
        return [json.loads(line)["pooled"] for line in output.splitlines()]

    def test_int8_is_near_f32_and_says_how_near(self):
        with Attnd(BUILD, f"mini={MODEL}") as attnd:
            f32, vectors = self.model(attnd), self.pooled(attnd)
        self.assertEqual(f32["dtype"], "f32")
        self.assertNotIn("accuracy", f32)
        with Attnd(BUILD, f"mini={MODEL}", "--precision", "int8") as attnd:
            int8, near = self.model(attnd), self.pooled(attnd)
            self.assertIn("compute     int8 on ", attnd.attnctl("models")[1])
            self.assertEqual(attnd.stop(), 0)
        self.assertEqual(int8["dtype"], "int8")
        self.assertNotEqual(int8["version"], f32["version"])
        accuracy = int8["accuracy"]
        self.assertEqual(accuracy["texts"], 40)
        self.assertGreaterEqual(accuracy["cosine_min"], COSINE_MIN)
        self.assertGreaterEqual(accuracy["cosine_mean"], accuracy["cosine_min"])
        self.assertLess(accuracy["cosine_mean"], 1)
        self.assertGreaterEqual(accuracy["ranking_agreement"], 0.97)
        self.assertNotEqual(accuracy["worst_text"], "")
        self.assertIn("40 calibration texts", "".join(attnd.log))
        self.assertEqual(len(near), len(TEXTS))
        for text, a, b in zip(TEXTS, vectors, near):
            self.assertGreaterEqual(cosine(a, b), COSINE_MIN, text)
            self.assertNotEqual(a, b, text)

    def test_texts_of_a_file_are_named_by_line_and_stay_out_of_sight(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write("canary one\n\ncanary two sang\ncanary three and four\n")
            file.flush()
            texts = ["--precision", "int8", "--calibration-texts", file.name]
            with Attnd(BUILD, f"mini={MODEL}", *texts) as attnd:
                accuracy = self.model(attnd)["accuracy"]
            self.assertEqual(accuracy["texts"], 3)
            self.assertIn(accuracy["worst_text"], ("line 1", "line 3", "line 4"))
            log = "".join(attnd.log)
            self.assertIn(f"{accuracy['worst_text']} of {file.name}", log)
            self.assertNotIn("canary", log)

    def test_a_model_that_is_too_far_from_f32_does_not_start(self):
        command = [f"{BUILD}/server/attnd", "--model", f"mini={MODEL}", "--listen", "127.0.0.1:0"]
        command += ["--metrics-listen", "", "--model-precision", "mini=int8", "--accuracy-min", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS_MAX, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(
            done.stderr.splitlines()[-1],
            r"--model: mini: --accuracy-min: in int8 the vector of built-in calibration text \d+ \(\".+\"\) "
            r"has a cosine of 0\.\d+ to that in f32, below 1$",
        )


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
