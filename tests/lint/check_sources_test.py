# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint script must fail on what it forbids, and only on that."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "lint" / "check_sources.py"
LICENCE = "// SPDX-License-Identifier: GPL-3.0-or-later\n"


def function(lines, head="int f(int x) {"):
    """A function whose braces are `lines` lines apart, both included."""
    return head + "\n" + "  x();\n" * (lines - 2) + "}\n"


class CheckSources(unittest.TestCase):
    def lint(self, name, text, licence=LICENCE):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(licence + text, encoding="utf-8")
            done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)
            self.assertEqual(done.returncode != 0, bool(done.stdout), done.stderr)
            return done.stdout

    def test_accepts_what_is_allowed(self):
        self.assertEqual(self.lint("engine/model/a.cpp", function(60)), "")
        self.assertEqual(self.lint("engine/cpu/kernels/a.cpp", function(150)), "")
        self.assertEqual(self.lint("views/widgets/a.cpp", "#include <QWidget>\n"), "")
        self.assertEqual(self.lint("views/models/a.cpp", "#include <QAbstractTableModel>\n"), "")

    def test_long_function(self):
        self.assertIn("engine/a.cpp:2: function of 61 lines", self.lint("engine/a.cpp", function(61)))
        self.assertIn("function of 151", self.lint("engine/cpu/kernels/a.cpp", function(151)))
        self.assertIn("function of 61", self.lint("tests/a.cpp", function(61, "TEST(Some, Thing) {")))

    def test_long_function_in_scopes(self):
        for before, after in (("namespace a {\n", "}\n"), ("class A : public B {\n", "};\n"),
                              ("template <class T>\nstruct A {\n", "};\n"), ('extern "C" {\n', "}\n")):
            self.assertIn("function of 61", self.lint("app/a.cpp", before + function(61) + after))

    def test_long_constructor_with_braced_members(self):
        head = "A::A(int x) : a_{x}, b_(x), c_{1, 2} {"
        self.assertIn("function of 61", self.lint("views/a.cpp", function(61, head)))
        self.assertEqual(self.lint("views/a.cpp", function(60, head)), "")

    def test_braces_in_text_are_not_code(self):
        self.assertEqual(self.lint("app/a.cpp", "void f() {\n  g(\"{{{\", '{', R\"(}}})\");  // {\n}\n" + function(60)), "")

    def test_tables_are_not_functions(self):
        self.assertEqual(self.lint("app/a.cpp", "const Row rows[] = {\n" + "  {f(1), 2},\n" * 100 + "};\n"), "")

    def test_long_files(self):
        self.assertIn("501 lines", self.lint("app/a.cpp", "int a;\n" * 500))
        self.assertIn("301 lines", self.lint("app/a.h", "int a;\n" * 300))
        self.assertEqual(self.lint("app/a.cpp", "int a;\n" * 499), "")

    def test_layers(self):
        self.assertIn("free of Qt", self.lint("engine/a.cpp", "#include <QString>\n"))
        self.assertIn("free of Qt", self.lint("probes/a.h", "#include <QtCore/QString>\n"))
        self.assertIn("free of QtWidgets", self.lint("views/models/a.h", "#include <QWidget>\n"))
        self.assertIn("must not include", self.lint("engine/a.cpp", '#include "probes/store/run_info.h"\n'))
        self.assertIn("must not include", self.lint("probes/a.cpp", '#include "views/main_window.h"\n'))
        self.assertIn("must not include", self.lint("views/a.cpp", '#include "app/cli/cli.h"\n'))

    def test_rooms_of_the_engine(self):
        for room, header in (
            ("formats", "model/config.h"),
            ("text", "model/model.h"),
            ("model", "backend/backend.h"),
            ("model", "run/session.h"),
            ("backend", "cpu/cpu_backend.h"),
            ("cpu", "run/session.h"),
            ("cpu/kernels", "cuda/plugin.h"),
            ("cuda", "cpu/kv_cache.h"),
            ("cuda/kernels", "cpu/router.h"),
            ("run", "cuda/cuda_backend.h"),
        ):
            self.assertIn(
                f"engine/{room}/ must not include" if "/" not in room else "must not include",
                self.lint(f"engine/{room}/a.cpp", f'#include "engine/{header}"\n'),
            )
        for room, header in (
            ("model", "text/tokenizer.h"),
            ("cuda/kernels", "cuda/runtime/memory.h"),
            ("cpu", "error.h"),
            ("run", "cuda/loader/loader.h"),
        ):
            self.assertEqual("", self.lint(f"engine/{room}/a.cpp", f'#include "engine/{header}"\n'))

    def test_locale(self):
        for call in ("std::strtod(text, nullptr)", "std::stod(text)", "atof(text)", 'setlocale(LC_ALL, "")'):
            self.assertIn("depends on the locale", self.lint("probes/a.cpp", f"double f() {{ return {call}; }}\n"))
        self.assertEqual(self.lint("app/a.cpp", "// strtod(x) would be wrong\nint stod_like(int);\n"), "")
        self.assertEqual(self.lint("tests/a.cpp", "double f() { return atof(text); }\n"), "")
        self.assertEqual("", self.lint("views/a.cpp", 'void f() { setlocale(LC_NUMERIC, "C"); }\n'))

    def test_licence(self):
        self.assertIn("licence line is missing", self.lint("engine/a.cpp", "int a;\n", licence=""))
        self.assertIn("licence line is missing", self.lint("engine/CMakeLists.txt", "project(a)\n", licence=""))


if __name__ == "__main__":
    unittest.main()
