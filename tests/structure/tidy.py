#!/usr/bin/env python3
"""Goal: the shape that CONTRIBUTING.md describes cannot rot. Method: source files as text, one function a rule.

    tests/structure/tidy.py [ROOT]      prints one line a finding; the exit status is 1 when there is one
"""

import os
import re
import sys

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
COLUMNS_MAX = {".cc": 100, ".h": 100, ".rs": 100, ".py": 120, ".sh": 130, ".proto": 130, ".cmake": 120, ".txt": 120}
FOLDERS = ("core", "server", "client", "tests", "bench", "proto", "cmake", "scripts", "third_party/tokenizers")
IGNORED = {"build", "target", "__pycache__", "node_modules", "vendor"}

# The include order: a folder may include itself and what stands here, all of it direct or through others.
CORE = ("core/base", "core/tensor", "core/layers", "core/model", "core/batch")
MAY_INCLUDE = {folder: set(CORE[: i + 1]) for i, folder in enumerate(CORE)}
MAY_INCLUDE["core/input"] = {"core/base", "core/input"}
BELOW_SERVER = {*CORE, "core/input", "proto"}
SERVER_FOLDERS = ("represent", "validate", "heads", "auth", "observe", "tls", "rpc")
SERVER = (*(f"server/{folder}" for folder in SERVER_FOLDERS), "server")
MAY_INCLUDE.update({folder: BELOW_SERVER | set(SERVER[: i + 1]) for i, folder in enumerate(SERVER)})
MAY_INCLUDE["client"] = {"client", "proto"}
EVERYTHING = {*BELOW_SERVER, *SERVER, "client", "tests", "bench"}

# Libraries that only one part of the tree may see.
LIBRARIES = [
    ("oneDNN", re.compile(r'[<"](oneapi/dnnl/|dnnl)'), lambda path: path == "core/tensor/onednn.cc"),
    ("gRPC", re.compile(r'[<"]grpc'), lambda path: not path.startswith("core/")),
    ("Prometheus", re.compile(r'[<"]prometheus/'), lambda path: not path.startswith(("core/", "client/"))),
    ("spdlog", re.compile(r'[<"]spdlog/'), lambda path: not path.startswith(("core/", "client/"))),
]
# Where the environment may be read.
GETENV = ("server/config", "client/commands/connection")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"][^>"]+[>"])')
PROTO_HEADER = re.compile(r"\.(grpc\.)?pb\.h$")


def sources(root):
    """Yields (path, text) for every file of ours below `root`."""
    for folder in FOLDERS:
        for directory, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = sorted(set(folders) - IGNORED)
            for name in sorted(names):
                if os.path.splitext(name)[1] not in COLUMNS_MAX:
                    continue
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, root), file.read()


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def folder_of(path):
    """The library that a file belongs to: core/tensor, server/rpc, server, client, proto, tests, bench."""
    if PROTO_HEADER.search(path):
        return "proto"
    two = "/".join(path.split("/")[:2])
    return two if two in MAY_INCLUDE else two.split("/")[0]


def allowed_for(path):
    """Where a file may include from. tests/layers/* may include what core/layers may, and test helpers."""
    folder = folder_of(path)
    if folder != "tests":
        return MAY_INCLUDE.get(folder, EVERYTHING)
    mirrored = path.split("/")[1]
    if mirrored == "client":
        return EVERYTHING
    return MAY_INCLUDE.get("core/" + mirrored, EVERYTHING) | {"tests"}


