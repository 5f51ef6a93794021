"""Plant small faults in the library, one at a time, and see whether the tests notice each.

    python scripts/mutate.py                 every module of the mathematics
    python scripts/mutate.py --core          the core, in under a minute: what the test suite runs
    python scripts/mutate.py score sde       these modules

Survivors must be listed in tests/mutation/equivalent.toml with the reason why no test can see them.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "fromnoise"
EQUIVALENT = ROOT / "tests" / "mutation" / "equivalent.toml"
CORE = ("schedules", "targets", "diffusion", "samplers", "guidance", "gaussian_kl")
NOT_MATHEMATICS = {"datasets", "downloads", "figures", "provenance"}
NEEDED = 0.95


def main(arguments: list[str] | None = None) -> int:
    """Print each survivor and the share that was noticed; 1 if it is too small."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="such as score or families.gan")
    parser.add_argument("--core", action="store_true", help="only " + ", ".join(CORE))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args(arguments)
    names = chosen.modules or (CORE if chosen.core else _all_modules())
    unknown = [name for name in names if not _path(name).is_file()]
    if unknown:
        parser.error(f"there is no module {unknown[0]}; there are {', '.join(_all_modules())}")

    # Set before torch starts: its threads would not outlive a fork.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    sys.path[:0] = [str(ROOT / "scripts")]
    from mutation.mutants import mutants
    from mutation.session import judged

    faults = [mutant for name in names for mutant in mutants(_path(name))]
    verdicts = judged(faults, _tests_for(names, only_own=chosen.core), chosen.jobs)
    excused = tomllib.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    left = [*verdicts.survived, *verdicts.uncalled]
    listed = [mutant for mutant in left if mutant.label in excused]
    problems = []
    for mutant in sorted(left, key=lambda mutant: (mutant.path, mutant.line)):
        if mutant.label not in excused:
            why = " (no test calls it)" if mutant in verdicts.uncalled else ""
            problems.append(f"{_place(mutant)}: {mutant.label}{why}")
    problems += [f"{_place(mutant)}: {mutant.label}: {why}" for mutant, why in verdicts.odd]
    problems += [f"fails without any fault: {test}" for test in verdicts.broken]
    files = {mutant.path.stem for mutant in faults}
    missed = {mutant.label for mutant in left}
    problems += [
        f"{EQUIVALENT.name} excuses what is noticed or gone: {label}"
        for label in excused
        if label.partition(".")[0] in files and label not in missed
    ]
    print(*problems, sep="\n", end="\n" if problems else "")
    shares = {}
    for path in sorted({mutant.path for mutant in faults}):
        # What no test can see is no fault: the share is that of the others.
        total = sum(mutant.path == path for mutant in faults)
        total -= sum(mutant.path == path for mutant in listed)
        killed = sum(mutant.path == path for mutant, _ in verdicts.killed)
        shares[path] = killed / max(total, 1)
        name = str(path.relative_to(SOURCE).with_suffix(""))
        print(f"{name:32}{killed:5} of {total:4}{shares[path]:8.1%}")
    print(
        f"{len(verdicts.killed)} of {len(faults)} faults noticed, "
        f"{len(listed)} survivors with a reason, {len(left) - len(listed)} without; "
        f"{verdicts.seconds:.0f} s"
    )
    return int(bool(problems) or min(shares.values(), default=1) < NEEDED)


def _place(mutant) -> str:
    return f"{mutant.path.relative_to(ROOT)}:{mutant.line}"


def _all_modules() -> list[str]:
    files = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files]
    return sorted(name for name in names if name not in NOT_MATHEMATICS)


def _path(name: str) -> Path:
    return SOURCE.joinpath(*name.split(".")).with_suffix(".py")


def _tests_for(names: list[str] | tuple[str, ...], only_own: bool) -> list[Path]:
    """The modules' own tests, then all others that import them, which take longer."""
    tests = ROOT / "tests"
    own = [tests / _path(name).relative_to(SOURCE) for name in names]
    own = [path.with_name(f"test_{path.name}") for path in own]
    others = [] if only_own else [*tests.glob("test_*.py"), *tests.glob("equations/test_*.py")]
    wanted = [
        path
        for path in sorted(set(others) - set(own))
        if any(f"fromnoise.{name} import" in path.read_text() for name in names)
    ]
    return [path for path in (*own, *wanted) if path.is_file()]


if __name__ == "__main__":
    sys.exit(main())
