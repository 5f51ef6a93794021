"""What does a noisy image say of a measurement, and what does DPS say in its place?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.inverse._common import F64, normal
from fromnoise import figures
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Cosine, Scales


@dataclass(frozen=True)
class Config:
    n_points: int = 161
    noise_std: float = 0.3
    y: float = 1.2
    times: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    shown: float = 0.6


SIZES = {"full": Config(), "smoke": Config(n_points=11, times=(0.3, 0.6))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    two = GaussianMixture(
        torch.tensor([0.5, 0.5], dtype=F64),
        torch.tensor([[-1.0], [1.0]], dtype=F64),
        0.2**2 * torch.ones(2, 1, 1, dtype=F64),
    )
    one = Gaussian(torch.zeros(1, dtype=F64), torch.ones(1, 1, dtype=F64))
    x = torch.linspace(-2.5, 2.5, config.n_points, dtype=F64)[:, None]
    found: dict = {"x": x[:, 0].tolist()}
    for name, prior in (("one", one), ("two", two)):
        logs = log_likelihoods(prior, x, at(config.shown), config.y, config.noise_std)
        found[name] = {key: value.exp().tolist() for key, value in logs.items()}
    found["two_slope_error"] = {}
    for i, t in enumerate(config.times):
        x_0 = two.sample(2000, torch.Generator().manual_seed(i))
        eps = normal((2000, 1), 100 + i, F64)
        points = at(t).alpha_t * x_0 + at(t).sigma_t * eps
        points = points.requires_grad_()
        logs = log_likelihoods(two, points, at(t), config.y, config.noise_std)
        slopes = {
            key: torch.autograd.grad(value.sum(), points, retain_graph=True)[0]
            for key, value in logs.items()
        }
        size = slopes["exact"].square().mean().sqrt()
        for key in ("dps", "guided"):
            error = (slopes[key] - slopes["exact"]).square().mean().sqrt() / size
            found["two_slope_error"].setdefault(key, {})[f"t{round(100 * t)}"] = float(error)
    found["times"] = list(config.times)
    # On the Gaussian the whole loss is one variance.
    scales = at(config.shown)
    left = one.posterior_covariance(torch.zeros(1, 1, dtype=F64), scales)[0, 0, 0]
    found["forgotten"] = float((left + config.noise_std**2) / config.noise_std**2)
    return found


def at(t: float) -> Scales:
    return Cosine()(torch.tensor([t], dtype=F64))


def log_likelihoods(
    prior: Gaussian | GaussianMixture, x_t: torch.Tensor, scales: Scales, y: float, noise_std: float
) -> dict[str, torch.Tensor]:
    """The log of p(y | x_t): exact, at the estimate, and of a Gaussian with the right variance."""
    mixed = prior
    if isinstance(prior, Gaussian):
        mixed = GaussianMixture(torch.ones(1, dtype=F64), prior.mean[None], prior.covariance[None])
    column = Scales(*(part[..., None] for part in scales))
    means = mixed.components.posterior_mean(x_t[:, None, :], column)[..., 0]
    spread = mixed.components.posterior_covariance(x_t[:, None, :], column)[..., 0, 0]
    weights = mixed.noised(scales).responsibilities(x_t).log()
    target = torch.tensor(y, dtype=F64)

    def normal(mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(mean, var.sqrt()).log_prob(target)

    x_0_hat = mixed.posterior_mean(x_t, scales)[:, 0]
    whole = mixed.posterior_covariance(x_t, scales)[:, 0, 0].detach()
    noise = torch.tensor(noise_std**2, dtype=F64)
    return {
        "exact": (weights + normal(means, spread + noise)).logsumexp(-1),
        "dps": normal(x_0_hat, noise),
        "guided": normal(x_0_hat, whole + noise),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.7, ncols=2, sharey=False)
    styles = (
        ("exact", "data", "exact"),
        ("dps", "broken", "at the estimate"),
        ("guided", "model", "with variance"),
    )
    for ax, name, title in ((axes[0], "one", "Gaussian data"), (axes[1], "two", "two bells")):
        for key, role, text in styles:
            ax.plot(results["x"], results[name][key], **figures.line_style(role), label=text)
        ax.set(xlabel="noisy datum")
        figures.panel_label(ax, title)
    axes[0].set_ylabel("likelihood of y")
    axes[1].legend(fontsize=8)
    return figure
