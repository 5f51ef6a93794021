"""From which codes does a plain autoencoder draw digits: a standard normal's, or fitted ones?"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from experiments.autoencoders._common import Digits, Judge, over_seeds, shown, training
from fromnoise import figures
from fromnoise.autoencoders import fit_autoencoder


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    sizes: tuple[int, ...] = (2, 16)
    n_steps: int = 500
    width: int = 128
    components: tuple[int, ...] = (1, 10)
    judge_steps: int = 200
    n_test: int | None = None
    n_shown: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config((0, 1), (2,), 3, 8, (1, 2), judge_steps=2, n_test=70, n_shown=4),
}


def fitted_codes(z: Tensor, n_components: int, n: int, seed: int) -> Tensor:
    """Draws from a mixture of Gaussians with full covariances, fitted to codes."""
    model = GaussianMixture(n_components, reg_covar=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near its best is near enough
        drawn, _ = model.fit(z.double().numpy()).sample(n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(drawn).to(z)[order]


@torch.no_grad()
def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    with torch.enable_grad():
        judge = Judge.trained(data, config.judge_steps)
    results: dict = {"real": judge(data.train[: len(data.test)])}
    for n_latents in config.sizes:
        rows: dict[str, list] = {}
        spreads = []
        for seed in config.seeds:
            with torch.enable_grad():
                settings = training(config.n_steps, seed)
                model = fit_autoencoder(data.train, n_latents, config.width, settings=settings)
            z = model.encode(data.train)
            generator = torch.Generator().manual_seed(100 + seed)
            prior = torch.randn(len(data.test), n_latents, generator=generator)
            codes = {"copies": model.encode(data.test), "prior": prior} | {
                f"fitted{k}": fitted_codes(z, k, len(data.test), seed) for k in config.components
            }
            images = {name: model.decode(code) for name, code in codes.items()}
            for name, x in images.items():
                rows.setdefault(name, []).append(judge(x))
            distance = torch.cdist(prior, z).amin(1).median()
            own = torch.cdist(model.encode(data.test), z).amin(1).median()
            spreads.append(
                {
                    "spread": float(z.std(0).square().mean().sqrt()),
                    "off": float(z.mean(0).norm()),
                    "distance": float(distance / own),
                }
            )
            if seed == config.seeds[0]:
                results[f"z{n_latents}"] = {
                    "images": {name: shown(x[: config.n_shown]) for name, x in images.items()}
                }
        results[f"z{n_latents}"] |= {name: over_seeds(row) for name, row in rows.items()}
        results[f"z{n_latents}"]["codes"] = over_seeds(spreads)
    return results


def draw(results: dict) -> Figure:
    found = results["z16" if "z16" in results else "z2"]["images"]
    rows = {
        "copies": ("codes of new digits", "model"),
        "prior": ("codes from a standard normal", "broken"),
        "fitted1": ("codes from one fitted Gaussian", "model"),
        "fitted10": ("codes from ten fitted Gaussians", "model"),
    }
    present = {name: row for name, row in rows.items() if name in found}
    figure, axes = figures.figure(3.9, nrows=len(present), sharex=False)
    for (name, (text, role)), ax in zip(present.items(), axes, strict=True):
        figures.image_grid(ax, found[name], levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
    return figure
