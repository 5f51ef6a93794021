"""What one step costs: training each network, and drawing with each sampler.

Nothing here passes or fails. A training step is held against the same arithmetic in a plain loop,
without the average, the checks and the schedule of the learning rate, and against the matrix
product that this machine can do at best; a sampler's step against the network it asks. All that is
compared is measured in turns, in one run, and medians are printed: these machines are noisy. The
record lies in .build/benchmarks/steps.json.
"""

import argparse
import copy
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from fromnoise.datasets import digits  # noqa: E402
from fromnoise.denoising import as_denoiser, denoising_loss  # noqa: E402
from fromnoise.dit import DiT  # noqa: E402
from fromnoise.multistep import DPMSolverMultistep, UniPC  # noqa: E402
from fromnoise.networks import MLP, UNet  # noqa: E402
from fromnoise.samplers import (  # noqa: E402
    Step,
    ancestral_step,
    ddim_step,
    euler_step,
    heun_step,
    sample,
    uniform_times,
)
from fromnoise.schedules import Rectified  # noqa: E402
from fromnoise.solvers import (  # noqa: E402
    dpm_solver_1_step,
    dpm_solver_2_step,
    dpm_solver_3_step,
)
from fromnoise.targets import PredictVelocity  # noqa: E402
from fromnoise.text import next_character_loss  # noqa: E402
from fromnoise.training import Loss, TrainingSettings, train  # noqa: E402
from fromnoise.transformer import Transformer  # noqa: E402

SCHEDULE, TARGET = Rectified(), PredictVelocity()
RECORD = ROOT / ".build" / "benchmarks" / "steps.json"


@dataclass(frozen=True)
class Work:
    """A network, what it is trained on, and its loss."""

    network: nn.Module
    data: tuple[Tensor, ...]
    loss: Loss
    batch_size: int


def works() -> dict[str, Work]:
    """The four kinds of network at the sizes that the book trains."""
    generator = torch.Generator().manual_seed(0)
    images = tuple(digits().train)
    points = (torch.randn((4096, 2), generator=generator),)
    text = (torch.randint(0, 40, (256, 64), generator=generator),)
    denoising = denoising_loss(SCHEDULE, TARGET)
    return {
        "MLP": Work(MLP(2, 128), points, denoising, 256),
        "U-Net": Work(UNet(8, 32, 10), images, denoising, 128),
        "DiT": Work(DiT(8, 64, 10), images, denoising, 128),
        "transformer": Work(Transformer(40, 64), text, next_character_loss, 32),
    }


SAMPLERS: dict[str, tuple[Callable[[], Step], int]] = {
    "ancestral": (lambda: ancestral_step, 1),
    "DDIM": (lambda: ddim_step, 1),
    "Euler": (lambda: euler_step, 1),
    "Heun": (lambda: heun_step, 2),
    "DPM-Solver++ 1": (lambda: dpm_solver_1_step, 1),
    "DPM-Solver++ 2": (lambda: dpm_solver_2_step, 2),
    "DPM-Solver++ 3": (lambda: dpm_solver_3_step, 3),
    "DPM-Solver++ 2M": (lambda: DPMSolverMultistep(2), 1),
    "DPM-Solver++ 3M": (lambda: DPMSolverMultistep(3), 1),
    "UniPC": (UniPC, 1),
}
"""How to begin, and how often a step asks the network."""


def library_steps(work: Work, n: int) -> Iterator[float]:
    """Seconds of each of n steps of the library's loop."""
    moments = [time.perf_counter()]
    settings = TrainingSettings(n_steps=n, batch_size=work.batch_size)
    train(
        work.network,
        work.loss,
        work.data,
        settings,
        progress=lambda _: moments.append(time.perf_counter()),
    )
    # The first interval also holds the copy of the network.
    yield from (b - a for a, b in itertools.pairwise(moments))


