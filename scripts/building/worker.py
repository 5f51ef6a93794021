"""What happens in the process of one experiment: run, check, draw twice, record, move into place.

Each experiment has a fresh process with one thread, so that it finds no state of another, and the
modules it loads are known.
"""

import contextlib
import dataclasses
import errno
import faulthandler
import importlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock

from building import fonts, freshness, lock, manifest, outputs, trained
from building.closure import Code, Sources
from building.manifest import Manifest
from building.syntax import combined
from building.tree import BuildError, Experiment
from fromnoise.provenance import CorruptFile, sha256_of, write_whole

N_THREADS = 1
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# Without these glibc returns the memory of one training step to the system and asks for it again in
# the next: a tenth of the time of an image network. 2**25 is the largest first value it takes.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)}
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib")
HEARTBEAT_S = 1.0
TRAINED = "trained.txt"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do."""

    experiment: Experiment
    size: str
    device: str
    only_draw: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a worker answers: an empty sentence is success."""

    seconds: float
    sentence: str = ""


def work(order: Order, answer: connection.Connection) -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    clock = Clock()
    started = time.monotonic()
    sentence = ""
    try:
        with _log(order.experiment.log(order.size)):
            try:
                _make(order, clock)
            except BaseException as error:
                traceback.print_exc()
                sentence = in_words(order, error)
    except OSError as error:  # the log itself cannot be written
        sentence = sentence or in_words(order, error)
    answer.send(Outcome(time.monotonic() - started, sentence))


class Clock:
    """Ends this process when its parent dies; keeps the run's seconds where a kill leaves them."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._before = self._started = 0.0
        parent = multiprocessing.parent_process()
        if parent is not None:
            threading.Thread(target=self._watch, args=(parent.sentinel,), daemon=True).start()

    def start(self, file: Path) -> None:
        """Count from what earlier attempts wrote."""
        with contextlib.suppress(OSError, ValueError):
            self._before = float(file.read_text())
        self._started = time.monotonic()
        self._file = file

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def _watch(self, parent: int) -> None:
        while True:
            orphaned = connection.wait([parent], timeout=HEARTBEAT_S)
            if self._file is not None:
                with contextlib.suppress(OSError):
                    write_whole(self._file, f"{self.seconds():.2f}".encode())
            if orphaned:
                os._exit(1)


def in_words(order: Order, error: BaseException) -> str:
    """One sentence for what went wrong."""
    name, log = order.experiment.name, order.experiment.log(order.size)
    if isinstance(error, BuildError):
        text = str(error)
        return text if text.startswith(name) else f"{name}: {text}"
    if isinstance(error, OSError) and error.errno in NO_ROOM | NO_PERMISSION:
        what = "there is no room for" if error.errno in NO_ROOM else "it is not allowed to write"
        file = error.filename2 or error.filename or "its outputs"
        return f"{name}: {what} {file} ({error.strerror}); nothing half-written was kept"
    where = f"; see {log.relative_to(order.experiment.root)}"
    if isinstance(error, MemoryError):
        return f"{name}: memory ran out{where}"
    told = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")
    # torch is not imported here just to name the class of fromnoise.training.
    if isinstance(error, ArithmeticError) or type(error).__name__ == "NonFiniteLoss":
        return f"{name}: {told}; nothing was kept{where}"
    return f"{name} failed: {told}{where}"


def _make(order: Order, clock: Clock) -> None:
    experiment, size = order.experiment, order.size
    # A worker whose parent was just killed may still be at work here for a moment.
    with FileLock(lock.folder(experiment.root) / f"{experiment.lock(size)}.worker"):
        sources = Sources(experiment.root)
        code = sources.code(experiment, size)
        module, before, loaded = _imported(experiment, sources, code)
        if order.only_draw:
            made = manifest.load(experiment.manifest(size))
            weights = {}
        else:
            made, workdir = _run(order, module, sources, code, clock)
            weights = _weights_of(order, sources, workdir)
            hashes = {name: sha256_of(file) for name, file in weights.items()}
            made = dataclasses.replace(made, outputs=hashes)
        _draw(order, module, made, code, weights, lambda: _audit(experiment, code, before, loaded))


def _imported(
    experiment: Experiment, sources: Sources, code: Code
) -> tuple[ModuleType, set[str], set[str]]:
    """The experiment's module; names of the modules loaded before and after its import."""
    sys.dont_write_bytecode = True
    for path in code.paths:
        # Python takes a cached module for current when whole seconds and size agree.
        Path(importlib.util.cache_from_source(experiment.root / path)).unlink(missing_ok=True)
    import torch

    torch.set_num_threads(N_THREADS)
    before = set(sys.modules)
    module = importlib.import_module(experiment.module)
    if Path(module.__file__ or "").resolve() != experiment.path.resolve():
        raise BuildError(f"{experiment.module} was imported from {module.__file__}")
    return module, before, set(sys.modules)


