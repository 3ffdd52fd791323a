#!/usr/bin/env python3
"""Goal: bench/peers tells what was measured, and its workers keep the protocol. Method: results made by hand, workers
of a few lines, and attnd_engine on a tiny model.

    peers_test.py ATTND_ENGINE MODEL_DIR
"""

import json
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from peers import plot, report  # noqa: E402
from peers.process import EngineError, Worker  # noqa: E402


def cell(engine, workload, arrangement, *turns):
    medians = [report.median(turn) for turn in turns]
    seconds = report.median(medians)
    return {
        "engine": engine, "workload": workload, "arrangement": arrangement, "turns": [list(turn) for turn in turns],
        "tokens": 100, "operations": 1e9, "median_seconds": seconds, "min_seconds": min(min(t) for t in turns),
        "tokens_per_second": 100 / seconds,
    }


def results(cells, **group):
    described = {"model": "minilm", "precision": "f32", "threads": 2, "workloads": ["w1_16", "w3"],
                 "arrangements": ["naive", "tok"], "busy": 0} | group
    engine = {"version": "1", "notes": "none", "min_cosine": 1.0, "max_difference": 0.0, "peak_mebibytes": 9}
    engines = {c["engine"]: engine for c in cells}
    roof = {"threads": 2, "gemm_f32": {"rate": 4e9, "how": "so"}, "dot_bf16": None}
    return {
        "cpu": {"name": "A CPU", "cores": 2, "flags": ["avx2"]}, "isa": "native", "date": "2026-01-01", "commit": "c",
        "command": "run", "passes": 2, "left_out": [], "roofs": [roof],
        "groups": [{"group": described, "cells": cells, "engines": engines, "left_out": [], "roof": roof,
                    "disturbance": {"others": 0.25, "stolen": 0.0}}],
    }


CELLS = [
    cell("attnd", "w1_16", "whole", [1.0], [1.0]), cell("openvino", "w1_16", "whole", [2.0], [4.0]),
    cell("attnd", "w3", "whole", [1.0], [2.0]),
    cell("openvino", "w3", "naive", [6.0], [6.0]), cell("openvino", "w3", "tok", [3.0], [3.0]),
    cell("torch", "w3", "naive", [5.0], [7.0]), cell("torch", "w3", "tok", [4.0], [4.0]),
]


class ReportTest(unittest.TestCase):
    def compared(self, cells=CELLS):
        return {row["workload"]: row for row in report.comparisons(results(cells)["groups"][0])}

    def test_the_best_peer_is_the_fastest_in_any_arrangement(self):
        peer = self.compared()["w3"]["peer"]
        self.assertEqual(("openvino", "tok"), (peer["engine"], peer["arrangement"]))

    def test_batches_of_arrival_are_compared_by_themselves(self):
        row = self.compared()["w3, naive"]
        self.assertEqual("naive", row["peer"]["arrangement"])
        self.assertAlmostEqual(4.0, row["ratio"]["medians"])

    def test_the_ratio_is_of_medians_with_the_range_of_turns(self):
        ratio = self.compared()["w3"]["ratio"]
        self.assertAlmostEqual(2.0, ratio["medians"])
        self.assertAlmostEqual(3.0, ratio["minima"])
        self.assertAlmostEqual(1.5, ratio["least"])
        self.assertAlmostEqual(3.0, ratio["most"])

    def test_a_precision_that_attnd_lacks_shows_the_peers_alone(self):
        page = report.markdown(results([c for c in CELLS if c["engine"] != "attnd"]), "p.svg")
        self.assertIn("| minilm | f32 | 2 | w1_16 | openvino | – | 33.3 | – | – | – | – |", page)

    def test_the_share_of_the_roof_is_operations_over_time_and_rate(self):
        page = report.markdown(results(CELLS), "p.svg")
        self.assertIn("| w1_16 | openvino | 100 | 33.3 | **3.00** | 2.00 | 2.00–4.00 | 25 % |", page)

    def test_a_server_is_held_against_its_own_engine(self):
        servers = {"model": "minilm", "precision": "f32", "threads": 2}
        self.assertAlmostEqual(100 / 1.5, report.engine_rate(results(CELLS), "attnd", servers))
        self.assertAlmostEqual(100 / 4, report.engine_rate(results(CELLS), "torch", servers))
        self.assertIsNone(report.engine_rate(results(CELLS), "torch", servers | {"threads": 1}))

    def test_the_section_is_replaced_and_the_rest_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "RESULTS.md"
            page.write_text("# Results\n\nbefore\n", encoding="utf-8")
            report.put_section(page, f"{report.BEGIN}\nold\n{report.END}\n")
            page.write_text(page.read_text(encoding="utf-8") + "\nafter\n", encoding="utf-8")
            report.put_section(page, f"{report.BEGIN}\nnew\n{report.END}\n")
            expected = f"# Results\n\nbefore\n\n{report.BEGIN}\nnew\n{report.END}\n\nafter\n"
            self.assertEqual(expected, page.read_text(encoding="utf-8"))

    def test_the_picture_has_a_bar_for_each_engine_of_each_workload(self):
        picture = ElementTree.fromstring(plot.svg(results(CELLS)))
        bars = [e.get("fill") for e in picture if e.tag.endswith("rect")]
        self.assertEqual(1 + 2, bars.count(plot.COLORS["openvino"]))  # The first is in the legend.
        self.assertEqual(1 + 1, bars.count(plot.COLORS["torch"]))


