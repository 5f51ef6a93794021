"""Against diffusers: schedules, conversions and single steps, at random inputs in float64.

A scheduler there keeps its noise levels in float32, and `step` casts the sample to float32 as well.
The levels are therefore replaced by ours, in float64, and the update functions are called beneath
`step`; one whole walk through `step` is compared to single precision. Where the two differ on
purpose, the difference is asserted.
"""

import math
from itertools import pairwise

import diffusers
import pytest
import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.training_utils import compute_snr

from fromnoise.diffusion import posterior
from fromnoise.exponential import exponential_weights
from fromnoise.learned_schedule import VELinear
from fromnoise.multistep import DPMSolverMultistep, UniPC
from fromnoise.preconditioning import edm_coefficients, min_snr_weight
from fromnoise.samplers import ddim_step, edm_times, euler_step, heun_step, sample
from fromnoise.schedules import Cosine, Rectified, Scales, VPLinear, discrete_chain
from fromnoise.solvers import churn_step, dpm_solver_1_step, dpm_solver_2_step
from fromnoise.steering import rescaled
from fromnoise.targets import (
    eps_from_v,
    v_from_x_0,
    velocity_from_x_0,
    x_0_from_eps,
    x_0_from_v,
)

FLOAT = torch.float64
EXACT = {"rtol": 0.0, "atol": 1e-11}
SINGLE = {"rtol": 2e-6, "atol": 2e-6}
SCHEDULES = [VPLinear(), Cosine()]
GRID = torch.tensor([0.9, 0.8, 0.62, 0.5, 0.33, 0.2, 0.1], dtype=FLOAT)


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def network(x, t):
    """Any smooth function of data and time will do as a denoiser."""
    return 0.6 * torch.sin(1.3 * x) * torch.cos(2 * t)[:, None] + 0.1 * x


def levels(schedule, times):
    """Noise over signal, which diffusers calls sigma."""
    at = schedule(times)
    return at.sigma_t / at.alpha_t


def listed(scheduler, schedule, times, at_step):
    """A scheduler with our noise levels in place of its own, about to take a given step."""
    scheduler.sigmas = levels(schedule, times)
    scheduler.timesteps = torch.arange(len(times) - 1)
    scheduler._step_index = at_step
    return scheduler


def multistep(**options):
    options = {"prediction_type": "sample", "lower_order_final": False} | options
    scheduler = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="sigma_min", **options)
    scheduler.set_timesteps(6)
    return scheduler


# Schedules.


def test_linear_betas_are_those_of_the_paper():
    betas = diffusers.DDPMScheduler().betas.double()
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 1000, dtype=FLOAT), **SINGLE)


