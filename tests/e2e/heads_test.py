#!/usr/bin/env python3
"""Goal: a model of every family is served, and every command that people call heads by prints what they can read, and
all of it as JSON. Method: attnd with each small model of the repository, attnctl against it.

    heads_test.py BUILD_FOLDER MODELS_FOLDER
"""

import json
import math
import os
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from running import Attnd

BUILD, MODELS = sys.argv[1:3]

FAMILIES = (
    "bert-a",
    "tiny-roberta-seqcls",
    "tiny-xlmr",
    "tiny-distilbert-seqcls",
    "tiny-mpnet",
    "tiny-modernbert-seqcls",
    "tiny-t5enc",
)
# The tiny models' words are numbers.
TEXT = "11 12 13"


def served(name):
    return Attnd(BUILD, f"small={MODELS}/{name}")


class HeadsTest(unittest.TestCase):
    def call(self, attnd, *arguments):
        code, output, error = attnd.attnctl(*arguments)
        self.assertEqual((code, error), (0, ""), (arguments, output))
        return output

    def lines(self, attnd, *arguments):
        return [json.loads(line) for line in self.call(attnd, *arguments, "--json").splitlines()]

    def test_every_family_encodes_and_shows_its_attention(self):
        for name in FAMILIES:
            with self.subTest(name), served(name) as attnd, tempfile.TemporaryDirectory() as folder:
                self.assertIn("pooled", self.call(attnd, "encode", TEXT))
                picture = os.path.join(folder, "map.svg")
                self.call(attnd, "attention", "--text", TEXT, "--svg", picture)
                self.assertTrue(xml.etree.ElementTree.parse(picture).getroot().tag.endswith("svg"))
                [map_] = self.lines(attnd, "attention", "--text", TEXT, "--layer", "1", "--head", "0")
                tokens = len(map_["tokens"])
                self.assertEqual(len(map_["weights"]), tokens)
                for row in map_["weights"]:
                    self.assertEqual(len(row), tokens)
                    self.assertAlmostEqual(sum(row), 1, places=4)
                self.assertEqual(attnd.stop(), 0)

    def test_classify_scores_are_the_softmax_of_the_logits_alone_and_in_company(self):
        for name in ("tiny-bert-seqcls", "tiny-roberta-seqcls", "tiny-distilbert-seqcls", "tiny-modernbert-seqcls"):
            with self.subTest(name), served(name) as attnd:
                labels = self.lines(attnd, "classify", "--logits", TEXT)[0]["labels"]
                self.assertEqual(labels, sorted(labels, key=lambda label: -label["score"]))
                exponentials = [math.exp(label["logit"]) for label in labels]
                for label, exponential in zip(labels, exponentials):
                    self.assertAlmostEqual(label["score"], exponential / sum(exponentials), places=5)
                    self.assertIn(label["label"], self.call(attnd, "classify", TEXT))
                together = self.lines(attnd, "classify", "--logits", *["14", TEXT, "15 16 17 18"] * 4)
                self.assertEqual(together[7]["labels"], labels)

    def test_classify_tokens_answers_with_spans_of_the_text(self):
        with served("tiny-bert-tokcls") as attnd:
            [answer] = self.lines(attnd, "classify", "--tokens", "--keep-all", TEXT)
            self.assertGreater(len(answer["spans"]), 0)
            for span in answer["spans"]:
                self.assertEqual(span["text"], TEXT[span["start"] : span["end"]])
            self.call(attnd, "classify", "--tokens", "--keep-all", TEXT)

    def test_answer_is_a_part_of_the_context_however_long(self):
        context = "11 12 13 " * 40
        with served("tiny-bert-qa") as attnd:
            [question] = self.lines(attnd, "answer", "14 15", "--context", context, "--top-k", "3")
            self.assertGreater(question["window_count"], 1)
            self.assertEqual(len(question["answers"]), 3)
            for answer in question["answers"]:
                self.assertEqual(answer["text"], context[answer["start"] : answer["end"]])

    def test_fill_mask_gives_the_best_of_the_vocabulary(self):
        with tempfile.TemporaryDirectory() as folder:
            model = shutil.copytree(f"{MODELS}/tiny-bert-mlm", f"{folder}/mlm")
            with open(f"{model}/special_tokens_map.json", "w", encoding="ascii") as file:
                json.dump({"mask_token": "9"}, file)
            with Attnd(BUILD, f"small={model}") as attnd:
                [filled] = self.lines(attnd, "fill-mask", "11 9 12", "--top-k", "4")
                [mask] = filled["masks"]
                scores = [candidate["score"] for candidate in mask["candidates"]]
                self.assertEqual((len(scores), scores), (4, sorted(scores, reverse=True)))
                self.assertIn(mask["candidates"][0]["text"], self.call(attnd, "fill-mask", "11 9 12"))

    def test_tokenize_goes_both_ways(self):
        with served("bert-a") as attnd:
            [tokenized] = self.lines(attnd, "tokenize", "the cat sat")
            self.assertEqual(len(tokenized["ids"]), len(tokenized["tokens"]))
            ids = " ".join(map(str, tokenized["ids"]))
            self.assertEqual(self.call(attnd, "tokenize", "--decode", ids), "the cat sat\n")

    def test_similarity_of_a_text_with_itself_is_1(self):
        with served("bert-a") as attnd:
            rows = self.lines(attnd, "similarity", "the cat", "a dog")
            self.assertAlmostEqual(rows[0]["similarities"][0], 1, places=5)
            self.assertAlmostEqual(rows[0]["similarities"][1], rows[1]["similarities"][0], places=5)

    def test_what_a_model_cannot_do_it_refuses_by_what_it_can(self):
        with served("tiny-bert-seqcls") as attnd:
            for command in (("fill-mask", "9"), ("answer", "9", "--context", "8"), ("classify", "--tokens", "9")):
                code, _, error = attnd.attnctl(*command)
                self.assertEqual(code, 1, command)
                self.assertIn("FAILED_PRECONDITION", error)
                self.assertIn("Classify", error)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
