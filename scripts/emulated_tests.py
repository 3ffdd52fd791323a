#!/usr/bin/env python3
"""Copies tests of a build, with all that they need, into a folder that becomes the root of an emulated machine.

    emulated_tests.py BUILD_FOLDER REGEX ROOT [FOLDER...]

ROOT gets, at the paths that they have here: the executables of those ctest tests whose name matches REGEX, the
libraries that these load, attnd itself, and each FOLDER; and /run-tests, a shell script that runs the tests one after
another and closes with `N passed, N failed, N skipped`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys


def tests_of(build, pattern):
    """(name, environment, command, status that means skipped) of each test that matches."""
    listing = subprocess.run(
        ["ctest", "--test-dir", build, "--show-only=json-v1", "-R", pattern], check=True, capture_output=True, text=True
    )
    for test in json.loads(listing.stdout)["tests"]:
        properties = {p["name"]: p["value"] for p in test["properties"]}
        yield test["name"], properties.get("ENVIRONMENT", []), test["command"], properties.get("SKIP_RETURN_CODE", -1)


def libraries_of(executable):
    """Absolute paths of what the loader opens for it, the loader included."""
    loaded = subprocess.run(["ldd", executable], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", loaded)


def copy(path, root):
    """One file, at the path by which it is asked for: a link is followed."""
    target = root + path
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(path, target)


def executables_in(command, build):
    return [os.path.abspath(word) for word in command if word.startswith(build + "/") and os.access(word, os.X_OK)]


def script(tests):
    lines = ["passed=0; failed=0; skipped=0"]
    for name, environment, command, skip in tests:
        words = " ".join(shlex.quote(word) for word in ["env", *environment, *command])
        lines.append(f"echo '== {name}'; begin=$(cut -d. -f1 /proc/uptime); {words}; status=$?")
        lines.append("seconds=$(($(cut -d. -f1 /proc/uptime) - begin))")
        lines.append(
            f"if [ $status -eq 0 ]; then passed=$((passed + 1)); echo \"-- {name}: passed, $seconds emulated s\"; "
            f"elif [ $status -eq {skip} ]; then skipped=$((skipped + 1)); echo '-- {name}: skipped'; "
            f"else failed=$((failed + 1)); echo \"-- {name}: FAILED ($status)\"; fi"
        )
    lines.append('echo "$passed passed, $failed failed, $skipped skipped"')
    return "\n".join(lines) + "\n"


def main():
    build, pattern, root, *folders = sys.argv[1:]
    build = os.path.abspath(build)
    tests = list(tests_of(build, pattern))
    if not tests:
        sys.exit(f"emulated_tests.py: error: no test matches {pattern}")
    executables = {e for _, _, command, _ in tests for e in executables_in(command, build)} | {build + "/server/attnd"}
    for executable in sorted(executables):
        copy(executable, root)
        for library in libraries_of(executable):
            copy(library, root)
    for folder in folders:
        shutil.copytree(folder, root + os.path.abspath(folder), dirs_exist_ok=True)
    with open(root + "/run-tests", "w", encoding="utf-8") as file:
        file.write(script(tests))


main()