def test_the_discrete_chain_is_the_continuous_one_to_first_order():
    """On purpose: ours is read off the continuous schedule. The chains agree as steps shrink."""
    gaps = []
    for n_steps in (1000, 10_000):
        theirs = torch.linspace(0.1 / n_steps, 20 / n_steps, n_steps, dtype=FLOAT)
        scheduler = diffusers.DDPMScheduler(n_steps, trained_betas=theirs.tolist())
        kept = scheduler.alphas_cumprod.double()
        ours = discrete_chain(VPLinear(), n_steps).alpha_bar
        gaps.append((kept[n_steps // 2] / ours[n_steps // 2] - 1).abs().item())
    assert 1e-4 < gaps[0] < 0.05
    assert gaps[1] < gaps[0] / 8


def test_the_cosine_chain_is_ours_shifted_and_clipped():
    """On purpose: ours has no shift and no clip, so both ends are exact."""
    theirs = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    shifted = (torch.linspace(0, 1, 1001, dtype=FLOAT) + 0.008) / 1.008
    ours = Cosine()(shifted.clamp(max=1)).alpha_t.square()
    wanted = ours[1:] / ours[0]
    torch.testing.assert_close(theirs[:-1], wanted[:-1], rtol=2e-5, atol=1e-7)
    assert theirs[-1] > 0
    assert wanted[-1] == 0


def test_rescaling_to_zero_terminal_snr():
    """Theirs moves and stretches alpha; ours are born with it, and refuse eps there by name."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=FLOAT)
    before = (1 - betas).cumprod(0).sqrt()
    after = (1 - rescale_zero_terminal_snr(betas)).cumprod(0).sqrt()
    stretched = (before - before[-1]) * before[0] / (before[0] - before[-1])
    torch.testing.assert_close(after, stretched, rtol=0, atol=1e-12)
    zero, one = torch.zeros(1, dtype=FLOAT), torch.ones(1, dtype=FLOAT)
    with pytest.raises(ValueError, match="alpha_t > 0"):
        x_0_from_eps(one[:, None], one[:, None], Scales(after[-1:], one, zero, zero))


def test_karras_levels():
    schedule = VELinear(80.0)
    theirs = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    theirs.set_timesteps(18)
    ours = 80 * edm_times(18, schedule, t_max=1.0, t_min=0.002 / 80)
    torch.testing.assert_close(ours, theirs.sigmas.double(), rtol=1e-5, atol=1e-9)


def test_snr_and_its_min_weight():
    scheduler = diffusers.DDPMScheduler()
    bar = scheduler.alphas_cumprod.double()
    zero = torch.zeros_like(bar)
    at = Scales(bar.sqrt(), (1 - bar).sqrt(), zero, zero)
    theirs = compute_snr(scheduler, torch.arange(1000)).double()
    torch.testing.assert_close(at.snr_t, theirs, rtol=1e-3, atol=0)
    torch.testing.assert_close(min_snr_weight(at), theirs.clamp(max=5.0), rtol=1e-3, atol=0)


# Targets.


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_v_prediction(schedule):
    x_t, x_0_hat = normal(4, 3, seed=0), normal(4, 3, seed=1)
    t = torch.full((4,), 0.4, dtype=FLOAT)
    at = schedule(t)
    v_angle = v_from_x_0(x_0_hat, x_t, at)
    scheduler = multistep(prediction_type="v_prediction")
    listed(scheduler, schedule, GRID.clone().fill_(0.4), 0)
    theirs = scheduler.convert_model_output(v_angle, sample=x_t)
    torch.testing.assert_close(x_0_from_v(v_angle, x_t, at), theirs, **EXACT)
    scheduler = multistep(prediction_type="v_prediction", algorithm_type="dpmsolver")
    listed(scheduler, schedule, GRID.clone().fill_(0.4), 0)
    eps_hat = scheduler.convert_model_output(v_angle, sample=x_t)
    torch.testing.assert_close(eps_from_v(v_angle, x_t, at), eps_hat, **EXACT)


def test_preconditioning():
    sigma = torch.tensor([0.02, 0.7, 30.0], dtype=FLOAT)
    x_t, output = normal(3, 1, seed=2), normal(3, 1, seed=3)
    at = edm_coefficients(VELinear(80.0)(sigma / 80), 0.5)
    scheduler = diffusers.EDMEulerScheduler()
    theirs = scheduler.precondition_outputs(x_t, output, sigma[:, None])
    ours = at.c_skip[:, None] * x_t + at.c_out[:, None] * output
    torch.testing.assert_close(ours, theirs, **EXACT)
    scaled = torch.cat(
        [scheduler.precondition_inputs(x[None], s) for x, s in zip(x_t, sigma, strict=True)]
    )
    torch.testing.assert_close(at.c_in[:, None] * x_t, scaled, **EXACT)
    torch.testing.assert_close(at.c_noise, scheduler.precondition_noise(sigma), **EXACT)
    # Their v is the same with its sign turned, as the page of equivalences has it.
    turned = diffusers.EDMEulerScheduler(prediction_type="v_prediction")
    theirs = turned.precondition_outputs(x_t, -output, sigma[:, None])
    torch.testing.assert_close(ours, theirs, **EXACT)


# Steps.


def chain(schedule, kind, **options):
    """A scheduler whose chain has our signal at five times, cleanest first."""
    times = torch.linspace(0.15, 0.95, 5, dtype=FLOAT)
    scheduler = kind(5, clip_sample=False, prediction_type="sample", **options)
    scheduler.alphas_cumprod = schedule(times).alpha_t.square()
    scheduler.set_timesteps(5)
    return scheduler, times


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm_mean_and_variance(schedule, variance):
    scheduler, times = chain(schedule, diffusers.DDPMScheduler, variance_type=variance)
    x_t, x_0_hat = normal(4, 3, seed=4), normal(4, 3, seed=5)
    for k in range(1, 5):
        mean, var = posterior(x_t, x_0_hat, schedule(times[k]), schedule(times[k - 1]))
        if variance == "fixed_large":
            var = 1 - (schedule(times[k]).alpha_t / schedule(times[k - 1]).alpha_t).square()
        torch.testing.assert_close(scheduler._get_variance(k), var, **EXACT)
        noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(6), dtype=FLOAT)
        theirs = scheduler.step(
            x_0_hat, k, x_t, generator=torch.Generator().manual_seed(6)
        ).prev_sample
        torch.testing.assert_close(mean + var.sqrt() * noise, theirs, **EXACT)


def test_clipping_is_another_sampler():
    schedule = VPLinear()
    times = torch.linspace(0.15, 0.95, 5, dtype=FLOAT)
    scheduler = diffusers.DDPMScheduler(5, clip_sample=True, prediction_type="sample")
    scheduler.alphas_cumprod = schedule(times).alpha_t.square()
    scheduler.set_timesteps(5)
    x_t, x_0_hat = normal(4, 3, seed=7), 2 * normal(4, 3, seed=8)
    noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(6), dtype=FLOAT)
    theirs = scheduler.step(x_0_hat, 3, x_t, generator=torch.Generator().manual_seed(6)).prev_sample
    ends = schedule(times[3]), schedule(times[2])
    clipped, var = posterior(x_t, x_0_hat.clamp(-1, 1), *ends)
    torch.testing.assert_close(clipped + var.sqrt() * noise, theirs, **EXACT)
    assert (posterior(x_t, x_0_hat, *ends)[0] - clipped).abs().max() > 0.01


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim(schedule, eta):
    scheduler, times = chain(schedule, diffusers.DDIMScheduler)
    x_t, x_0_hat = normal(4, 3, seed=9), normal(4, 3, seed=10)
    for k in range(1, 5):
        theirs = scheduler.step(
            x_0_hat, k, x_t, eta=eta, generator=torch.Generator().manual_seed(11)
        ).prev_sample
        ours = ddim_step(
            lambda x, t: x_0_hat,
            schedule,
            x_t,
            times[k],
            times[k - 1],
            torch.Generator().manual_seed(11),
            eta=eta,
        )
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_dpm_solver_1(schedule):
    x_t = normal(4, 3, seed=12)
    t, s = GRID[2], GRID[3]
    theirs = listed(multistep(), schedule, GRID, 2).dpm_solver_first_order_update(
        network(x_t, t.expand(4)), sample=x_t
    )
    torch.testing.assert_close(dpm_solver_1_step(network, schedule, x_t, t, s), theirs, **EXACT)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_dpm_solver_2_single_step(schedule):
    """Theirs puts its middle where the grid has one: the grid is made to have ours."""
    x_t = normal(4, 3, seed=13)
    t, s = GRID[1], GRID[4]
    middle = schedule.time_at((schedule(t).log_snr_t + schedule(s).log_snr_t) / 2)
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        prediction_type="sample", final_sigmas_type="sigma_min"
    )
    scheduler.set_timesteps(2)
    listed(scheduler, schedule, torch.stack([t, middle, s]), 0)
    first = network(x_t, t.expand(4))
    x_middle = scheduler.dpm_solver_first_order_update(first, sample=x_t)
    scheduler._step_index = 1
    second = network(x_middle, middle.expand(4))
    theirs = scheduler.singlestep_dpm_solver_second_order_update([first, second], sample=x_t)
    torch.testing.assert_close(dpm_solver_2_step(network, schedule, x_t, t, s), theirs, **EXACT)


def multistep_walk(schedule, x, times, order):
    """Their multistep updates in float64, each order once its estimates are there."""
    scheduler, known, path = multistep(solver_order=order), [], [x]
    for k, t in enumerate(times[:-1]):
        listed(scheduler, schedule, times, k)
        known.append(network(x, t.expand(len(x))))
        usable = min(order, len(known))
        if usable == 1:
            x = scheduler.dpm_solver_first_order_update(known[-1], sample=x)
        elif usable == 2:
            x = scheduler.multistep_dpm_solver_second_order_update(known[-2:], sample=x)
        else:
            x = scheduler.multistep_dpm_solver_third_order_update(known[-3:], sample=x)
        path.append(x)
    return torch.stack(path)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("order", [1, 2])
def test_dpm_solver_multistep(schedule, order):
    x = normal(4, 3, seed=14)
    ours = sample(network, schedule, x, GRID, DPMSolverMultistep(order), return_path=True)
    torch.testing.assert_close(ours, multistep_walk(schedule, x, GRID, order), **EXACT)


def test_dpm_solver_multistep_through_the_front_door():
    """The same walk by `step`, in single precision."""
    x = normal(4, 3, seed=15)
    scheduler = listed(multistep(), VPLinear(), GRID, 0)
    y = x
    for k, t in enumerate(GRID[:-1]):
        y = scheduler.step(network(y, t.expand(4)), k, y).prev_sample.double()
    torch.testing.assert_close(
        sample(network, VPLinear(), x, GRID, DPMSolverMultistep(2)), y, rtol=1e-5, atol=1e-5
    )


def test_the_last_step_to_clean_data_is_of_order_one():
    """Where the log-SNR is infinite both fall back, and land on the estimate."""
    x, times = normal(4, 3, seed=23), torch.cat([GRID, torch.zeros(1, dtype=FLOAT)])
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="sample", lower_order_final=False, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(7)
    listed(scheduler, VPLinear(), times, 0)
    y = x
    for k, t in enumerate(times[:-1]):
        y = scheduler.step(network(y, t.expand(4)), k, y).prev_sample.double()
    ours = sample(network, VPLinear(), x, times, DPMSolverMultistep(2))
    torch.testing.assert_close(ours, y, rtol=1e-5, atol=1e-5)


def test_the_third_multistep_order_takes_half_of_the_bend():
    """On purpose: theirs has half the weight of the second difference. Ours has all of it."""
    schedule, x_t = VPLinear(), normal(4, 3, seed=16)
    estimates = [normal(4, 3, seed=seed) for seed in (17, 18, 19)]
    scheduler = listed(multistep(solver_order=3), schedule, GRID, 2)
    theirs = scheduler.multistep_dpm_solver_third_order_update(estimates, sample=x_t)
    at = schedule(GRID[:4])
    half = at.log_snr_t / 2
    h = half[3] - half[2]
    nodes = [0.0, ((half[1] - half[2]) / h).item(), ((half[0] - half[2]) / h).item()]
    newest_first = estimates[::-1]

    def moved(weights):
        pull = sum(w * x for w, x in zip(weights, newest_first, strict=True))
        return at.sigma_t[3] / at.sigma_t[2] * x_t + at.alpha_t[3] * pull

    whole = exponential_weights(h, nodes)
    assert (moved(whole) - theirs).abs().max() > 1e-3
    # The bend is the part that a parabola has and a line through its tangent has not.
    square = 1 - 2 / h - 2 * torch.expm1(-h) / h**2
    differences = [
        1 / math.prod(node - other for other in nodes if other != node) for node in nodes
    ]
    lesser = whole - square / 2 * torch.tensor(differences, dtype=FLOAT)
    torch.testing.assert_close(moved(lesser), theirs, **EXACT)


def slope_of_error(walk, exact):
    errors = [(walk(n) - exact).abs().max().item() for n in (80, 160, 320)]
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_the_orders_of_both_third_order_walks():
    """Measured: theirs is of order two, ours of order three."""
    schedule, x = Cosine(), normal(4, 3, seed=20)

    def times(n):
        ends = schedule(torch.tensor([0.9, 0.2], dtype=FLOAT)).log_snr_t
        return schedule.time_at(torch.linspace(*ends.tolist(), n + 1, dtype=FLOAT))

    exact = sample(network, schedule, x, times(5000), DPMSolverMultistep(3))
    ours = slope_of_error(
        lambda n: sample(network, schedule, x, times(n), DPMSolverMultistep(3)), exact
    )
    theirs = slope_of_error(lambda n: multistep_walk(schedule, x, times(n), 3)[-1], exact)
    print(f"\n    measured orders: ours {ours[-1]:.2f}, diffusers {theirs[-1]:.2f}")
    assert abs(ours[-1] - 3) < 0.15
    assert abs(theirs[-1] - 2) < 0.15


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_unipc(schedule):
    """Predictor and corrector of order two, with their second function of the step."""
    x = normal(4, 3, seed=21)
    ours = sample(network, schedule, x, GRID, UniPC(), return_path=True)
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="sample", lower_order_final=False, final_sigmas_type="sigma_min"
    )
    scheduler.set_timesteps(6)
    estimates, before, theirs, y = [None, None], None, [], x
    for k, t in enumerate(GRID):
        estimate = network(y, t.expand(4))
        if k > 0:
            listed(scheduler, schedule, GRID, k)
            scheduler.model_outputs = estimates
            y = scheduler.multistep_uni_c_bh_update(
                estimate, last_sample=before, this_sample=y, order=min(2, k)
            )
        theirs.append(y)
        if k == len(GRID) - 1:
            break
        estimates = [estimates[1], estimate]
        listed(scheduler, schedule, GRID, k)
        scheduler.model_outputs, before = estimates, y
        y = scheduler.multistep_uni_p_bh_update(estimate, sample=y, order=min(2, k + 1))
    torch.testing.assert_close(ours, torch.stack(theirs), **EXACT)


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_euler_and_heun_in_the_noise_level(kind):
    """Theirs walk in sigma with alpha = 1: our schedule of EDM. Heun ends with Euler's step."""
    schedule = VELinear(80.0)
    sigmas = torch.tensor([10.0, 4.0, 1.5, 0.4, 0.0], dtype=FLOAT)
    scheduler = getattr(diffusers, kind)(prediction_type="sample")
    scheduler.set_timesteps(4)
    x = normal(4, 3, seed=22) * 10

    def asked(y, sigma):
        return network(y, (sigma / 80).expand(len(y)))

    if kind.startswith("Euler"):
        walked, step = sigmas, euler_step
    else:
        inner = sigmas[1:-1].repeat_interleave(2)
        walked, step = torch.cat([sigmas[:1], inner, sigmas[-1:]]), heun_step
    scheduler.sigmas = walked
    scheduler.timesteps = torch.arange(len(walked) - 1)
    scheduler.set_begin_index(0)
    scheduler._step_index = 0
    scheduler.is_scale_input_called = True
    y = x
    for k, sigma in enumerate(walked[:-1]):
        y = scheduler.step(asked(y, sigma), torch.tensor(float(k)), y).prev_sample.double()
    ours = sample(network, schedule, x, sigmas / 80, step)
    torch.testing.assert_close(ours, y, rtol=1e-5, atol=1e-5)


def churned(ask):
    """One step of theirs and one of ours from the same point, with the same noise."""
    schedule, sigmas = VELinear(80.0), torch.tensor([10.0, 4.0, 1.5], dtype=FLOAT)
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type="sample")
    scheduler.set_timesteps(2)
    scheduler.sigmas, scheduler.timesteps = sigmas, torch.tensor([0.0, 1.0])
    scheduler._step_index, scheduler.is_scale_input_called = 0, True
    x = normal(4, 3, seed=24) * 10
    t, s = sigmas[:2] / 80
    theirs = scheduler.step(
        ask(x, t.expand(4)),
        torch.tensor(0.0),
        x,
        s_churn=0.6,
        generator=torch.Generator().manual_seed(25),
    ).prev_sample
    ours = churn_step(
        ask,
        schedule,
        x,
        t,
        s,
        torch.Generator().manual_seed(25),
        churn=0.6 / 2,
        step=euler_step,
    )
    return ours, theirs.double()


def test_churn_with_an_estimate_that_stays():
    """The same noise, the same level to come down from, the same way down."""
    fixed = normal(4, 3, seed=26)
    ours, theirs = churned(lambda x, t: fixed)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_churn_asks_the_network_at_another_place():
    """On purpose: EDM and we ask after the noise is added, they are told before."""
    ours, theirs = churned(network)
    assert (ours - theirs).abs().max() > 0.01


def test_straight_lines():
    """Flow matching: their sigma is our time, their output our velocity."""
    times = torch.tensor([0.95, 0.7, 0.4, 0.1], dtype=FLOAT)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(3)
    scheduler.sigmas, scheduler.timesteps = times, 1000 * times[:-1]
    x = normal(4, 3, seed=27)
    y = x
    for t in times[:-1]:
        velocity = velocity_from_x_0(network(y, t.expand(4)), y, Rectified()(t))
        y = scheduler.step(velocity, 1000 * t, y).prev_sample.double()
    ours = sample(network, Rectified(), x, times, euler_step)
    torch.testing.assert_close(ours, y, rtol=1e-5, atol=1e-5)


def test_rescaled_guidance_is_on_the_data():
    """On purpose: their formula is ours, but applied to the noise: another sampler."""
    guided, conditional = 3 * normal(4, 6, seed=28), normal(4, 6, seed=29)
    theirs = rescale_noise_cfg(guided, conditional, 0.7)
    t = torch.full((4,), 0.5, dtype=FLOAT)
    by_us = rescaled(lambda x, t: guided, lambda x, t: conditional, 0.7)(guided, t)
    torch.testing.assert_close(by_us, theirs, **EXACT)
    x_t, at = normal(4, 6, seed=30), Cosine()(t)
    data = [x_0_from_eps(eps, x_t, at) for eps in (guided, conditional)]
    on_data = rescaled(lambda x, t: data[0], lambda x, t: data[1], 0.7)(x_t, t)
    assert (on_data - x_0_from_eps(theirs, x_t, at)).abs().max() > 0.01
