r"""Samplers: walk a denoiser from noise at t = 1 to data at t = 0.

A denoiser maps noisy data and its time to an estimate of the clean data. A step carries $x_t$ to
$x_s$ at a cleaner time $s < t$. `sample` takes one step per interval of a grid of times.

    denoiser(x_t, t) -> x_0_hat                     t holds one time per example
    step(denoiser, schedule, x_t, t, s, generator)  t and s are single float64 times

Scales are computed in float64 and meet the data last. Steps that draw noise take it from the
generator they are given, never from the global one: the same seed gives the same sample.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.diffusion import posterior
from fromnoise.schedules import Schedule
from fromnoise.targets import eps_from_x_0, velocity_from_x_0

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]
Times = Float[Tensor, " n_times"]
Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy data and one time per example to an estimate of the clean data."""
Step = Callable[[Denoiser, Schedule, Tensor, Tensor, Tensor, torch.Generator | None], Tensor]
"""One move of a sampler, from time t to the cleaner time s."""


# --8<-- [start:ancestral_step]
def ancestral_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Draw $x_s \sim q(x_s \mid x_t, \hat x_0)$: the sampler of DDPM.

    Raises:
        ValueError: If no generator is given.

    Source: Ho et al. 2020, arXiv 2006.11239 (with the smaller of its two variances).
    """
    x_0_hat = ask(denoiser, x_t, t)
    mean, var = posterior(x_t, x_0_hat, schedule(t), schedule(s))
    return mean + var.sqrt() * noise_like(x_t, generator)


# --8<-- [end:ancestral_step]


# --8<-- [start:ddim_step]
def ddim_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
    *,
    eta: float = 0.0,
) -> Data:
    r"""Take out the noise that the denoiser sees, and put back less of it.

    $$x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - \eta^2 \tilde\sigma^2}\, \hat\epsilon
    + \eta \tilde\sigma z.$$

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule.
        x_t: Noisy data.
        t: Its time.
        s: The cleaner time to go to.
        generator: Source of z; needed when `eta` > 0.
        eta: Share of fresh noise in [0, 1]. At 0 the step is deterministic, at 1 it is
            `ancestral_step`.

    Raises:
        ValueError: If `eta` lies outside [0, 1], or is positive without a generator.

    Source: Song et al. 2021, arXiv 2010.02502.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1], got {eta}")
    at_t, at_s = schedule(t), schedule(s)
    x_0_hat = ask(denoiser, x_t, t)
    eps_hat = eps_from_x_0(x_0_hat, x_t, at_t)
    if eta == 0:
        return at_s.alpha_t * x_0_hat + at_s.sigma_t * eps_hat
    _, var = posterior(x_t, x_0_hat, at_t, at_s)
    fresh = eta * var.sqrt()
    kept = (at_s.sigma_t.square() - fresh.square()).sqrt()
    return at_s.alpha_t * x_0_hat + kept * eps_hat + fresh * noise_like(x_t, generator)


# --8<-- [end:ddim_step]


