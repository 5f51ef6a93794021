"""Consistency maps, held against the exact probability-flow map of Gaussian data."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from chance import covariance_gap
from fromnoise.consistency import (
    consistency_function,
    consistency_training_loss,
    distillation_loss,
    sample_consistency,
)

T_MIN, S = 0.05, 0.8
DRAWS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TIMES = torch.linspace(0.1, 3.0, 64, dtype=torch.float64)


def exact(x: Tensor, t: Tensor) -> Tensor:
    """Along the path of N(0, S^2) data, x_t / sqrt(S^2 + t^2) does not change."""
    return x * ((S**2 + T_MIN**2) / (S**2 + t**2)).sqrt()[:, None]


def teacher(x: Tensor, t: Tensor) -> Tensor:
    return x * (S**2 / (S**2 + t**2))[:, None]


def test_boundary_holds_for_any_network_and_fails_at_another_time() -> None:
    f = consistency_function(lambda x, t: x.sin() + 3, t_min=T_MIN, sigma_data=S)
    at_start = torch.full((64,), T_MIN, dtype=torch.float64)
    torch.testing.assert_close(f(DRAWS, at_start), DRAWS, rtol=0, atol=1e-15)
    assert (f(DRAWS, at_start + 0.1) - DRAWS).abs().max() > 1e-2


def step_loss(step: float, wrong: float = 1.0) -> float:
    def denoiser(x: Tensor, t: Tensor) -> Tensor:
        return wrong * teacher(x, t)

    t = torch.full_like(TIMES, 1.0)
    return float(distillation_loss(exact, exact, denoiser, DRAWS, t, t - step))


def test_exact_map_has_distillation_loss_of_the_euler_step() -> None:
    # The local error of Euler is O(step^2), so its square falls as step^4.
    assert step_loss(1e-2) / step_loss(5e-3) == pytest.approx(16, rel=0.02)
    assert step_loss(1e-2, 0.9) / step_loss(5e-3, 0.9) == pytest.approx(4, rel=0.1)


def test_training_loss_is_the_difference_at_two_levels_and_gives_the_target_no_gradient() -> None:
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x_0, eps = S * DRAWS, DRAWS.flip(0)
    loss = consistency_training_loss(
        lambda x, t: x.detach(), lambda x, t: scale * x, x_0, eps, TIMES, TIMES / 2
    )
    assert not loss.requires_grad
    torch.testing.assert_close(loss, ((TIMES / 2)[:, None] * eps).square().mean())


def test_multistep_samples_have_the_exact_variance_and_a_shrinking_map_has_not() -> None:
    # f is linear here: its squared factor times the variance put in must give S^2 + t_min^2.
    n = 200_000
    g = torch.Generator().manual_seed(1)
    x = (S**2 + 9) ** 0.5 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    out = sample_consistency(exact, x, [3.0, 1.0, 0.3], t_min=T_MIN, generator=g)
    # 200,000 draws see a variance that is off by 4 percent.
    assert covariance_gap(out, S**2 + T_MIN**2) < 1
    wrong = sample_consistency(
        lambda x, t: 0.95 * exact(x, t), x, [3.0, 1.0, 0.3], t_min=T_MIN, generator=g
    )
    assert covariance_gap(wrong, S**2 + T_MIN**2) > 1


@pytest.mark.parametrize("levels", [[], [1.0, 2.0], [1.0, 0.01]])
def test_levels_that_do_not_fall_to_t_min_are_refused(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="levels must fall"):
        sample_consistency(exact, DRAWS, levels, t_min=T_MIN, generator=torch.Generator())


def test_noise_is_added_only_up_to_the_level() -> None:
    # The clean end already holds noise of level t_min, so going there again adds exactly nothing.
    g = torch.Generator().manual_seed(2)
    out = sample_consistency(lambda x, t: x, DRAWS, [1.0, 0.5], t_min=0.5, generator=g)
    assert torch.equal(out, DRAWS)


def test_equal_or_negative_levels_are_refused() -> None:
    for earlier in (TIMES, -TIMES):
        with pytest.raises(ValueError, match="0 < earlier < t"):
            consistency_training_loss(exact, exact, DRAWS, DRAWS, TIMES, earlier)


def test_the_two_coefficients_are_those_of_the_paper() -> None:
    t = torch.tensor([0.05, 0.3, 2.0], dtype=torch.float64)
    x = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    found = consistency_function(lambda x, t: 3 * x, t_min=T_MIN, sigma_data=S)(x, t)
    for i, level in enumerate((0.05, 0.3, 2.0)):
        skip = S**2 / ((level - T_MIN) ** 2 + S**2)
        out = S * (level - T_MIN) / math.sqrt(S**2 + level**2)
        assert found[i] == pytest.approx((skip + 3 * out) * float(x[i]), rel=1e-14)


def test_the_distillation_loss_is_its_formula() -> None:
    def student(x: Tensor, t: Tensor) -> Tensor:
        return x * t[:, None] ** 2

    earlier = TIMES / 3
    loss = distillation_loss(student, student, teacher, DRAWS, TIMES, earlier)
    slope = (DRAWS - teacher(DRAWS, TIMES)) / TIMES[:, None]
    there = DRAWS + (earlier - TIMES)[:, None] * slope
    expected = (student(DRAWS, TIMES) - student(there, earlier)).square().sum() / DRAWS.numel()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_other_bad_levels_are_refused() -> None:
    for t_min, sigma in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            consistency_function(exact, t_min=t_min, sigma_data=sigma)
    jump = partial(sample_consistency, exact, DRAWS, generator=torch.Generator())
    for levels, t_min in (
        ([3.0, 1.0, 1.0], 0.5),
        ([3.0, 1.0, 2.0], 0.5),
        ([1.0], 0.0),
        ([3.0, 2.0, 0.1], 0.5),
    ):
        with pytest.raises(ValueError, match="levels must fall"):
            jump(levels, t_min=t_min)
    one_bad = TIMES / 2
    one_bad[3] = TIMES[3]
    with_zero = TIMES / 2
    with_zero[3] = 0.0
    for earlier in (one_bad, with_zero):
        with pytest.raises(ValueError, match="0 < earlier < t"):
            consistency_training_loss(exact, exact, DRAWS, DRAWS, TIMES, earlier)
