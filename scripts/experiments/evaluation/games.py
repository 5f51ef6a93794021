"""Can each measure be made to praise samples that are worth nothing?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.evaluation._common import gray, nearest, over
from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.evaluation import (
    Classifier,
    c2st,
    frechet_distance,
    nearest_neighbor_ratio,
    train_classifier,
)
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import (
    Diluted,
    dequantize,
    fit_class_gaussians,
    fit_gaussian,
)
from fromnoise.sample_measures import kernel_distance, neighbor_measures, polynomial_kernel


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n: int = 400
    k: int = 5
    judge_steps: int = 600
    n_climb: int = 200
    n_match: int = 200
    n_folds: int = 3
    n_drawn: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n=30, judge_steps=2, n_climb=2, n_match=2, n_folds=2, n_drawn=4),
}


def climb(judge: Classifier, targets: Tensor, n_steps: int, seed: int) -> Tensor:
    """Noise, changed until the judge's features are the given ones."""
    shape = (len(targets), 1, 8, 8)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.1)
    for _ in range(n_steps):
        loss = (judge.features(x.clamp(-1, 1)) - targets).square().sum(1).mean()
        (x.grad,) = torch.autograd.grad(loss, [x])
        optimizer.step()
    return x.detach().clamp(-1, 1)


def match(judge: Classifier, targets: Tensor, n: int, n_steps: int, seed: int) -> Tensor:
    """Noise, changed until its kernel distance from the given features is least."""
    x = torch.randn((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed)).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(n_steps):
        features = judge.features(x.clamp(-1, 1))
        table = polynomial_kernel(features, features)
        within = (table.sum() - table.trace()) / (n * (n - 1))
        loss = within - 2 * polynomial_kernel(features, targets).mean()
        (x.grad,) = torch.autograd.grad(loss, [x])
        optimizer.step()
    return x.detach().clamp(-1, 1)


