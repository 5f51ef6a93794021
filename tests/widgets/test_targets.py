"""The widgets' targets are the package's: what is asked for, and the data that an answer means."""

import numpy as np
import pytest
import torch

from fromnoise.schedules import VPLinear
from fromnoise.targets import (
    PredictEps,
    PredictScore,
    PredictV,
    PredictVelocity,
    PredictX0,
    eps_from_x_0,
)

TARGETS = {
    "x_0": PredictX0(),
    "eps": PredictEps(),
    "v": PredictV(),
    "velocity": PredictVelocity(),
    "score": PredictScore(),
}


@pytest.mark.parametrize("name", TARGETS)
def test_truth_and_data_of_an_answer_are_the_packages(javascript, name) -> None:
    generator = torch.Generator().manual_seed(0)
    x, eps, said = torch.randn(3, 1000, generator=generator, dtype=torch.float64)
    at = VPLinear()(torch.tensor(0.31, dtype=torch.float64))
    scales = {
        "alpha": float(at.alpha_t),
        "sigma": float(at.sigma_t),
        "dAlpha": float(at.d_alpha_t),
        "dSigma": float(at.d_sigma_t),
    }
    truth, data, noise = javascript(
        "maths/targets.mjs",
        ["truth", name, x.tolist(), eps.tolist(), scales],
        ["dataFrom", name, said.tolist(), x.tolist(), scales],
        ["noiseFrom", said.tolist(), x.tolist(), scales],
    )
    wanted = [
        TARGETS[name].true(x, eps, at),
        TARGETS[name].x_0_hat(said, x, at),
        eps_from_x_0(said, x, at),
    ]
    for found, right in zip((truth, data, noise), wanted, strict=True):
        assert np.abs(np.array(found) - right.numpy()).max() < 1e-5
    # The noise with its sign turned is noticed wherever the noise counts.
    if name != "x_0":
        turned = TARGETS[name].true(x, -eps, at).numpy()
        assert np.abs(np.array(truth) - turned).max() > 1e-2