def euler_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Follow the velocity in a straight line: $x_s = x_t + (s - t)\, u(x_t, t)$.

    First order. On the rectified schedule it is the same as `ddim_step`. The generator is not used.

    Raises:
        ValueError: If a time lies outside [0, 1].

    Examples:
        A denoiser that knows the data lands on it, from any noise.

        >>> from fromnoise.schedules import Rectified
        >>> t, s = torch.tensor(1.0), torch.tensor(0.0)
        >>> x_t = torch.tensor([[-1.0], [2.0]])
        >>> euler_step(lambda x_t, t: torch.full_like(x_t, 7.0), Rectified(), x_t, t, s)
        tensor([[7.],
                [7.]])
    """
    schedule(s)
    return x_t + (s - t) * _velocity(denoiser, schedule, x_t, t)


def heun_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Euler's step, then again with the mean of the velocities at both ends.

    Second order, two calls of the denoiser. Where $\sigma_s = 0$ the velocity at the far end is not
    defined and the Euler step stands, as in EDM. The generator is not used.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    velocity_t = _velocity(denoiser, schedule, x_t, t)
    x_s = x_t + (s - t) * velocity_t
    if schedule(s).sigma_t == 0:
        return x_s
    velocity_s = _velocity(denoiser, schedule, x_s, s)
    return x_t + (s - t) * (velocity_t + velocity_s) / 2


# --8<-- [start:sample]
@torch.no_grad()
def sample(
    denoiser: Denoiser,
    schedule: Schedule,
    x_1: Data,
    times: Times,
    step: Step = ddim_step,
    generator: torch.Generator | None = None,
    return_path: bool = False,
) -> Float[Tensor, "*path_and_dims"]:
    r"""Walk from $x_1$ along a falling grid of times, one step per interval.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule that the denoiser was made for.
        x_1: Start, noise with the variance that the schedule has at `times[0]`.
        times: Falling times, at least two, in [0, 1].
        step: The move; `functools.partial(ddim_step, eta=0.5)` sets its options.
        generator: Source of noise for steps that draw some.
        return_path: Give every state instead of the last one.

    Returns:
        Data at `times[-1]`, or all states stacked along a new first axis, `x_1` first.

    Raises:
        ValueError: If the grid does not fall strictly, or leaves [0, 1].

    Examples:
        A denoiser with one answer sends all noise there.

        >>> from fromnoise.schedules import Rectified
        >>> x_1 = torch.tensor([[-1.0], [2.0]])
        >>> sample(lambda x_t, t: torch.full_like(x_t, 7.0), Rectified(), x_1, uniform_times(3))
        tensor([[7.],
                [7.]])
    """
    times = times.to(x_1.device, torch.float64)
    if times.ndim != 1 or len(times) < 2 or not (times.diff() < 0).all():
        raise ValueError(f"times must be at least two, strictly falling, got {times.tolist()}")
    if not (times[0] <= 1 and times[-1] >= 0):
        raise ValueError(f"times must lie in [0, 1], got {times[-1]:.4g}..{times[0]:.4g}")
    path = [x_1]
    for t, s in pairwise(times):
        path.append(step(denoiser, schedule, path[-1], t, s, generator))
        if not return_path:
            del path[0]
    return torch.stack(path) if return_path else path[-1]


# --8<-- [end:sample]


def uniform_times(n_steps: int, t_max: float = 1.0, t_min: float = 0.0) -> Times:
    """Equal steps in time, from `t_max` down to `t_min`: `n_steps + 1` float64 times.

    Raises:
        ValueError: If `n_steps` < 1 or not 0 <= t_min < t_max <= 1.

    Examples:
        From noise to data in four steps.

        >>> uniform_times(4)
        tensor([1.0000, 0.7500, 0.5000, 0.2500, 0.0000], dtype=torch.float64)
    """
    _check_grid(n_steps, t_max, t_min)
    return torch.linspace(t_max, t_min, n_steps + 1, dtype=torch.float64)


def uniform_log_snr_times(
    n_steps: int, schedule: Schedule, t_max: float = 0.999, t_min: float = 0.001
) -> Times:
    r"""Equal steps in log-SNR from `t_max` to `t_min`, then a last step to t = 0.

    The ends stay inside (0, 1) because the log-SNR is infinite where a scale is zero.

    Raises:
        ValueError: If `n_steps` < 2, not 0 < t_min < t_max <= 1, or the log-SNR is infinite there.
    """
    first, last = _log_snr_ends(n_steps, schedule, t_max, t_min)
    log_snr = torch.linspace(first, last, n_steps, dtype=torch.float64)
    return torch.cat([schedule.time_at(log_snr), torch.zeros(1, dtype=torch.float64)])


def edm_times(
    n_steps: int, schedule: Schedule, rho: float = 7.0, t_max: float = 0.999, t_min: float = 0.001
) -> Times:
    r"""The grid of EDM: equal steps in $(\sigma_t / \alpha_t)^{1/\rho}$, then a last step to t = 0.

    With large `rho` it approaches equal steps in log-SNR; with `rho` = 1 it spends most steps on
    high noise.

    Args:
        n_steps: Number of steps.
        schedule: Noise schedule.
        rho: Power $\rho$ of the grid.
        t_max: Where the walk starts.
        t_min: Where its last step starts.

    Raises:
        ValueError: As `uniform_log_snr_times`, or if `rho` <= 0.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    if not rho > 0:
        raise ValueError(f"rho must be positive, got {rho}")
    first, last = _log_snr_ends(n_steps, schedule, t_max, t_min)
    # The noise-to-signal ratio sigma / alpha is exp(-log_snr / 2).
    ends = torch.exp(torch.tensor([-first / 2, -last / 2], dtype=torch.float64) / rho)
    root = ends[0] + torch.linspace(0, 1, n_steps, dtype=torch.float64) * (ends[1] - ends[0])
    times = schedule.time_at(-2 * rho * root.log())
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def _velocity(denoiser: Denoiser, schedule: Schedule, x_t: Data, t: Time) -> Data:
    return velocity_from_x_0(ask(denoiser, x_t, t), x_t, schedule(t))


def _log_snr_ends(
    n_steps: int, schedule: Schedule, t_max: float, t_min: float
) -> tuple[float, float]:
    _check_grid(n_steps, t_max, t_min)
    ends = schedule(torch.tensor([t_max, t_min], dtype=torch.float64)).log_snr_t
    if n_steps < 2 or t_min == 0 or not torch.isfinite(ends).all():
        raise ValueError(
            f"need n_steps >= 2, t_min > 0 and finite log-SNR at the ends, got n_steps {n_steps}, "
            f"t {t_min}..{t_max}, log-SNR {ends[0]:.4g}..{ends[1]:.4g}"
        )
    return ends[0].item(), ends[1].item()


def _check_grid(n_steps: int, t_max: float, t_min: float) -> None:
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    if not 0 <= t_min < t_max <= 1:
        raise ValueError(f"need 0 <= t_min < t_max <= 1, got t_min {t_min}, t_max {t_max}")
