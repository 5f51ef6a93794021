r"""Solvers: single steps of higher order, for the same face as `fromnoise.samplers`.

They are exponential integrators whose estimates come from inside the step; `fromnoise.multistep`
takes them from the steps before it. Where the log-SNR is infinite at an end of the step (pure
noise, or clean data) no polynomial in it exists, and each takes the step of order one.

Source: Lu et al. 2022, arXiv 2211.01095, and arXiv 2206.00927.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.diffusion import transition
from fromnoise.exponential import combine, exponential_weights, hold, step_ends
from fromnoise.samplers import Denoiser, Step, heun_step
from fromnoise.schedules import Scales, Schedule

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]


# --8<-- [start:dpm_solver_1_step]
def dpm_solver_1_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Hold one estimate: $x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1-e^{-h})\, \hat x_0$.

    The same step as `ddim_step` without noise, written in log-SNR. The generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    at_t, at_s, h = step_ends(schedule, t, s)
    return hold(x_t, at_t, at_s, h, ask(denoiser, x_t, t))


# --8<-- [end:dpm_solver_1_step]


# --8<-- [start:dpm_solver_2_step]
def dpm_solver_2_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Go half way in log-SNR, and hold the estimate found there for the whole step.

    DPM-Solver++ (2S) with its node in the middle: second order, two calls of the denoiser. The
    generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    at_t, at_s, h = step_ends(schedule, t, s)
    x_0_hat = ask(denoiser, x_t, t)
    if not h.isfinite():
        return hold(x_t, at_t, at_s, h, x_0_hat)
    return hold_middle(denoiser, schedule, x_t, at_t, at_s, h, x_0_hat)


# --8<-- [end:dpm_solver_2_step]


# --8<-- [start:dpm_solver_3_step]
def dpm_solver_3_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Estimates at one third and at two thirds of the step in log-SNR.

    DPM-Solver++ (3S): third order, three calls of the denoiser. The last line uses only the
    estimates at 0 and 2/3: for these two nodes the error of a straight line,
    $\tau (\tau - \tfrac23)$, has mean zero. The generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095, and their earlier DPM-Solver-3, arXiv 2206.00927.
    """
    at_t, at_s, h = step_ends(schedule, t, s)
    x_0_t = ask(denoiser, x_t, t)
    if not h.isfinite():
        return hold(x_t, at_t, at_s, h, x_0_t)
    third = schedule.time_at(at_t.log_snr_t + 2 / 3 * h)
    two_thirds = schedule.time_at(at_t.log_snr_t + 4 / 3 * h)
    at_third, at_two_thirds = schedule(third), schedule(two_thirds)
    x_third = hold(x_t, at_t, at_third, h / 3, x_0_t)
    x_0_third = ask(denoiser, x_third, third)
    weights = exponential_weights(2 / 3 * h, [0.0, 1 / 2])
    x_two_thirds = combine(x_t, at_t, at_two_thirds, [x_0_t, x_0_third], weights)
    x_0_two_thirds = ask(denoiser, x_two_thirds, two_thirds)
    return combine(x_t, at_t, at_s, [x_0_t, x_0_two_thirds], exponential_weights(h, [0.0, 2 / 3]))


# --8<-- [end:dpm_solver_3_step]


# --8<-- [start:churn_step]
def churn_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
    *,
    churn: float,
    between: tuple[float, float] = (0.0, math.inf),
    noise_scale: float = 1.0,
    step: Step = heun_step,
) -> Data:
    r"""Add a little noise, go up to the time that has it, and step down from there.

    $$\frac{\sigma_{\hat t}}{\alpha_{\hat t}} = (1 + \gamma) \frac{\sigma_t}{\alpha_t}, \qquad
    x_{\hat t} = \alpha_{\hat t|t}\, x_t + \sigma_{\hat t|t}\, z.$$

    The noise keeps the law of $x_t$ on the schedule, so a constant $\gamma$ times the number of
    steps leaves the order of the step that follows. Where nothing is left of the data there is
    nothing to stir, and where the schedule ends, so does the way up.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule.
        x_t: Noisy data.
        t: Its time.
        s: The cleaner time to go to.
        generator: Source of z; needed when `churn` > 0.
        churn: Share $\gamma$ by which the ratio of noise to signal grows. Karras et al. set it to
            $S_\mathrm{churn} / K$ in a walk of K steps, and at most $\sqrt 2 - 1$.
        between: Churn only where $\sigma_t / \alpha_t$ lies in this range, ends included.
        noise_scale: Factor on z, $S_\mathrm{noise}$ of Karras et al.; 1 keeps the law.
        step: The step down, Heun's as in EDM.

    Raises:
        ValueError: If `churn` or `noise_scale` is negative or not finite, or noise is needed and
            no generator is given.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    if not (0 <= churn < math.inf and 0 <= noise_scale < math.inf):
        raise ValueError(
            "churn and noise_scale must be finite and at least 0, "
            f"got churn {churn}, noise_scale {noise_scale}"
        )
    at_t = schedule(t)
    ratio = at_t.sigma_t / at_t.alpha_t
    if churn == 0 or not ratio.isfinite() or not between[0] <= ratio <= between[1]:
        return step(denoiser, schedule, x_t, t, s, generator)
    last = schedule(torch.ones_like(t)).log_snr_t
    up = schedule.time_at(torch.maximum(at_t.log_snr_t - 2 * math.log1p(churn), last))
    kept, var = transition(schedule(up), at_t)
    x_up = kept * x_t + noise_scale * var.sqrt() * noise_like(x_t, generator)
    return step(denoiser, schedule, x_up, up, s, generator)


# --8<-- [end:churn_step]


def hold_middle(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    at_t: Scales,
    at_s: Scales,
    h: Time,
    x_0_hat: Data,
) -> Data:
    """The step of order two, from the estimate at t: hold the one found half way in log-SNR."""
    middle = schedule.time_at(at_t.log_snr_t + h)
    x_middle = hold(x_t, at_t, schedule(middle), h / 2, x_0_hat)
    return hold(x_t, at_t, at_s, h, ask(denoiser, x_middle, middle))
