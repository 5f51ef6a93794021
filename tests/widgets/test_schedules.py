"""The widgets' schedules are the package's."""

import numpy as np
import pytest
import torch

from fromnoise.schedules import Cosine, Rectified, VPLinear

SCHEDULES = {"rectified": Rectified(), "cosine": Cosine(), "linear": VPLinear()}


def scales(javascript, name: str, times) -> np.ndarray:
    answers = javascript("maths/schedules.mjs", *(["scales", name, float(t)] for t in times))
    return np.array([list(answer.values()) for answer in answers], dtype=float)


@pytest.mark.parametrize("name", SCHEDULES)
def test_scales_and_their_slopes_are_the_packages(javascript, name) -> None:
    times = np.random.default_rng(0).uniform(0, 1, 1000)
    times[:2] = 1e-9, 1  # at 0 the slope of VPLinear is infinite, which JSON cannot say
    found = scales(javascript, name, times)
    wanted = torch.stack(SCHEDULES[name](torch.tensor(times)), 1).numpy()
    gap = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)
    assert gap.max() < 1e-5
    # What a reader of the formulas may get wrong is far from it.
    wrong = wanted * np.array([1, 1, -1, 1])
    assert (np.abs(found - wrong) / np.maximum(np.abs(wrong), 1)).max() > 1e-2


@pytest.mark.parametrize("name", SCHEDULES)
def test_times_of_a_log_snr_are_the_packages(javascript, name) -> None:
    low, high = (float(SCHEDULES[name](torch.tensor(t).double()).log_snr_t) for t in (0.999, 1e-3))
    log_snr = np.random.default_rng(1).uniform(low, high, 1000)
    found = np.array(
        javascript("maths/schedules.mjs", *(["timeAt", name, float(v)] for v in log_snr))
    )
    wanted = SCHEDULES[name].time_at(torch.tensor(log_snr)).numpy()
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(found - SCHEDULES[name].time(torch.tensor(-log_snr)).numpy()).max() > 1e-2


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_is_the_packages_and_endless_where_a_scale_is_zero(javascript, name) -> None:
    times = np.random.default_rng(2).uniform(0.001, 0.999, 1000)
    at = SCHEDULES[name](torch.tensor(times))
    calls = [
        ["logSnr", {"alpha": a, "sigma": s}]
        for a, s in zip(at.alpha_t.tolist(), at.sigma_t.tolist(), strict=True)
    ]
    found = np.array(javascript("maths/schedules.mjs", *calls))
    assert np.abs(found - at.log_snr_t.numpy()).max() < 1e-5
    assert np.abs(found - at.log_snr_t.numpy() / 2).max() > 1e-2