class WorkerTest(unittest.TestCase):
    def worker(self, program):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        worker = Worker("fake", [sys.executable, "-c", program], {}, Path(folder.name) / "log")
        self.addCleanup(worker.stop)
        return worker

    def test_an_answer_belongs_to_the_line_before_it(self):
        worker = self.worker("import json\nprint('{\"version\": \"7\"}', flush=True)\n"
                             "while True: print(json.dumps({'line': input()}), flush=True)")
        self.assertEqual("7", worker.greeting["version"])
        self.assertEqual({"line": "pass w3/tok 2"}, worker.ask("pass", "w3/tok", 2))
        worker.settle()

    def test_an_engine_that_cannot_load_says_why(self):
        with self.assertRaisesRegex(EngineError, "fake: no such precision"):
            self.worker("print('{\"error\": \"no such precision\"}')")

    def test_an_engine_that_dies_names_its_log(self):
        worker = self.worker("print('{}', flush=True); input()")
        with self.assertRaisesRegex(EngineError, "fake ended; see .*log"):
            worker.ask("pass", "w3", 1)


class AttndEngineTest(unittest.TestCase):
    engine = model = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.worker = Worker("attnd", [self.engine, "--model", self.model, "--threads", "2"], {}, self.folder / "log")
        self.addCleanup(self.worker.stop)

    def give(self, text):
        (self.folder / "ids").write_text(text, encoding="ascii")
        return self.worker.ask("workload", "w", self.folder / "ids")

    def states(self):
        self.worker.ask("states", "w", self.folder / "states")
        data = (self.folder / "states").read_bytes()
        return struct.unpack(f"<{len(data) // 4}f", data)

    def test_passes_are_timed_one_by_one(self):
        self.give("1 2 3\n4 5\n")
        seconds = self.worker.ask("pass", "w", 3)["seconds"]
        self.assertEqual(3, len(seconds))
        self.assertTrue(all(s > 0 for s in seconds))

    def test_states_come_in_the_order_of_the_sequences_whatever_the_batches(self):
        config = json.loads((Path(self.model) / "config.json").read_text(encoding="utf-8"))
        self.give("1 2 3\n\n4 5\n")
        both = self.states()
        self.assertEqual(5 * config["hidden_size"], len(both))
        self.give("1 2 3\n")
        first = self.states()
        self.assertEqual(first, both[: len(first)])

    def test_bad_input_is_refused_by_name(self):
        with self.assertRaisesRegex(EngineError, "no id 99999999 in the vocabulary"):
            self.give("1 99999999\n")
        with self.assertRaisesRegex(EngineError, 'no workload "x" was given'):
            self.worker.ask("pass", "x", 1)

    def test_a_precision_that_attnd_does_not_have_is_refused(self):
        done = subprocess.run([self.engine, "--model", self.model, "--precision", "f8"],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("f8", json.loads(done.stdout)["error"])


if __name__ == "__main__":
    AttndEngineTest.engine, AttndEngineTest.model = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