def blank(text):
    """`text` with comments, strings and characters blanked, so that what is left is code; lines keep their numbers."""
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def check_includes(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        for library, pattern, may in LIBRARIES:
            if pattern.match(name) and not may(path):
                yield number, f"this file may not see {library}: {name}"
        header = name.strip('<>"')
        if name[0] == "<":
            continue
        if "/" not in header:
            yield number, f'include by the full path from the root: "{header}"'
        target = folder_of(header)
        if target in EVERYTHING and target not in allowed_for(path):
            yield number, f"{folder_of(path)} may not include {header}"


def check_size(path, text):
    lines = text.split("\n")
    count = len(lines) - 1
    if count > FILE_LINES_MAX and not path.startswith("third_party"):
        yield 1, f"{count} lines; a file has at most {FILE_LINES_MAX}"
    columns_max = COLUMNS_MAX[os.path.splitext(path)[1]]
    for number, line in enumerate(lines, 1):
        # An address, and a test's literal, stay in one piece.
        whole = "http" in line or (path.startswith("tests/") and is_cpp(path) and '"' in line)
        if len(line) > columns_max and not whole:
            yield number, f"{len(line)} columns; a line has at most {columns_max}"


def check_text(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield number, "trailing white space"
        if "\t" in line:
            yield number, "a tab"
        if re.search(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b", line):
            yield number, "a note to self; open an issue instead"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"


def check_cpp_habits(path, text):
    code = blank(text)
    if path.endswith(".h"):
        first = next((line for line in code.split("\n") if line.strip()), "")
        if first != "#pragma once":
            yield 1, "a header starts with #pragma once"
    # clang-tidy looks for these in a file that is compiled by itself only.
    for match in re.finditer(r"^using (?:::)?(?:\w+::)*(\w+);$", code, re.M):
        if path.endswith(".cc") and not re.search(rf"(?<!::)\b{match.group(1)}\b", code):
            yield code.count("\n", 0, match.start()) + 1, f"nothing here uses {match.group(1)}"
    tested = path.startswith(("tests/", "bench/"))
    for number, line in enumerate(code.split("\n"), 1):
        if re.search(r"\bgetenv\b", line) and not tested and not path.startswith(GETENV):
            yield number, "getenv outside " + " and ".join(f"{name}*" for name in GETENV)
        if re.search(r"\bstd::(recursive_|shared_|timed_)?mutex\b", line) and path != "core/base/mutex.h":
            yield number, "std::mutex is invisible to -Wthread-safety: use core/base/mutex.h"
        if path.startswith("tests/") and re.search(r"\b(sleep_for|sleep_until|SleepFor|u?sleep)\s*\(", line):
            yield number, "a test that sleeps"


FUNCTION = re.compile(r"\)\s*(const|noexcept|override|final|mutable|&&?|\s|->[^;{}]*|:\s[^;]*)*$", re.S)
SCOPE = re.compile(r"(^|\s)(namespace|class|struct|union|enum|extern)\b")


def is_function(head):
    """Whether the text between the last `;`, `{` or `}` and a `{` opens a function."""
    flat = head
    while True:
        shorter = re.sub(r"\([^()]*\)", "", flat)
        if shorter == flat:
            break
        flat = shorter
    if "=" in re.sub(r"operator\s*[=<>!+\-*/|&]+", "operator", flat):
        return False
    return bool(FUNCTION.search(head)) and not re.search(r"(^|\s)namespace\b", flat)


def functions(text):
    """Yields (first line, line count) of every function of a C++ file; a lambda is part of its function."""
    code = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group().count("\n"), blank(text), flags=re.M)
    stack = []
    head_begin = 0
    for match in re.finditer(r"[{};]", code):
        char, at = match.group(), match.start()
        if char == "{":
            head = code[head_begin:at]
            inside = any(kind == "function" for kind, _ in stack)
            kind = "block" if inside else "function" if is_function(head) else "scope"
            begin = head_begin + len(head) - len(head.lstrip())
            stack.append((kind, begin))
        elif char == "}" and stack:
            kind, begin = stack.pop()
            if kind == "function":
                yield code.count("\n", 0, begin) + 1, code.count("\n", begin, at) + 1
        head_begin = match.end()


def check_functions(path, text):
    for number, lines in functions(text):
        if lines > FUNCTION_LINES_MAX:
            yield number, f"a function of {lines} lines; one has at most {FUNCTION_LINES_MAX}"


def has_own_header(path, text):
    """Whether a source file includes a header of its own folder: the one that declares what it defines."""
    headers = [match.group(1).strip('<>"') for match in map(INCLUDE.match, text.split("\n")) if match]
    return any(os.path.dirname(header) == os.path.dirname(path) for header in headers)


# What is compiled as one, folder by folder; and which of it is compiled by itself (CMakeLists.txt of its folder).
TOGETHER = re.compile(r"(core|server|client|tests/golden|tests/support)/.*(?<!_test)(?<!_main)\.cc$")
APART = re.compile(r"core/(model/families/|layers/kernels\.cc|tensor/onednn\.cc)")
UNNAMED = re.compile(r"^namespace \{$.*?^\}  // namespace$", re.M | re.S)
# A definition or declaration in the first column, as clang-format leaves it: a function, or a constant or type.
NAME = re.compile(
    r"^(?:(?!namespace|using|template|return|extern|static_assert|#)[A-Za-z\[][^\n;={}]*?[ &*])(\w+)\("
    r"|^(?:inline |static )*(?:constexpr|const) [^\n=({]*?(\w+)(?:\[[^\]\n]*\])*(?: =|\{|\()"
    r"|^(?:class|struct|union|enum class|enum) (?:\w+\([^)\n]*\) |alignas\(\w+\) )?(\w+)", re.M)
# What may stand in the first column beside those.
OTHER = re.compile(r"[}#]|namespace|template <|static_assert|(using|extern) ")


def names(code):
    """Yields (name, offset) of what is defined or declared in the first column of C++ code without comments."""
    for match in NAME.finditer(code):
        name = next(group for group in match.groups() if group)
        yield name, match.start()


def check_unnamed(files):
    """The files of a folder are compiled as one: what one has in its unnamed namespace and another defines as well, or
    a header declares, would be an error at best, and at worst the other's overload. An alias has no overloads."""
    codes = {path: blank(text) for path, text in files.items() if is_cpp(path)}
    together = [path for path in codes if TOGETHER.match(path) and not APART.match(path)]
    owners = {}
    for path in [*together, *(path for path in codes if path.endswith(".h"))]:
        for name, _ in names(codes[path]):
            owners.setdefault(name, set()).add(path)
    for path in together:
        blocks = list(UNNAMED.finditer(files[path]))
        if len(blocks) != len(re.findall(r"^namespace \{", codes[path], re.M)):
            yield path, 1, "an unnamed namespace ends with }  // namespace"
        for block in blocks:
            code, begin = codes[path][block.start():block.end()], codes[path].count("\n", 0, block.start()) + 1
            named = {code.count("\n", 0, at) for _, at in names(code)}
            for number, line in enumerate(code.split("\n")):
                if line[:1].strip() and number not in named and not OTHER.match(line):
                    yield path, begin + number, f"this check cannot tell the name in: {line.strip()}"
            for name, at in names(code):
                for other in sorted(owners[name] - {path}):
                    visible = other.endswith(".h") and folder_of(other) in allowed_for(path) - {"tests"}
                    if visible or os.path.dirname(other) == os.path.dirname(path):
                        yield path, begin + code.count("\n", 0, at), f"{name} is in {other} as well"


def check_tree(files):
    """Rules about the files together."""
    yield from check_unnamed(files)
    included = {m.group(1).strip('<>"') for text in files.values() for m in map(INCLUDE.match, text.split("\n")) if m}
    for path in files:
        if path.endswith(".h") and path not in included:
            yield path, 1, "nobody includes this header"
        if path.endswith(".cc") and path.startswith(("core/", "server/", "client/")):
            if not path.endswith("_main.cc") and not has_own_header(path, files[path]):
                yield path, 1, "no header in its own folder declares what this file defines"
        if path.endswith("_test.cc") and not re.match(r"\s*//\s*Goal:", files[path]):
            yield path, 1, "a test file opens with its goal and method (// Goal: ... Method: ...)"


def check(root):
    """All findings below `root`, one line each."""
    files = dict(sources(root))
    findings = []
    for path, text in files.items():
        rules = [check_size, check_text]
        if is_cpp(path):
            rules += [check_includes, check_cpp_habits, check_functions]
        findings += [f"{path}:{number}: {what}" for rule in rules for number, what in rule(path, text)]
    cpp = {path: text for path, text in files.items() if is_cpp(path)}
    findings += [f"{path}:{number}: {what}" for path, number, what in check_tree(cpp)]
    return findings, len(files)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    findings, count = check(root)
    print("\n".join(findings + [f"{count} files, {len(findings)} findings"]))
    return 1 if findings or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
