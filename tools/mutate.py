"""How much of a change in a part of the product its tests notice: one mutant, one forked test run.

A mutant (``mutants.py``) is killed where some test fails, an import fails, or nothing ends in time;
one that every test passes has survived, and is listed by file and line.

The sample is seeded and the tests run in a fixed order with fixed random choices, so that a run can
be repeated. `docs/mutation-survivors.md` says why each known survivor is no mistake.
"""

import argparse
import importlib
import importlib.abc
import importlib.util
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from tools.mutants import Mutant, enums_in, mutants_of
from tools.mutation_targets import TARGETS, Target

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "pointwork"
SEED = 20_260_304


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(ROOT / self._mutant.file))

    def exec_module(self, module: ModuleType) -> None:
        exec(self._mutant.code, module.__dict__)


@dataclass(frozen=True)
class Trial:
    """Test runs of one target, each in a child process that starts without an open database."""

    target: Target

    def run(self, mutant: Mutant | None, arguments: Sequence[str]) -> tuple[int, float]:
        """Exit status and seconds of a test run; -1 where a mutant had to be ended."""
        started = time.monotonic()
        folder = tempfile.mkdtemp(prefix="pointwork-mutant-")
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = self._run_tests(mutant, [*arguments, "--basetemp", f"{folder}/tests"])
            finally:
                os._exit(status)
        try:
            return self._ended(child, started, self.target.seconds_max if mutant else math.inf)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _ended(self, child: int, started: float, seconds_max: float) -> tuple[int, float]:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            seconds = time.monotonic() - started
            if done:
                return os.waitstatus_to_exitcode(status), seconds
            if seconds > seconds_max:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return -1, seconds
            time.sleep(0.05)

    def _run_tests(self, mutant: Mutant | None, arguments: Sequence[str]) -> int:
        """Pytest's exit status in this process, which is good for nothing afterwards."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        phases = [phase for phase in hypothesis.Phase if phase.name not in ("shrink", "explain")]
        hypothesis.settings.register_profile(
            "mutants", database=None, derandomize=True, phases=phases, deadline=None
        )
        hypothesis.settings.load_profile("mutants")
        if mutant is not None:
            _forget(mutant.module)
            sys.meta_path.insert(0, _Mutated(mutant))
        plain = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
        return int(pytest.main(["-k", f"not ({self.target.deselected})", *plain, *arguments]))

    def refuse_failing_tests(self) -> None:
        """A test that fails without any mutant would kill every one."""
        report = ROOT / "build" / f"mutation-baseline-{self.target.name}.xml"
        report.parent.mkdir(exist_ok=True)
        tests = [test for phase in self.target.phases for test in phase]
        status, seconds = self.run(None, [*tests, "--junit-xml", str(report)])
        if status != 0:
            raise SystemExit(f"the tests must pass before mutants are tried; see {report}")
        print(f"without a mutant: {seconds:.0f} s", flush=True)

    def left_alive(self, tests: Sequence[str], mutants: Sequence[Mutant]) -> list[Mutant]:
        survivors = []
        for number, mutant in enumerate(mutants, 1):
            status, seconds = self.run(mutant, [*tests, "-x"])
            if status == 0:
                survivors.append(mutant)
            word = "SURVIVES" if status == 0 else "killed"
            print(f"{number}/{len(mutants)} {word} {seconds:.0f}s {mutant.place}", flush=True)
        return survivors


def _forget(module: str) -> None:
    """Where the module was loaded before the fork, load it and all that may use it anew."""
    if module in sys.modules:
        for name in [each for each in sys.modules if each.partition(".")[0] == "pointwork"]:
            del sys.modules[name]


def chosen_mutants(target: Target, modules: Sequence[str], sample: int) -> list[Mutant]:
    places = [*sorted((SOURCE / "contract").glob("*.py")), SOURCE / "ledger" / "tables.py"]
    every = enums_in(*places)
    enums = {name: every[name] for name in target.enums}
    found = []
    for module in modules:
        path = SOURCE / f"{module.replace('.', '/')}.py"
        found += mutants_of(f"pointwork.{module}", path, str(path.relative_to(ROOT)), enums)
    rng = random.Random(SEED)
    picked = found if sample <= 0 else rng.sample(found, min(sample, len(found)))
    print(f"{len(found)} mutants of {len(modules)} modules, {len(picked)} tried", flush=True)
    return picked


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--sample", type=int, help="how many; 0 is all")
    parser.add_argument("--modules", nargs="*", help="as in mutation_targets.py; all if not given")
    parser.add_argument("--only", nargs="*", default=[], help="places, as a run printed them")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the sample")
    asked = parser.parse_args()
    target = TARGETS[asked.target]
    os.nice(10)
    os.chdir(ROOT)
    for name in target.preload:
        importlib.import_module(name)
    trial = Trial(target)
    trial.refuse_failing_tests()
    sample = target.sample if asked.sample is None else asked.sample
    picked = chosen_mutants(target, asked.modules or target.modules, 0 if asked.only else sample)
    picked = [m for m in picked if not asked.only or any(m.place.startswith(p) for p in asked.only)]
    part, _, parts = asked.part.partition("/")
    picked = picked[int(part) - 1 :: int(parts)]
    survivors = picked
    for tests in target.phases:
        survivors = trial.left_alive(tests, survivors)
    killed = len(picked) - len(survivors)
    for mutant in sorted(survivors, key=lambda each: (each.file, each.line)):
        print(f"survived: {mutant.place}")
    print(f"killed={killed} of={len(picked)} ratio={killed / max(1, len(picked)):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