def linear_c2st(a: Tensor, b: Tensor, n_folds: int, seed: int) -> float:
    """The two-sample test with a classifier that sees means only."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    x = torch.cat([a.flatten(1), b.flatten(1)]).double().numpy()
    y = [0] * len(a) + [1] * len(b)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return float(cross_val_score(LogisticRegression(C=0.01), x, y, cv=folds).mean())


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    judge = train_classifier(*data.validation, n_steps=config.judge_steps, seed=0).eval()
    second = train_classifier(*data.validation, n_steps=config.judge_steps, seed=1).eval()
    real, n = data.test.images[: config.n], config.n
    n = len(real)
    b = judge.judge(real)
    found: dict[str, dict[str, list[float]]] = {}
    shown: dict[str, list] = {}

    def note(game: str, **values: float) -> None:
        for key, value in values.items():
            found.setdefault(game, {}).setdefault(key, []).append(value)

    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        fresh = data.train.images[torch.randperm(1000, generator=generator)[:n]]
        a = judge.judge(fresh)
        near = neighbor_measures(b, a, config.k)
        note(
            "honest",
            frechet=frechet_distance(a, b),
            kernel=kernel_distance(a, b),
            second_kernel=kernel_distance(second.judge(fresh), second.judge(real)),
            second=frechet_distance(second.judge(fresh), second.judge(real)),
            precision=near.precision,
            recall=near.recall,
            density=near.density,
            coverage=near.coverage,
            c2st=c2st(fresh, real, config.n_folds, seed),
        )
        # No images at all: rows drawn from the Gaussian of the features of training images.
        fitted = fit_gaussian(judge.judge(data.train.images).double(), 1e-6).sample(n, generator)
        # And noise that is bent until the judge sees in it what it sees in training images.
        bent = climb(judge, a, config.n_climb, seed)
        note(
            "frechet",
            features=frechet_distance(fitted, b),
            judged=frechet_distance(judge.judge(bent), b),
            second=frechet_distance(second.judge(bent), second.judge(real)),
            c2st=c2st(bent, real, config.n_folds, seed),
        )
        # Noise that is bent as a set: no image need have the features of any real one.
        seen = judge.judge(data.train.images)
        matched = match(judge, seen, n, config.n_match, seed)
        near = neighbor_measures(b, judge.judge(matched), config.k)
        note(
            "kernel",
            kernel=kernel_distance(judge.judge(matched), b),
            above_honest=kernel_distance(judge.judge(matched), b) - kernel_distance(a, b),
            second=kernel_distance(second.judge(matched), second.judge(real)),
            frechet=frechet_distance(judge.judge(matched), b),
            precision=near.precision,
            recall=near.recall,
            coverage=near.coverage,
            c2st=c2st(matched, real, config.n_folds, seed),
        )
        # The best sample is the one with the most real balls around it.
        radius = torch.cdist(b, b).kthvalue(config.k + 1, 1).values
        best = (torch.cdist(b, a) <= radius[:, None]).sum(0).argmax()
        one = neighbor_measures(b, a[best].expand_as(a), config.k)
        note("precision", **one._asdict(), frechet=frechet_distance(a[best].expand_as(a), b))
        # Some samples far out and wide apart: the ball of each holds everything that is real.
        far = a.clone()
        lost = torch.randn(n // 10, a.shape[1], generator=generator)
        center = b.mean(0)
        far[:] = center + 1e-3 * torch.randn(a.shape, generator=generator)
        far[: n // 10] = center + 40 * lost / lost.norm(dim=1, keepdim=True)
        note("recall", **neighbor_measures(b, far, config.k)._asdict())
        # The likelihood: every other sample is noise.
        flat = [
            dequantize(s.images.flatten(1).double(), 1 / 8, generator)
            for s in (data.train, data.test)
        ]
        good = fit_class_gaussians(flat[0], data.train.labels, 0.03)
        noise = Gaussian(torch.zeros(64).double(), torch.eye(64).double())
        half = Diluted(good, noise, 0.5)
        lost_nats = (good.log_prob(flat[1]) - half.log_prob(flat[1])).mean()
        samples = [
            snap_to_levels(p.sample(n, generator)).reshape(-1, 1, 8, 8).float()
            for p in (good, half)
        ]
        note(
            "likelihood",
            nats=float(lost_nats),
            good=-float(good.log_prob(flat[1]).mean()),
            frechet_good=frechet_distance(judge.judge(samples[0]), b),
            frechet=frechet_distance(judge.judge(samples[1]), b),
        )
        note(
            "c2st",
            weak=linear_c2st(samples[0], real, config.n_folds, seed),
            strong=c2st(samples[0], real, config.n_folds, seed),
        )
        # Copies, one pixel to the right.
        moved = torch.full_like(fresh, -1.0)
        moved[..., 1:] = fresh[..., :-1]
        back = torch.stack(
            [
                nearest(moved.roll(s, 3)[..., 1:-1], data.train.images[..., 1:-1])[0]
                for s in (-1, 0, 1)
            ]
        ).amin(0)
        held = torch.stack(
            [
                nearest(real.roll(s, 3)[..., 1:-1], data.train.images[..., 1:-1])[0]
                for s in (-1, 0, 1)
            ]
        ).amin(0)
        note(
            "neighbor",
            copies=nearest_neighbor_ratio(fresh, data.train.images, real),
            moved=nearest_neighbor_ratio(moved, data.train.images, real),
            searched=float(back.median() / held.median()),
        )
        if seed == config.seeds[0]:
            m = config.n_drawn
            shown = {
                "frechet": gray(bent[:m]),
                "kernel": gray(matched[:m]),
                "precision": gray(fresh[best].expand(m, -1, -1, -1)),
                "likelihood": gray(samples[1][:m]),
                "c2st": gray(samples[0][:m]),
                "neighbor": gray(moved[:m]),
            }
    return {
        **{game: {k: over(v) for k, v in values.items()} for game, values in found.items()},
        "images": shown,
    }


def draw(results: dict) -> Figure:
    rows = {
        "frechet": "Fréchet",
        "kernel": "kernel",
        "precision": "precision",
        "likelihood": "likelihood",
        "c2st": "two-sample",
        "neighbor": "neighbors",
    }
    figure, ax = figures.figure(3.4)
    figures.image_grid(
        ax, [results["images"][name] for name in rows], levels=(0, 16), role="broken"
    )
    for i, label in enumerate(rows.values()):
        ax.text(-1.5, 9 * i + 3.5, label, ha="right", va="center", fontsize=9)
    ax.set_xlim(-21, None)
    return figure
