#!/usr/bin/env python3
"""Goal: API keys work for the programs that people run, as the README says. Method: attnd as a process with a key file
that is made with the README's commands, attnctl as a process with a right key, a wrong one and none.

    keys_test.py BUILD_FOLDER MODEL_DIRECTORY
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from running import Attnd

BUILD, MODEL = sys.argv[1:3]


def shell(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


class KeysTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.key = shell("openssl rand -hex 32").strip()
        digest = shell(f"printf %s {cls.key} | sha256sum").split()[0]
        cls.keys = os.path.join(folder.name, "keys.json")
        cls.write({"callers": [{"name": "search", "key_sha256": [digest], "requests_in_flight_max": 8}]})
        cls.attnd = Attnd(BUILD, f"small={MODEL}", "--api-keys", cls.keys, "--log-level", "debug").__enter__()
        cls.addClassCleanup(cls.attnd.__exit__)

    @classmethod
    def write(cls, content):
        with open(cls.keys, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.chmod(cls.keys, 0o600)

    def attnctl(self, *arguments, key=None, key_file=None):
        environment = {name: value for name, value in os.environ.items() if name != "ATTND_API_KEY"}
        if key is not None:
            environment["ATTND_API_KEY"] = key
        flags = [] if key_file is None else ["--api-key-file", key_file]
        command = [self.attnd.attnctl_path, arguments[0], "--target", self.attnd.target, *flags, *arguments[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_commands_work_with_a_key_and_not_without(self):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(self.key + "\n")
            file.flush()
            for command in [("encode", "a b c"), ("models",), ("load", "--concurrency", "2", "--duration", "0.1")]:
                self.assertEqual(self.attnctl(*command, key=self.key)[0], 0, command)
                self.assertEqual(self.attnctl(*command, key_file=file.name)[0], 0, command)
        for key in [None, "wrong", self.key[:-1], self.key + "0"]:
            code, output, error = self.attnctl("encode", "a b c", key=key)
            self.assertEqual((code, output), (1, ""), key)
            self.assertIn("UNAUTHENTICATED (UNAUTHENTICATED): a valid API key is needed", error)

    def test_health_needs_no_key(self):
        self.assertEqual(self.attnctl("health")[:2], (0, "SERVING\n"))

    def test_metrics_count_what_was_denied(self):
        before = self.attnd.metrics()['attnd_calls_denied_total{reason="missing"}']
        self.attnctl("models")
        self.assertEqual(self.attnd.metrics()['attnd_calls_denied_total{reason="missing"}'], before + 1)

    def test_the_process_leaves_no_core_file_and_no_key_in_its_log(self):
        with open(f"/proc/{self.attnd.process.pid}/limits", encoding="ascii") as limits:
            core = next(line for line in limits if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"])
        self.attnctl("encode", "a b c", key=self.key)
        self.attnctl("encode", "a b c", key=self.key[:-1])
        log = "".join(self.attnd.log)
        self.assertIn("api keys: those of 1 callers are valid", log)
        self.assertNotIn(self.key[:-1], log)

    def test_a_bad_file_is_told_before_anything_is_served(self):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write('{"callers": [{"name": "a", "key_sha256": ["the key itself"]}]}')
            file.flush()
            for flags, code in [(["--check-config"], 2), ([], 1)]:
                command = [f"{BUILD}/server/attnd", "--model", MODEL, "--api-keys", file.name, *flags]
                done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, code)
                self.assertIn(f"--api-keys: {file.name}: callers[0].key_sha256[0]: 64 hexadecimal", done.stderr)
                self.assertNotIn("the key itself", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
