"""What a minute of training on two cores gives: the digits model against its two aims.

Frechet distance at most 1.6 times the distance of real digits from real digits, and a classifier
two-sample test of at most 0.65. The number of steps is what this machine does in the time given,
so results differ between machines; this is a measurement, not a test. Run it on an idle machine.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from experiments.training._common import (  # noqa: E402
    SCHEDULE,
    TARGET,
    bits_per_pixel,
    denoiser_of,
    draw_digits,
    judge_for,
    judged,
)
from experiments.training.digits import SIZES  # noqa: E402
from fromnoise.datasets import digits  # noqa: E402
from fromnoise.denoising import denoising_loss  # noqa: E402
from fromnoise.evaluation import train_classifier  # noqa: E402
from fromnoise.intervals import mean_interval  # noqa: E402
from fromnoise.networks import UNet  # noqa: E402
from fromnoise.samplers import heun_step, uniform_times  # noqa: E402
from fromnoise.training import Progress, TrainingSettings, train  # noqa: E402

AIMS = {"ratio": 1.6, "c2st": 0.65}
PROBE_STEPS = 30


def fit(settings: TrainingSettings, told=None):
    """One training of the flagship's recipe; seconds and the averaged network."""
    config = SIZES["full"]
    network = UNet(8, config.channels, 10, dropout=config.dropout, seed=settings.seed)
    started = time.perf_counter()
    loss = denoising_loss(SCHEDULE, TARGET)
    trained = train(network, loss, tuple(digits().train), settings, progress=told)
    return time.perf_counter() - started, trained.network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="train this long, whatever the clock says")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config, data = SIZES["full"], digits()
    settings = TrainingSettings(
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        ema_decay=config.ema_decay,
        n_steps=PROBE_STEPS,
    )
    fit(settings)  # the first call fills caches
    probe, _ = fit(settings)
    n_steps = int(options.seconds / probe * PROBE_STEPS)
    print(f"{options.threads} threads: {n_steps} steps fit into {options.seconds:g} s")
    if options.steps:
        n_steps = options.steps
        print(f"training for {n_steps} steps instead, as asked")

    def told(progress: Progress) -> None:
        if progress.step % 20 == 0 and sys.stderr.isatty():
            print(f"\r{progress}   ", end="", file=sys.stderr, flush=True)

    classifier = train_classifier(*data.validation, n_steps=config.judge_steps)
    judge = judge_for(data, config.n_samples, classifier)
    images, labels = data.train
    rows = []
    for seed in range(options.seeds):
        seconds, network = fit(replace(settings, n_steps=n_steps, seed=seed), told)
        times = uniform_times(config.n_sampling_steps)
        started = time.perf_counter()
        denoiser = denoiser_of(network, labels)
        found = draw_digits(denoiser, len(labels), times, seed, step=heun_step)
        row = judged(found, labels, judge, images, seed)
        row |= {
            "bits": float(bits_per_pixel(network, data.test, config.n_draws).mean()),
            "train_s": seconds,
            "judge_s": time.perf_counter() - started,
        }
        rows.append(row)
        print(f"\rseed {seed}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))
    print(f"floor {judge.floor}")
    for key, aim in AIMS.items():
        found = mean_interval([row[key] for row in rows])
        verdict = "met" if found["mean"] <= aim else "missed"
        interval = f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        print(f"{key}: {interval}, aim {aim}: {verdict}")


if __name__ == "__main__":
    main()