def plain_steps(work: Work, n: int) -> Iterator[float]:
    """Seconds of each of n steps with nothing but the loss, its gradient and AdamW."""
    network = copy.deepcopy(work.network).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        started = time.perf_counter()
        rows = torch.randint(len(work.data[0]), (work.batch_size,), generator=generator)
        value = work.loss(network, tuple(part[rows] for part in work.data), generator)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        yield time.perf_counter() - started


def flops(work: Work) -> int:
    """Floating-point operations of one loss and its gradient."""
    generator = torch.Generator().manual_seed(0)
    batch = tuple(part[: work.batch_size] for part in work.data)
    with FlopCounterMode(display=False) as counter:
        work.loss(work.network, batch, generator).backward()
    return counter.get_total_flops()


def matmul_seconds(size: int = 768) -> float:
    """One product of two square matrices."""
    a = torch.ones((size, size))
    started = time.perf_counter()
    a @ a
    return time.perf_counter() - started


def measure_training(rounds: int, n: int) -> dict[str, dict[str, float]]:
    """Each network: milliseconds, ratio to the plain loop, share of the matmul ceiling."""
    found = {}
    for name, work in works().items():
        ours: list[float] = []
        plain: list[float] = []
        products: list[float] = []
        for _ in range(rounds):
            ours += library_steps(work, n + 1)
            plain += plain_steps(work, n)
            products += [matmul_seconds() for _ in range(5)]
        step = statistics.median(ours)
        ceiling = 2 * 768**3 / statistics.median(products)
        found[name] = {
            "step_ms": 1e3 * step,
            "ratio_to_plain_loop": step / statistics.median(plain),
            "share_of_matmul_peak": flops(work) / step / ceiling,
            "matmul_gflops": ceiling / 1e9,
        }
    return found


@torch.no_grad()
def measure_sampling(rounds: int, n_steps: int = 10) -> dict[str, dict[str, float]]:
    """Each sampler: milliseconds per step, and per evaluation as a ratio to the bare network."""
    network = UNet(8, 32, 10).eval()
    denoiser = as_denoiser(network, SCHEDULE, TARGET, torch.arange(16) % 10)
    x_1 = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    half = torch.full((16,), 0.5)
    # Not from pure noise: a step in log-SNR cannot start where the signal is gone.
    times = uniform_times(n_steps, t_max=0.99, t_min=0.01)
    ours: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    bare: list[float] = []
    for _ in range(rounds):
        for name, (begin, _) in SAMPLERS.items():
            generator = torch.Generator().manual_seed(0)
            started = time.perf_counter()
            sample(denoiser, SCHEDULE, x_1, times, begin(), generator)
            ours[name].append((time.perf_counter() - started) / n_steps)
            started = time.perf_counter()
            network(x_1, half, torch.arange(16) % 10)
            bare.append(time.perf_counter() - started)
    evaluation = statistics.median(bare)
    return {
        name: {
            "step_ms": 1e3 * statistics.median(seconds),
            "evaluations": SAMPLERS[name][1],
            "ratio_to_network": statistics.median(seconds) / SAMPLERS[name][1] / evaluation,
        }
        for name, seconds in ours.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure_training(1, 3)  # the first calls fill caches
    training = measure_training(options.rounds, 8)
    sampling = measure_sampling(options.rounds)
    print(f"{'training':18}{'ms/step':>9}{'of plain':>10}{'of peak':>9}")
    for name, row in training.items():
        print(
            f"{name:18}{row['step_ms']:9.2f}{row['ratio_to_plain_loop']:10.2f}"
            f"{row['share_of_matmul_peak']:9.1%}"
        )
    print(f"{'sampling':18}{'ms/step':>9}{'asks':>10}{'of bare':>9}")
    for name, row in sampling.items():
        print(
            f"{name:18}{row['step_ms']:9.2f}{row['evaluations']:10d}{row['ratio_to_network']:9.2f}"
        )
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": options.threads,
        "torch": torch.__version__,
        "rounds": options.rounds,
        "training": training,
        "sampling": sampling,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