MOST_BYTES = 4_000_000
"""Published weights are committed and loaded by pages: what is larger does not belong there."""


def _read(experiment: Experiment, made: Manifest) -> dict[str, Any]:
    """What an experiment that needs this one is given: its results, and paths of its weights."""
    if not made.weights:
        return made.results
    folder = experiment.folder(made.size)
    weights = {name.split(".")[-2]: str(folder / name) for name in made.weights}
    return {**made.results, "weights": weights}


def _weights_of(order: Order, sources: Sources, workdir: Path) -> dict[str, Path]:
    """Where `run` left the weights it publishes, by the name they will have.

    Raises:
        BuildError: They are not there, too large, or a result has the name they go under.
    """
    experiment = order.experiment
    found = {}
    for name in sources.experiment(experiment)[1].publishes:
        file = workdir / f"{name}.safetensors"
        if not file.is_file():
            raise BuildError(f"{experiment.name} publishes {name!r} but run() left no {file.name}")
        if file.stat().st_size > MOST_BYTES:
            raise BuildError(f"{experiment.name}: {file.name} is over {MOST_BYTES / 1e6:g} MB")
        found[experiment.weights(order.size, name).name] = file
    return found


def _run(
    order: Order, module: ModuleType, sources: Sources, code: Code, clock: Clock
) -> tuple[Manifest, Path]:
    """The record of a run, without its outputs, and the folder it worked in."""
    import torch

    experiment, size = order.experiment, order.size
    config = module.SIZES[size]
    needs = freshness.needed(experiment, size, sources)
    needed = {
        name: manifest.load(Experiment(name, experiment.root).manifest(needed_size))
        for name, needed_size in needs.items()
    }
    needs_code = {name: made.results_hash for name, made in needed.items()}
    key = combined(code.run | code.data | needs_code)[:16]
    workdir = experiment.work(size) / f"{order.device}-{key}"
    arguments: list[Any] = [config, torch.device(order.device), workdir]
    if needs:
        arguments.append({n: _read(Experiment(n, experiment.root), m) for n, m in needed.items()})

    for is_last in (False, True):
        workdir.mkdir(parents=True, exist_ok=True)
        clock.start(workdir.with_suffix(".seconds"))
        try:
            with trained.noted(workdir / TRAINED):
                results = module.run(*arguments)
            break
        except CorruptFile:
            shutil.rmtree(workdir)
            if is_last:
                raise
            traceback.print_exc()
            print("A checkpoint is damaged: starting from the beginning.", file=sys.stderr)
        except BaseException as error:
            if isinstance(error, ArithmeticError) or type(error).__name__ == "NonFiniteLoss":
                shutil.rmtree(workdir)  # it would end the same way from any checkpoint
            raise
    results = manifest.checked_results(results, experiment.name)
    if sources.experiment(experiment)[1].publishes and "weights" in results:
        raise BuildError(f"{experiment.name}: call no result 'weights' beside published weights")
    made = Manifest(
        experiment=experiment.name,
        size=size,
        seed=_seeds(config, needed.values()),
        config=_plain(dataclasses.asdict(config)),
        results=results,
        run_code=code.run,
        draw_code={},
        data=code.data,
        needs=needs_code,
        trained=trained.sizes(workdir / TRAINED),
        outputs={},
        command=experiment.command(size),
        device=order.device,
        device_name=_device_name(order.device),
        n_threads=torch.get_num_threads(),
        versions=_versions(),
        wall_s=round(clock.seconds(), 2),
        draw_s=0.0,
    )
    return made, workdir


