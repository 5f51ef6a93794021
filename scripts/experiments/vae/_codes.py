"""How well the codes of a model with two latents fill the prior: measured, and ready to draw."""

from pathlib import Path

import numpy as np
import torch

from experiments.vae._common import flat
from fromnoise.aggregate_posterior import (
    log_aggregate,
    log_likelihood_on_plane,
    plane,
    rate_split,
)
from fromnoise.datasets import Split, to_levels
from fromnoise.elbo import diagonal_log_prob, reparameterize
from fromnoise.information import bits_per_dim
from fromnoise.provenance import save_tensors

ZERO = torch.zeros(2)


@torch.no_grad()
def filling(model, train, test, n_side: int, seed: int) -> dict[str, float]:
    """Rate in its two parts, the share of the prior that lies in a hole, and log p(x)."""
    z_mean, z_log_var = model.encode(train)
    generator = torch.Generator().manual_seed(seed)
    # Five draws per image: the information then moves by less than 0.01 nats between draws.
    split = rate_split(z_mean, z_log_var, 5, generator)
    grid = plane(6.0, n_side)
    log_pz = diagonal_log_prob(grid.z, ZERO, ZERO)
    log_qz = log_aggregate(grid.z, z_mean, z_log_var)
    # A hole: codes ten times rarer than the prior expects them.
    hole = (log_pz.exp() * np.exp(grid.log_cell))[log_qz < log_pz - np.log(10)].sum()
    log_px = log_likelihood_on_plane(model, test, grid)
    return {
        "information": split.information,
        "misfit": split.misfit,
        "hole_share": float(hole),
        "spread": float(z_mean.std(0).mean()),
        "exact": float(bits_per_dim(-log_px.mean(), 64)),
    }


@torch.no_grad()
def shown(model, train, n_codes: int, n_samples: int, seed: int) -> dict:
    """Codes of training digits, and draws from the prior, the best covered first."""
    generator = torch.Generator().manual_seed(seed)
    z_mean, z_log_var = model.encode(train)
    eps = torch.randn(z_mean.shape, generator=generator)
    codes = reparameterize(z_mean, z_log_var, eps)[:n_codes]
    z = torch.randn(400, 2, generator=generator)
    cover = log_aggregate(z, z_mean, z_log_var) - diagonal_log_prob(z, ZERO, ZERO)
    order = cover.argsort(descending=True)[:: 400 // n_samples][:n_samples]
    samples = model.likelihood.mean(model.decode(z[order]))
    return {
        "codes": [[round(value, 2) for value in code] for code in codes.tolist()],
        "samples": ((samples + 1) * 80).round().int().tolist(),  # tenths of a gray level
    }


@torch.no_grad()
def save_map(model, split: Split, path: Path) -> None:
    """The decoder, and the digits that it is a map of: posterior means, classes, gray levels."""
    save_tensors(
        path,
        {
            **{f"decoder.{key}": value for key, value in model.decoder.state_dict().items()},
            "codes": model.encode(flat(split))[0].contiguous(),
            "labels": split.labels.to(torch.uint8),
            "levels": to_levels(flat(split)).to(torch.uint8),
        },
    )
