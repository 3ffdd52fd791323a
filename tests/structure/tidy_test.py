#!/usr/bin/env python3
"""Goal: every rule of tidy.py fires, and fires only where it should. Method: small trees in a temporary folder."""

import os
import tempfile
import unittest

import tidy

GOOD = {
    "core/base/check.h": "#pragma once\n\nint Check();\n",
    "core/base/check.cc": '#include "core/base/check.h"\n\n#include <mutex>\n\nint Check() { return 1; }\n',
    "server/config.cc": '#include "server/config.h"\n\nconst char* Home() { return getenv("HOME"); }\n',
    "server/config.h": '#pragma once\n\n#include "core/base/check.h"\n',
    "tests/base/check_test.cc": '// Goal: one. Method: one.\n#include "core/base/check.h"\n',
}


def findings(**changes):
    """What tidy says about GOOD with files added or replaced; `__` stands for `/` and a last `_cc` for `.cc`."""
    tree = dict(GOOD)
    for name, text in changes.items():
        stem, extension = name.rsplit("_", 1)
        tree[stem.replace("__", "/") + "." + extension] = text
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return tidy.check(root)[0]


class TidyTest(unittest.TestCase):
    def expect(self, expected, **changes):
        found = findings(**changes)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def header(self, body):
        """The findings about check.h when it holds `body`."""
        return findings(core__base__check_h="#pragma once\n" + body)

    def test_a_clean_tree_has_no_findings(self):
        self.assertEqual(findings(), [])

    def test_core_may_not_look_up(self):
        text = '#include "core/base/check.h"\n\n#include "server/config.h"\n'
        self.expect("core/base may not include server/config.h", core__base__check_cc=text)

    def test_tensor_may_not_include_layers_but_layers_may_include_tensor(self):
        self.expect(
            "core/tensor may not include core/layers/b.h",
            core__tensor__a_h='#pragma once\n#include "core/layers/b.h"\n',
            core__layers__b_h='#pragma once\n#include "core/tensor/a.h"\n',
        )

    def test_input_may_include_base_only(self):
        self.expect(
            "core/input may not include core/tensor/a.h",
            core__tensor__a_h="#pragma once\n",
            core__input__b_cc='#include "core/input/b.h"\n#include "core/tensor/a.h"\n',
            core__input__b_h="#pragma once\n",
        )

    def test_client_may_include_the_contract_only(self):
        text = '#include "client/c.h"\n\n#include "attnd/v1/encoder.pb.h"\n#include "core/base/check.h"\n'
        self.expect(
            "client may not include core/base/check.h", client__c_cc=text, client__c_h="#pragma once\n"
        )

    def test_the_server_has_an_order_too(self):
        self.expect(
            "server/validate may not include server/rpc/b.h",
            server__validate__a_h='#pragma once\n#include "server/rpc/b.h"\n',
            server__rpc__b_h='#pragma once\n#include "server/validate/a.h"\n',
        )

    def test_a_test_may_include_what_its_folder_may(self):
        text = '// Goal: g. Method: m.\n#include "server/config.h"\n'
        self.expect("tests may not include server/config.h", tests__base__check_test_cc=text)
        self.assertEqual(findings(tests__server__config_test_cc=text), [])

    def test_only_one_file_sees_onednn(self):
        text = '#include "core/tensor/{0}.h"\n\n#include "oneapi/dnnl/dnnl.hpp"\n'
        self.expect(
            "may not see oneDNN",
            core__tensor__onednn_cc=text.format("onednn"),
            core__tensor__onednn_h="#pragma once\n",
            core__tensor__other_cc=text.format("other"),
            core__tensor__other_h="#pragma once\n",
        )

    def test_core_sees_no_grpc_no_prometheus_and_no_spdlog(self):
        for header in ("<grpcpp/grpcpp.h>", "<prometheus/counter.h>", "<spdlog/spdlog.h>"):
            self.expect("may not see", core__base__check_h=f"#pragma once\n#include {header}\n")

    def test_includes_are_written_from_the_root(self):
        self.expect("full path", core__base__check_cc='#include "check.h"\n#include "core/base/check.h"\n')

    def test_long_files_and_long_lines(self):
        self.expect("401 lines", core__base__check_h="#pragma once\n" + "int a;\n" * 400)
        self.assertEqual(self.header("int a;\n" * 399), [])
        self.expect("101 columns", core__base__check_h="#pragma once\n//" + "x" * 99 + "\n")
        self.assertEqual(self.header("//" + "x" * 98 + "\n"), [])

    def test_long_functions(self):
        shapes = (
            "int F(int a) {{\n{}}}\n",
            "namespace n {{\nclass C {{\n  C() : a_(1), b_(2) {{\n{}}}\n}};\n}}\n",
            "template <class T>\nauto F(T t) const -> int {{\n{}}}\n",
            "bool operator==(int a) const {{\n  auto f = [&](int b) {{\n{}  }};\n}}\n",
            'TEST(A, B) {{\n  const char* s = R"({{{{)";\n{}}}\n',
        )
        for shape in shapes:
            lines = shape.count("\n")
            found = self.header(shape.format("  G();  // }\n" * 61))
            self.assertEqual(len(found), 1, (shape, found))
            self.assertIn("a function of", found[0])
            self.assertEqual(self.header(shape.format("  G();\n" * (60 - lines))), [], shape)

    def test_long_tables_and_classes_are_no_functions(self):
        self.assertEqual(self.header("constexpr Row kRows[] = {\n" + "    {Make(1), 2},\n" * 80 + "};\n"), [])
        self.assertEqual(self.header("class C {\n" + "  int F();\n" * 80 + "};\n"), [])

    def test_headers_start_with_pragma_once(self):
        self.expect("#pragma once", core__base__check_h="#ifndef A\n#define A\n#endif\n")

    def test_getenv_is_for_the_configuration(self):
        self.expect("getenv", core__base__check_h='#pragma once\nauto a = std::getenv("A");\n')
        self.assertEqual(self.header("// getenv is not called here.\n"), [])

    def test_std_mutex_is_refused(self):
        self.expect("core/base/mutex.h", core__base__check_h="#pragma once\nstd::mutex m;\n")
        reader = '#pragma once\n#include "core/base/mutex.h"\n'
        mutex = "#pragma once\nclass Mutex {\n  std::mutex m;\n};\n"
        self.assertEqual(findings(core__base__check_h=reader, core__base__mutex_h=mutex), [])

    def test_a_using_declaration_is_used(self):
        begin = '#include "core/base/check.h"\n\nusing a::b::Twice;\n'
        self.expect("nothing here uses Twice", core__base__a_cc=begin + "// Twice\n")
        self.assertEqual(findings(core__base__a_cc=begin + "int a = Twice(1);\n"), [])

    def test_tests_do_not_sleep(self):
        text = '// Goal: g. Method: m.\n#include "core/base/check.h"\nvoid F() { absl::SleepFor(a); }\n'
        self.expect("sleeps", tests__base__check_test_cc=text)

    def test_tests_say_their_goal(self):
        self.expect("goal and method", tests__base__check_test_cc='#include "core/base/check.h"\n')

    def test_notes_to_self_tabs_and_white_space(self):
        self.expect("note to self", core__base__check_h="#pragma once\n// TO" "DO: later\n")
        self.expect("tab", core__base__check_h="#pragma once\n\tint a;\n")
        self.expect("trailing", core__base__check_h="#pragma once\nint a; \n")
        self.expect("newline at the end", core__base__check_h="#pragma once\nint a;")

    def test_a_source_file_has_its_header_and_a_header_its_reader(self):
        self.expect("no header in its own folder", core__base__lone_cc="#include <vector>\n")
        self.expect("no header in its own folder", server__lone_cc='#include "core/base/check.h"\n')
        self.assertEqual(findings(core__base__check_load_cc='#include "core/base/check.h"\n'), [])
        self.assertEqual(findings(server__attnd_main_cc='#include "server/config.h"\n'), [])
        self.expect("nobody includes", core__base__unused_h="#pragma once\n")

    def test_what_is_compiled_as_one_has_each_name_once(self):
        def file(unnamed, named=""):
            return f'#include "core/base/check.h"\n\nnamespace {{\n\n{unnamed}\n\n}}  // namespace\n\n{named}\n'

        for what in ("int Twice(int a) { return a; }",
                     "constexpr int kTwice[] = {1};", "struct Twice {};",
                     "template <typename T>\nstd::vector<T>& Twice(T a) {\n  return a;\n}",
                     "enum class Twice { kA };",
                     "std::function<int(int)> Twice(int a) { return {}; }", "[[nodiscard]] int Twice(int a);",
                     "constexpr int kTwice[2][2] = {};", 'class CAPABILITY("m") Twice {};',
                     "struct alignas(64) Twice {};"):
            named = file("int Other() {\n  return 1;\n}", what)
            self.expect("in core/base/b.cc as well", core__base__a_cc=file(what), core__base__b_cc=named)
            self.assertEqual(len(findings(core__base__a_cc=file(what), core__base__b_cc=file(what))), 2)
            self.assertEqual(findings(core__base__a_cc=file(what), core__tensor__b_cc=named.replace("base", "tensor"),
                                      core__tensor__check_h="#pragma once\n"), [])
        calls = file("int Once() {\n  return Twice(1);\n}")
        self.assertEqual(findings(core__base__a_cc=file("int Twice() {\n  return 1;\n}"), core__base__b_cc=calls), [])
        self.expect("Twice is in core/base/check.h as well", core__base__a_cc=file("int Twice(float a) { return 1; }"),
                    core__base__check_h="#pragma once\nint Twice(double a);\n")
        self.expect("Twice is in core/base/check.h as well", core__tensor__check_h="#pragma once\n",
                    core__tensor__a_cc=file("int Twice(float a) { return 1; }").replace("base", "tensor"),
                    core__base__check_h="#pragma once\nint Twice(double a);\n")
        self.expect("cannot tell the name", core__base__a_cc=file("thread_local int twice;"))
        self.expect("an unnamed namespace ends with",
                    core__base__a_cc=file("int Twice();").replace("  // name", " // name"))
        alone = file("constexpr int kTwice = 2;")
        self.assertEqual(findings(core__layers__kernels_cc=alone.replace("base", "layers"),
                                  core__layers__b_cc=alone.replace("base", "layers"),
                                  core__layers__check_h="#pragma once\n"), [])


if __name__ == "__main__":
    unittest.main()
