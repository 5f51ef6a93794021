"""A small project in a folder of its own: the real build script, tiny experiments, a fake torch."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_TORCH = '''
"""Only what the build script itself asks of torch: starting the real one takes over a second."""
import types

__version__ = "0"
class device(str):
    type = "cpu"
def set_num_threads(n): pass
def get_num_threads(): return 1
class cuda:
    is_available = staticmethod(lambda: False)
class cpu:
    get_cpu_capability = staticmethod(lambda: "FAKE")
backends = types.SimpleNamespace(cpu=cpu)
'''

FAKE_OPTIMIZER = '''
"""An optimizer that moves nothing, and says so to whoever asked to be told of every step."""
from types import SimpleNamespace

HOOKS = []
def register_optimizer_step_post_hook(hook):
    HOOKS.append(hook)
    return SimpleNamespace(remove=lambda: HOOKS.remove(hook))

class Optimizer:
    def __init__(self, *sizes):
        numbers = [SimpleNamespace(numel=lambda size=size: size) for size in sizes]
        self.param_groups = [{"params": numbers}]
    def step(self):
        for hook in HOOKS:
            hook(self, (), {})
'''

FAKE_FIGURES = '''
"""Figures that are text; the shade comes from the theme."""
from contextlib import contextmanager
from pathlib import Path

STROKE = 1
MODE = "none"

@contextmanager
def theme(mode):
    global MODE
    MODE = mode
    yield
    MODE = "none"

def save(figure, path, salt):
    Path(path).write_text(f"<svg>{figure} {MODE} {salt} {STROKE}</svg>\\n")
'''

EXPERIMENT = '''
"""What is twice the number?

More words.
"""
from dataclasses import dataclass
from fromnoise import numbers, figures

@dataclass(frozen=True)
class Config:
    seed: int = 0
    number: float = 1.5

SIZES = {"full": Config(), "smoke": Config(number=0.5)}

def run(config, device, workdir):
    with open("runs.txt", "a") as file:
        file.write(f"{config.number}\\n")
    return {"twice": numbers.twice(config.number), "nested": {"list": [1, 2.5, [3]]}}

def draw(results):
    return label(results)

def label(results):
    return f"twice is {results['twice']} width {figures.STROKE}"
'''

NUMBERS = '''
"""Arithmetic."""

def twice(x):
    """Two of it."""
    return 2 * x  # not x * x
'''


class Project:
    """The tree and the commands in it."""

    def __init__(self, root: Path, like: "Project | None" = None) -> None:
        self.root = root
        if like is not None:
            shutil.copytree(like.root, root)
            return
        (root / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "build_figures.py", root / "scripts")
        shutil.copytree(
            ROOT / "scripts" / "building",
            root / "scripts" / "building",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.write("fake/torch/__init__.py", FAKE_TORCH)
        self.write("fake/torch/optim/__init__.py", "from torch.optim.optimizer import Optimizer")
        self.write("fake/torch/optim/optimizer.py", FAKE_OPTIMIZER)
        for library in ("numpy", "scipy", "sklearn", "matplotlib"):
            self.write(f"fake/{library}.py", "")
        self.write("src/fromnoise/__init__.py", "")
        self.write("src/fromnoise/figures.py", FAKE_FIGURES)
        self.write("src/fromnoise/numbers.py", NUMBERS)
        shutil.copy(ROOT / "src/fromnoise/provenance.py", root / "src/fromnoise")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def experiment(self, name: str, text: str = EXPERIMENT) -> Path:
        return self.write(f"scripts/experiments/{name}.py", text)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new))

    def start(self, *arguments: object, **options) -> subprocess.Popen:
        command = [
            sys.executable,
            str(self.root / "scripts/build_figures.py"),
            *map(str, arguments),
        ]
        environment = {**os.environ, "PYTHONPATH": str(self.root / "fake")}
        # A suite that runs in the background inherits a deaf ear for Ctrl-C and would pass it on.
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.root,
            start_new_session=True,
            **options,
        )

    def call(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def build(self, *arguments: object) -> subprocess.CompletedProcess:
        done = self.call("run", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def states(self, size: str | None = None) -> dict[str, tuple[str, str]]:
        """State and reason by name, as `list` and the site see them."""
        from building.freshness import states

        return {row.name: (row.state, row.reason) for row in states(self.root, size)}

    def runs(self) -> int:
        """How often an experiment of this project ran."""
        file = self.root / "runs.txt"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def files(self) -> dict[str, bytes]:
        """What the site would show."""
        found = sorted(path for path in self.figures.rglob("*") if path.is_file())
        return {path.relative_to(self.figures).as_posix(): path.read_bytes() for path in found}

    @property
    def figures(self) -> Path:
        return self.root / "docs" / "figures"


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("built") / "tree")
    made.experiment("numbers/twice")
    made.build()
    return made


@pytest.fixture
def built(built_once: Project, tmp_path: Path) -> Project:
    """A project whose figure is fresh, to be damaged at will."""
    return Project(tmp_path / "tree", like=built_once)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "tree")
    made.experiment("numbers/twice")
    return made