def _draw(
    order: Order,
    module: ModuleType,
    made: Manifest,
    code: Code,
    weights: dict[str, Path],
    audit: Callable[[], None],
) -> None:
    from fromnoise import figures

    experiment, size = order.experiment, order.size
    text = json.dumps(made.results)
    style = {"strict": True} if fonts.are_needed(experiment.root, size) else {}
    started = time.monotonic()
    with outputs.draft(experiment, size) as folder:
        hashes = dict(made.weights)
        for name, file in weights.items():
            shutil.copyfile(file, folder / name)
        for mode in ("light", "dark"):
            path = folder / experiment.figure(size, mode).name
            with figures.theme(mode, **style), _no_warnings(size):
                salt = experiment.name + ("" if mode == "light" else ".dark")
                figure = module.draw(json.loads(text))
                if figure is None:
                    raise BuildError("draw() returned None, not a matplotlib figure")
                figures.save(figure, path, salt)
            hashes[path.name] = sha256_of(path)
        audit()
        made = dataclasses.replace(
            made,
            draw_code=code.draw,
            outputs=hashes,
            draw_s=round(time.monotonic() - started, 2),
        )
        target = experiment.manifest(size)
        manifest.dump(made, folder / target.name)
        outputs.publish(folder, target.parent, target.name)
    shutil.rmtree(experiment.work(size), ignore_errors=True)


@contextlib.contextmanager
def _no_warnings(size: str) -> Iterator[None]:
    """A letter that the font lacks, or a panel squeezed to nothing, is no figure for the site."""
    with warnings.catch_warnings():
        if size != "smoke":  # a handful of points may well not fill a panel
            warnings.simplefilter("error", UserWarning)
        yield


def _audit(experiment: Experiment, code: Code, before: set[str], early: set[str]) -> None:
    """Fail when a loaded project module was outside the closure, or changed before it was loaded.

    Raises:
        BuildError: The static closure does not account for what ran.
    """
    root = experiment.root
    tops = (root / "src", root / "scripts")
    late = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in before or not file:
            continue
        path = Path(file).resolve()
        if not any(path.is_relative_to(top) for top in tops):
            continue
        label = path.relative_to(root).as_posix()
        if label not in code.paths:
            raise BuildError(
                f"{experiment.name} loaded {label}, which no import statement leads to: "
                "import it by name, so that its changes are noticed"
            )
        if name not in early:
            late.add(label)
    if late:
        now = Sources(root).code(experiment, _size_of(code))
        for label in late:
            if (now.run | now.draw).get(label) != (code.run | code.draw).get(label):
                raise BuildError(f"{experiment.name}: {label} changed while it ran; run it again")


def _size_of(code: Code) -> str:
    return next(key for key in code.run if key.endswith("]")).rpartition("[")[2].rstrip("]")


@contextlib.contextmanager
def _log(path: Path) -> Iterator[None]:
    """Send everything the process prints to a file, whichever library prints it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        faulthandler.enable(file)  # a crash inside a compiled library leaves its trace too
        yield


def _seeds(config: Any, needed: Iterable[Manifest]) -> int | list[int] | None:
    """The seed or seeds of the config; without one, those of the results it reads, or None."""
    for name in ("seed", "seeds"):
        if hasattr(config, name):
            return _plain(getattr(config, name))
    lists = [made.seed if isinstance(made.seed, list) else [made.seed] for made in needed]
    seeds = sorted({seed for seeds in lists for seed in seeds if seed is not None})
    return (seeds[0] if len(seeds) == 1 else seeds) if seeds else None


def _plain(value: Any) -> Any:
    """Config as JSON; what JSON lacks, such as a dtype, as its name."""
    return json.loads(json.dumps(value, default=str))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def _device_name(device: str) -> str:
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {capability}"
