#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev on stubs of cmake, ctest and the linters, with and without a terminal: no build."""

import os
import pty
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What dev calls besides the stubs; PATH has nothing else, so that nothing is installed or built.
TOOLS = ("awk", "bash", "cat", "chmod", "comm", "cut", "dirname", "env", "find", "flock", "grep", "ls", "mkdir", "mktemp", "nproc",
         "readlink", "rm", "sed", "sh", "sort", "stty", "tail", "tee", "touch", "true", "uname", "wc", "xargs")
CMAKE = r"""#!/bin/bash
echo "cmake $*" >>"{folder}/calls"
[[ "$*" != *"{fail}"* ]] || {{ echo "a compiler error"; exit 1; }}
[[ $* == *--build* ]] || exit 0
printf '[%d/3] Building {words}\n' 1 2 3
mkdir -p "{root}/build/release/app" "{root}/build/fuzz/tests/fuzz"
for program in expertscope expertscope-cli; do
  printf '#!/bin/bash\necho "{root}" "$0" "$@"\n' >"{root}/build/release/app/$program"
  chmod +x "{root}/build/release/app/$program"
done
touch "{root}/build/release/build.ninja"
"""
CTEST = r"""#!/bin/bash
echo "ctest $*" >>"{folder}/calls"
printf '      Start %d: a\n%d/2 Test #%d: a\n' 1 1 1 2 2 2
echo "100% tests passed, 0 tests failed out of 2"
"""
# libFuzzer, as far as run.sh sees it.
FUZZER = r"""#!/bin/bash
echo "fuzzer $*" >>"{folder}/calls"
for argument; do
  [[ $argument != -artifact_prefix=* ]] || prefix=${{argument#*=}}
done
[[ -n ${{prefix:-}} ]] || exit 0
echo "#2	INITED cov: 10 ft: 20 corp: 1/9b"
echo "#900	NEW    cov: 123 ft: 456 corp: 7/99b"
if [[ -e "{folder}/crash" ]]; then
  echo "==7==ERROR: AddressSanitizer: heap-buffer-overflow"
  echo "artifact_prefix='$prefix'; Test unit written to ${{prefix}}crash-1"
fi
echo "stat::number_of_executed_units: 900"
echo "stat::average_exec_per_sec:     30"
[[ ! -e "{folder}/crash" ]] || exit 77
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Dev(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()
        self.root, self.tools = self.folder / "root", self.folder / "tools"
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        for tool in ("clang-format-14", "clang-tidy-14", "python3", "setarch"):
            script(self.tools / tool, "#!/bin/bash\n[[ $0 != *setarch ]] || exec \"${@:2}\"\n")
        script(self.tools / "ctest", CTEST.format(folder=self.folder))
        self.cmake()
        script(self.root / "dev", (ROOT / "dev").read_text())
        for folder in ("engine", "probes", "views", "app", "tests/fuzz/corpus/pattern", "tests/fuzz/corpus/config"):
            (self.root / folder).mkdir(parents=True)
            (self.root / folder / "a.cpp").write_text("int a;\n")
        shutil.copy(ROOT / "tests/fuzz/run.sh", self.root / "tests/fuzz/run.sh")

    def cmake(self, fail="no such argument", words="a.cpp"):
        script(self.tools / "cmake", CMAKE.format(folder=self.folder, root=self.root, fail=fail, words=words))

    def command(self, *arguments):
        return {"args": [self.root / "dev", *arguments], "stdin": subprocess.DEVNULL,
                "env": {"PATH": str(self.tools), "HOME": str(self.folder), "TMPDIR": str(self.folder)}}

    def run_dev(self, *arguments):
        return subprocess.run(**self.command(*arguments), text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def on_a_terminal(self, *arguments):
        """The same with a terminal; what it was sent."""
        master, terminal = pty.openpty()
        with subprocess.Popen(**self.command(*arguments), stdout=terminal, stderr=terminal) as run:
            os.close(terminal)
            sent = b""
            try:
                while part := os.read(master, 65536):
                    sent += part
            except OSError:  # the other end is closed
                pass
        os.close(master)
        return run.returncode, sent.decode()

    def calls(self):
        return (self.folder / "calls").read_text().splitlines()


def screen(sent):
    """The lines that stand there in the end."""
    lines = [line.split("\033[K")[-1] for line in sent.replace("\r\n", "\n").split("\n")]
    return [line for line in lines if line]


class Progress(Dev):
    def test_without_a_terminal_a_line_a_step_with_its_duration(self):
        run = self.run_dev("run", "model")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stderr, r"\Abuilding the window\nconfigure-release: \d+ s\nbuild-release: \d+ s\nno display: .*\n\Z")
        self.assertIn("[2/3] Building a.cpp", (self.root / "build/logs/build-release.log").read_text())

    def test_on_a_terminal_one_line_is_rewritten(self):
        code, sent = self.on_a_terminal("run", "model")
        self.assertEqual(code, 0, sent)
        for number in (1, 2, 3):
            self.assertRegex(sent, rf"\r\033\[Kbuild-release \d+:\d\d \[{number}/3\] Building a.cpp")
        self.assertEqual([re.sub(r"\d+ s$", "N s", line) for line in screen(sent)][:3],
                         ["building the window", "configure-release: N s", "build-release: N s"])
        self.assertIn("[2/3] Building a.cpp\n", (self.root / "build/logs/build-release.log").read_text())

    def test_a_line_is_not_longer_than_the_terminal(self):
        self.cmake(words="x" * 500)
        _, sent = self.on_a_terminal("run")
        progress = re.findall(r"\033\[K(build-release[^\r\n]*x)", sent)
        self.assertGreater(len(progress), 0)
        self.assertLess(max(map(len, progress)), 80)

    def test_the_time_that_is_left_follows_from_what_is_done(self):
        def described(*numbers):
            run = subprocess.run(["bash", "-c", f"source {ROOT}/dev help; describe_progress \"$@\"; echo \"=$progress\"", "-",
                                  *map(str, numbers), "b.cpp"], text=True, stdout=subprocess.PIPE)
            return run.stdout.splitlines()[-1]
        self.assertEqual(described(30, 100, 400), "= [100/400, 1:30 left] b.cpp")
        self.assertEqual(described(90, 400, 400), "= [400/400, 0:00 left] b.cpp")
        self.assertEqual(described(4, 100, 400), "= [100/400] b.cpp", "too early to say")
        self.assertEqual(described(60, 0, 400), "= [0/400] b.cpp")

    def test_what_fails_is_shown_and_ends_it(self):
        self.cmake(fail="--build")
        run = self.run_dev("run")
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr, r"a compiler error\nfailed: cmake --build --preset release --target expertscope\n\Z")
        code, sent = self.on_a_terminal("run")
        self.assertEqual(code, 1)
        self.assertIn("a compiler error", screen(sent))

    def test_the_command_line_says_only_its_answer_once_it_is_built(self):
        first, again = self.run_dev("cli", "info"), self.run_dev("cli", "info")
        self.assertRegex(first.stderr, r"\Abuilding the command line\nconfigure-release: \d+ s\nbuild-release: \d+ s\n\Z")
        self.assertEqual(again.stderr, "")
        self.assertEqual(first.stdout, again.stdout)
        self.assertRegex(again.stdout, "app/expertscope-cli info$")


class Test(Dev):
    STAGES = ("dev-build", "dev-test", "asan-build", "asan-test", "tsan-build", "tsan-test", "no-gui-build", "no-gui-test",
              "lint-sources", "lint-tidy")

    def test_a_line_a_stage_and_the_sum(self):
        run = self.run_dev("test")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertEqual([line.split()[0] for line in run.stdout.splitlines()[:-1]], list(self.STAGES))
        self.assertTrue(all(re.match(r"\S+ +ok +\d+ s", line) for line in run.stdout.splitlines()[:-1]), run.stdout)
        self.assertEqual(run.stdout.splitlines()[-1], "8 passed, 0 failed")
        self.assertEqual(run.stderr, "")

    def test_on_a_terminal_builds_tests_and_lint_say_how_far_they_are(self):
        code, sent = self.on_a_terminal("test")
        self.assertEqual(code, 0, sent)
        for text in ("asan-build 0:00 [2/3] Building a.cpp", "tsan-test 0:00 [1/2] Test #1: a", "lint-tidy 0:00 [4/4] "):
            self.assertRegex(sent, re.escape(text).replace("0:00", r"\d:\d\d"))
        self.assertEqual([line.split()[0] for line in screen(sent)[:-1]], list(self.STAGES))

    def test_the_first_stage_that_fails_ends_it_with_its_output(self):
        self.cmake(fail="--build --preset asan")
        run = self.run_dev("test")
        self.assertEqual(run.returncode, 1)
        self.assertIn("a compiler error\n", run.stdout)
        self.assertRegex(run.stdout, r"asan-build +FAILED after \d+ s\n2 passed, 1 failed\n\Z")

    def test_a_linter_that_complains_of_one_file_fails(self):
        script(self.tools / "clang-tidy-14", "#!/bin/bash\n[[ $* != *views* ]] || { echo 'views/a.cpp: no'; exit 1; }\n")
        run = self.run_dev("test")
        self.assertEqual(run.returncode, 1)
        self.assertIn("views/a.cpp: no\n", run.stdout)
        self.assertRegex(run.stdout, r"lint-tidy +FAILED")


class Fuzz(Dev):
    def setUp(self):
        super().setUp()
        script(self.root / "build/fuzz/tests/fuzz/fuzz_pattern", FUZZER.format(folder=self.folder))

    def test_lists_its_targets(self):
        self.assertEqual(self.run_dev("fuzz").stdout, "config\npattern\n")
        self.assertEqual(self.run_dev("fuzz", "nothing").returncode, 2)

    def test_runs_within_limits_and_says_what_it_did(self):
        run = self.run_dev("fuzz", "pattern", "--minutes", "3")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, "pattern: 900 executions, 30 a second; coverage cov: 123 ft: 456; 0 inputs in "
                         f"{self.root}/build/fuzz/found/pattern/corpus\nno crash, no hang\n")
        command = self.calls()[-1]
        for option in ("-timeout=", "-rss_limit_mb=", "-malloc_limit_mb=", "-max_len=4096 ", "-max_total_time=180 "):
            self.assertIn(option, command)
        self.assertTrue(command.endswith(f"/found/pattern/corpus {self.root}/tests/fuzz/corpus/pattern"), command)
        self.assertIn("--target fuzz_pattern", self.calls()[-2])

    def test_on_a_terminal_the_newest_numbers_are_seen(self):
        code, sent = self.on_a_terminal("fuzz", "pattern")
        self.assertEqual(code, 0, sent)
        self.assertIn("\r\033[K#900 NEW    cov: 123 ft: 456 corp: 7/99b\r\033[K", sent)
        self.assertTrue(screen(sent)[-2].startswith("pattern: 900 executions"), sent)

    def test_says_where_the_reproducer_of_a_crash_is(self):
        (self.folder / "crash").touch()
        run = self.run_dev("fuzz", "pattern")
        self.assertEqual(run.returncode, 1)
        self.assertIn("==7==ERROR: AddressSanitizer: heap-buffer-overflow\n", run.stdout)
        self.assertIn(f"./dev fuzz pattern {self.root}/build/fuzz/found/pattern/crashes/crash-1;", run.stdout)

    def test_runs_an_input_alone(self):
        self.assertEqual(self.run_dev("fuzz", "pattern", "some file").returncode, 0)
        self.assertRegex(self.calls()[-1], "some file$")

    def test_minutes_are_a_number(self):
        for minutes in ("", "0", "x", "1.5"):
            self.assertEqual(self.run_dev("fuzz", "pattern", "--minutes", minutes).returncode, 2, minutes)


if __name__ == "__main__":
    unittest.main()
