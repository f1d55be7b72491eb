#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""run.sh, bundle.sh and `dev gpu` on programs that print and exit as they are told: no GPU, no build."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import types
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("expertscope-cli", "expertscope-gpu-soak", "expertscope-gpu-bench", "cuda_plugin_parity_test",
            "libexpertscope_cuda.so", "libexpertscope_cuda_rates.so")
# What run.sh calls besides programs of the project; PATH has nothing else, so that no machine differs from another.
TOOLS = ("awk", "bash", "cat", "cut", "date", "dirname", "env", "flock", "getconf", "git", "grep", "gzip", "head", "ls",
         "mkdir", "mktemp", "nproc", "readlink", "rm", "sed", "sort", "tail", "tar", "tee", "timeout", "tr", "uname")

# A program that answers as its file of answers says: for the first line whose pattern is in the command line, its exit
# code and what it prints.
STUB = """#!/bin/bash
while IFS='|' read -r pattern code text; do
  if [[ "$0 $*" == $pattern ]]; then printf '%b\\n' "$text"; exit "$code"; fi
done <"{answers}"
"""
PASSED = r"[  PASSED  ] 7 tests."
HEALTHY = f"""
*gpu-soak*|0|3 sessions: no error, no drift, no leak
*parity_test*|0|{PASSED}
*compute-sanitizer*|0|{PASSED}\\n========= ERROR SUMMARY: 0 errors
*gpu-bench*|0|no target missed
*|0|fine
"""
# cuBLAS is where a folder of the library path has the file `cublas`, which no toolkit has.
LDD = """#!/bin/bash
IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}"
for folder in "${folders[@]}"; do
  if [[ -e $folder/cublas ]]; then printf '\\tlibcublas.so.13 => %s/libcublas.so.13\\n' "$folder"; exit; fi
done
printf '\\tlibcublas.so.13 => not found\\n\\tlibcublasLt.so.13 => not found\\n'
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Machine:
    """A folder with tools, programs and sources, and no driver, toolkit or Python but those it is given."""

    def __init__(self, folder):
        self.folder = folder
        self.tools, self.build, self.out = folder / "tools", folder / "build", folder / "out"
        self.answers, self.sources = folder / "answers", folder / "sources"
        self.tools.mkdir()
        self.sources.mkdir()
        (self.sources / "COMMIT").write_text("1234567\n")
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        script(self.tools / "ldd", LDD)
        for program in PROGRAMS:
            script(self.build / "bin" / program, STUB.format(answers=self.answers))
        self.give_cublas(self.build / "lib")
        self.answer()

    def answer(self, *lines):
        """These lines come before those of a machine on which all is well."""
        self.answers.write_text("\n".join(lines) + HEALTHY)

    def give_cublas(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("cublas", "libcublas.so.13"):
            (folder / name).touch()

    def stub(self, name):
        script(self.tools / name, STUB.format(answers=self.answers))

    def environment(self, **more):
        return {"PATH": str(self.tools), "HOME": str(self.folder), "TMPDIR": str(self.folder),
                "CUDA_HOME": str(self.folder / "no toolkit"), **more}

    def run(self, *arguments, **environment):
        return subprocess.run([ROOT / "tests/gpu/run.sh", self.build, self.sources, self.out, *arguments], text=True, timeout=60,
                              env=self.environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def results(self, kind="full"):
        return json.loads((self.out / kind / "results.json").read_text())

    def states(self, kind="full"):
        return {part["name"]: part["state"] for part in self.results(kind)["parts"]}


class Harness(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.machine = Machine(Path(self.scratch.name).resolve())

    def check(self, run, code, *texts):
        for text in texts:
            self.assertIn(text, run.stdout)
        self.assertEqual(run.returncode, code, run.stdout)


class Run(Harness):
    def test_a_healthy_machine_without_python_and_sanitizers(self):
        run = self.machine.run()
        self.check(run, 0, "6 ok, 3 skipped, 0 FAILED; targets missed: 0", "python3 is not installed",
                   "compute-sanitizer is not installed")
        results = self.machine.results()
        self.assertEqual([results[key] for key in ("ok", "missed", "skipped", "failed", "targets_missed")], [6, 0, 3, 0, 0])
        self.assertEqual(results["parts"][0]["detail"], "3 sessions: no error, no drift, no leak")
        self.assertEqual(self.machine.states()["transformers"], "skipped")
        self.assertEqual((self.machine.out / "full/results.txt").read_text(), run.stdout)

    def test_missed_targets_are_plain_and_no_failure(self):
        self.machine.answer("*olmoe*|4|3 targets missed", "*gpu-bench*|4|2 targets missed")
        self.check(self.machine.run(), 0, "4 ok, 2 below target, 3 skipped, 0 FAILED; targets missed: 5")
        self.assertEqual(self.machine.results()["targets_missed"], 5)

    def test_what_fails_is_told_and_the_rest_runs(self):
        self.machine.stub("compute-sanitizer")
        self.machine.answer(r"*memcheck*|9|[  PASSED  ] 7 tests.\n========= ERROR SUMMARY: 2 errors",
                            r"*racecheck*|0|[  PASSED  ] 0 tests.\n========= ERROR SUMMARY: 0 errors",
                            r"*--gtest_filter=[*]Backends*|0|[  PASSED  ] 0 tests.",
                            "*gpu-bench --out*|77|gone", "*olmoe*|1|he said \"no\" \\\\ twice")
        self.check(self.machine.run(), 1, "3 ok, 2 skipped, 4 FAILED", "ERROR SUMMARY: 2 errors", "the logs are in ")
        states = self.machine.states()
        for part in ("memcheck", "racecheck", "intermediates CPU and CUDA", "bench OLMoE-1B-7B"):
            self.assertEqual(states[part], "FAILED", part)
        self.assertEqual(states["bench Qwen3-30B-A3B"], "skipped")
        details = {part["name"]: part["detail"] for part in self.machine.results()["parts"]}
        self.assertEqual(details["racecheck"], "no test ran")
        self.assertEqual(details["bench OLMoE-1B-7B"], 'he said "no" \\ twice')

    def test_where_nothing_runs_nothing_is_ok(self):
        self.machine.answer("*--episodes 1 --steps 1*|0|", "*|77|gone")
        self.check(self.machine.run("--soak", "0.01"), 1, "0 ok, 1 skipped, 0 FAILED", "nothing ran")

    def test_time_that_is_up(self):
        self.check(self.machine.run("--seconds", "4"), 1, "no time was left", "0 ok, 9 skipped, 0 FAILED")

    def test_a_gpu_that_cannot_be_used(self):
        self.machine.answer("*gpu-soak*|77|the GPU cannot be used: no NVIDIA driver")
        run = self.machine.run()
        self.check(run, 1, "the GPU cannot be used: no NVIDIA driver\n")
        self.assertEqual(sorted(file.name for file in (self.machine.out / "full").iterdir()), ["results.txt"])

    def test_every_kind_of_run_begins_with_an_empty_folder(self):
        for kind in ("full", "soak"):
            (self.machine.out / kind).mkdir(parents=True)
            for name in ("qwen3-30b-a3b.json", "memcheck.log"):
                (self.machine.out / kind / name).write_text('{"stale": 1}')
        self.check(self.machine.run("--soak", "0.01"), 0, "1 ok, 0 skipped")
        self.assertNotIn("qwen3-30b-a3b", self.machine.results("soak"))
        self.assertEqual(self.machine.results("soak")["kind"], "soak")
        self.assertFalse((self.machine.out / "soak/memcheck.log").exists())
        self.assertTrue((self.machine.out / "full/memcheck.log").exists(), "another kind of run")

    def test_a_dry_run_needs_no_gpu(self):
        (self.machine.build / "lib/cublas").unlink()
        self.machine.answer("*gpu-soak*|77|no driver", "*gpu-bench*|77|no driver", "*parity_test*|77|no driver")
        self.check(self.machine.run("--dry"), 0, "2 ok, 4 skipped, 0 FAILED", "libcublas.so.13 was not found")


class Libraries(Harness):
    def setUp(self):
        super().setUp()
        (self.machine.build / "lib/cublas").unlink()
        # Says which library path it was given.
        script(self.machine.build / "bin/expertscope-gpu-soak", '#!/bin/bash\necho "path $LD_LIBRARY_PATH"\n')

    def soak(self, **environment):
        run = self.machine.run("--soak", "0.01", **environment)
        log = self.machine.out / "soak/soak.log"
        return run, log.read_text() if log.exists() else ""

    def test_cublas_that_is_missing_has_a_message_of_its_own(self):
        run, _ = self.soak()
        self.check(run, 1, "libcublas.so.13 was not found", "CUDA 13 toolkit", "pip install nvidia-cublas'")

    def test_toolkits_and_pythons_are_searched(self):
        toolkit = self.machine.folder / "toolkit"
        site = self.machine.folder / "site with blanks"
        script(toolkit / "bin/nvcc", "#!/bin/bash\n")
        (self.machine.build / "CMakeCache.txt").write_text(f"CMAKE_CUDA_COMPILER:FILEPATH={toolkit}/bin/nvcc\n")
        script(self.machine.folder / "venv/bin/python3", f'#!/bin/bash\nPYTHONPATH="{site}" exec {sys.executable} -S "$@"\n')
        for folder in (toolkit / "targets/x86_64-linux/lib", site / "nvidia/cu13/lib"):
            self.machine.give_cublas(folder)
            run, log = self.soak(VIRTUAL_ENV=str(self.machine.folder / "venv"))
            self.check(run, 0)
            self.assertEqual(log, f"path {self.machine.build}/lib:{folder}\n")
            (folder / "cublas").unlink()

    def test_a_c_library_that_is_too_old_is_named(self):
        self.machine.give_cublas(self.machine.build / "lib")
        glibc = self.machine.build / "lib/GLIBC"
        std = self.machine.build / "lib/std/GLIBC"
        std.parent.mkdir()
        (self.machine.tools / "getconf").unlink()
        script(self.machine.tools / "getconf", "#!/bin/bash\necho glibc 2.34\n")
        glibc.write_text("2.36\n")
        self.check(self.soak()[0], 1, "need glibc 2.36, this machine has 2.34")
        glibc.write_text("2.34\n")
        std.write_text("2.36\n")
        self.check(self.soak()[0], 0)
        script(self.machine.build / "bin/expertscope-cli", "#!/bin/bash\nexit 1\n")
        self.check(self.soak()[0], 1, "libstdc++.so.6", "glibc 2.36, this machine has 2.34")
        std.write_text("2.9\n")
        run, log = self.soak()
        self.check(run, 0)
        self.assertEqual(log, f"path {self.machine.build}/lib:{self.machine.build}/lib/std\n")


class Dev(Harness):
    """`dev gpu` in a folder of its own."""

    def setUp(self):
        super().setUp()
        self.root = self.machine.folder / "root"
        script(self.root / "tests/gpu/run.sh", '#!/bin/bash\necho "run $*"\n')
        script(self.root / "dev", (ROOT / "dev").read_text())
        # More than a pipe holds, and what is looked for stands first.
        script(self.machine.tools / "ldconfig", "#!/bin/bash\necho libcuda.so.1\nprintf '%0100000d\\n' {1..5}\n")

    def dev(self, *arguments):
        return subprocess.run([self.root / "dev", "gpu", *arguments], env=self.machine.environment(), text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_an_unpacked_bundle_runs_itself(self):
        (self.root / "bin").mkdir()
        self.check(self.dev("--seconds", "9"), 0, f"run {self.root} {self.root} {self.root}/build/gpu --seconds 9\n")

    def test_without_cmake_the_bundle_is_taken(self):
        (self.root / "CMakeLists.txt").touch()
        self.check(self.dev(), 1, "it cannot be built here: cmake is not installed", "bundle.tar.gz: no bundle")

    def test_what_fails_in_building_is_named(self):
        (self.root / "CMakeLists.txt").touch()
        self.machine.stub("cmake")
        self.machine.stub("ninja")
        self.machine.answer("*--preset*|1|CMake Error at x:\\\\n  no CUDA compiler was found")
        self.check(self.dev(), 1, "cannot be built here: CMake Error", "configure-cuda.log")
        self.machine.answer("*--build*|1|a compiler error")
        self.check(self.dev(), 1, "a compiler error", "the build failed (build/logs/build-cuda.log)")
        self.machine.answer()
        self.check(self.dev("--seconds", "9"), 0, f"run {self.root}/build/cuda {self.root} ")


class Bundle(Harness):
    def test_has_the_programs_and_says_what_they_need(self):
        build, sources = self.machine.folder / "built", self.machine.sources
        for file in ("app/expertscope-cli", "tests/gpu/expertscope-gpu-soak", "tests/bench/expertscope-gpu-bench",
                     "tests/parity/cuda_plugin_parity_test", "engine/cuda/libexpertscope_cuda.so",
                     "tests/gpu/rates/libexpertscope_cuda_rates.so"):
            (build / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shutil.which("true"), build / file)
        for folder in ("tests/data/models", "tests/data/golden", "resources/demo", "tests/bench", "tests/gpu"):
            (sources / folder).mkdir(parents=True)
        for file in ("tests/bench/hf_super_experts.py", "tests/bench/roofline.py", "tests/gpu/run.sh", "tests/gpu/bundle.sh",
                     "dev"):
            shutil.copy(ROOT / file, sources / file)
        archive = self.machine.folder / "bundle.tar.gz"
        run = subprocess.run([ROOT / "tests/gpu/bundle.sh", build, sources, archive], text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        self.check(run, 0, "bundle.tar.gz: 0 MB")
        with tarfile.open(archive) as packed:
            names = {name.removeprefix("expertscope-gpu/") for name in packed.getnames()}
            glibc = packed.extractfile("expertscope-gpu/lib/GLIBC").read().decode()
        self.assertLessEqual({f"bin/{name}" for name in PROGRAMS} | {"dev", "tests/gpu/run.sh", "COMMIT"}, names)
        self.assertRegex(glibc, r"^2\.\d+\n$")


class Transformers(unittest.TestCase):
    """The comparison of maxima; torch is not needed for it."""

    def test_maxima_of_the_same_sequences_are_compared_both_ways(self):
        for name in ("torch", "transformers", "transformers.models", "transformers.models.qwen3_moe"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["torch"].nn = types.SimpleNamespace(Module=object)
        sys.modules["transformers"].Qwen3MoeConfig = sys.modules["transformers"].Qwen3MoeForCausalLM = object
        sys.modules["transformers.models.qwen3_moe"].modeling_qwen3_moe = None
        sys.path.insert(0, str(ROOT / "tests/bench"))
        sys.dont_write_bytecode = True
        import hf_super_experts as script_under_test
        job = {"sequences": 8, "output_max": [[9.0]], "first": {"sequences": 4, "output_max": [[3.0]]}}
        self.assertEqual(script_under_test.maxima_to_compare(job, 4), ([[3.0]], True))
        self.assertEqual(script_under_test.maxima_to_compare(job, 8), ([[9.0]], True))
        self.assertEqual(script_under_test.maxima_to_compare(job, 2), ([[9.0]], False))
        theirs = [[1.0, 2.0, 3.0, 0.0]]
        for factor, agree in ((1.0, True), (1.005, True), (2.0, False), (0.5, False)):
            ours = [[factor * value for value in theirs[0]]]
            with open(os.devnull, "w") as nowhere:
                stdout, sys.stdout = sys.stdout, nowhere
                try:
                    self.assertEqual(script_under_test.compare(ours, theirs, True), agree, factor)
                finally:
                    sys.stdout = stdout


if __name__ == "__main__":
    unittest.main()
