"""The equations of the chapter on samplers, each against an independent computation."""

import math

import torch
from scipy.integrate import quad

from fromnoise.diffusion import transition
from fromnoise.exponential import exponential_weights
from fromnoise.gaussians import Gaussian
from fromnoise.multistep import DPMSolverMultistep
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, edm_times
from fromnoise.schedules import Cosine, Rectified, VPLinear
from fromnoise.solvers import churn_step
from proof import Sides, proves

F64 = torch.float64
SCHEDULES = (Rectified(), Cosine(), VPLinear())
MEAN, VAR = 0.7, 0.36
ASK_OF = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))
Z = torch.linspace(-2, 2, 5, dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


def on_flow(at, z=Z):
    """The point of the Gaussian's flow that stays z standard deviations from the mean."""
    return at.alpha_t * MEAN + (at.alpha_t.square() * VAR + at.sigma_t.square()).sqrt() * z


def estimate(at, z=Z):
    """The exact denoiser on the flow, from Bayes' rule for two normal laws."""
    total = at.alpha_t.square() * VAR + at.sigma_t.square()
    return MEAN + VAR * at.alpha_t / total * (on_flow(at, z) - at.alpha_t * MEAN)


def half_log_snr(at):
    return (at.alpha_t / at.sigma_t).log()


def derivative(function, by, schedule, t):
    """Derivative of one function of the scales by another, both through time, by autograd."""
    t = time(t).requires_grad_()
    slopes = []
    for value in (function, by):
        values = value(schedule(t)).reshape(-1)
        slopes.append(
            torch.stack([torch.autograd.grad(v, t, retain_graph=True)[0] for v in values])
        )
    return slopes[0] / slopes[1]


@proves("samplers-ddim")
def test_every_eta_keeps_the_law_of_the_noisy_data() -> Sides:
    """Moments of x_s by propagating the step's linear map, against those that x_s must have.

    The moments hold whatever the posterior's variance is. That variance is held against Bayes: at
    eta = 1 noise and x_t must be tied as the forward process ties them.
    """
    left, right, forgot, doubled, unscaled = [], [], [], [], []
    for schedule in SCHEDULES:
        at_t, at_s = schedule(time(0.7)), schedule(time(0.4))
        step, var_step = transition(at_t, at_s)
        fresh = at_s.sigma_t.square() * var_step / at_t.sigma_t.square()
        for eta in (0.0, 0.3, 1.0):
            # For given data, x_t = alpha_t x_0 + sigma_t eps, so eps_hat is that eps.
            kept = (at_s.sigma_t.square() - eta**2 * fresh).sqrt()
            x_0 = Z[:, None]
            nodes = torch.tensor([-1.0, 1.0], dtype=F64)  # two points with the normal's moments
            x_t = at_t.alpha_t * x_0 + at_t.sigma_t * nodes
            eps_hat = (x_t - at_t.alpha_t * x_0) / at_t.sigma_t
            known = at_s.alpha_t * x_0 + kept * eps_hat
            var = known.var(1, correction=0) + eta**2 * fresh
            left += [known.mean(1), var]
            right += [at_s.alpha_t * Z, at_s.sigma_t.square().expand(5)]
            forgot += [at_s.alpha_t * Z, (at_s.sigma_t.square() + eta**2 * fresh).expand(5)]
            doubled += [at_s.alpha_t * Z * step, at_s.sigma_t.square().expand(5)]
            unscaled += right[-2:]
            # The library's step is that map: its deterministic part, when the noise is left out.
            if eta == 0:
                walked = ddim_step(
                    lambda x, t, x_0=x_0: x_0.expand(5, 2), schedule, x_t, time(0.7), time(0.4)
                )
                torch.testing.assert_close(walked, known)
            if eta == 1:
                # Covariance of x_s and x_t for given data, by the step and by the way there.
                no_shrink = at_s.sigma_t.square() * (
                    1 - at_s.sigma_t.square() / at_t.sigma_t.square()
                )
                left.append((kept * at_t.sigma_t).expand(5))
                bayes = (step * at_s.sigma_t.square()).expand(5)
                right.append(bayes)
                forgot.append(bayes)
                doubled.append(bayes)
                unscaled.append(
                    ((at_s.sigma_t.square() - no_shrink).sqrt() * at_t.sigma_t).expand(5)
                )
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={
            "fresh noise on top of all that was kept": torch.cat(forgot),
            "data scaled twice": torch.cat(doubled),
            "fresh noise of a step that does not shrink": torch.cat(unscaled),
        },
    )


@proves("samplers-ddim-ratio")
def test_ddim_is_a_straight_step_against_the_ratio() -> Sides:
    """The library's DDIM step with the exact denoiser, against the straight step of x / alpha."""
    left, right, inverse, plain = [], [], [], []
    for schedule in SCHEDULES:
        t, s = time(0.8), time(0.3)
        at_t, at_s = schedule(t), schedule(s)
        x_t = on_flow(at_t)
        left.append(ddim_step(denoiser(ASK_OF, schedule), schedule, x_t[:, None], t, s)[:, 0])
        # By Bayes' rule for the noise, without the estimate of the data.
        total = at_t.alpha_t.square() * VAR + at_t.sigma_t.square()
        eps_hat = at_t.sigma_t / total * (x_t - at_t.alpha_t * MEAN)
        r_t, r_s = at_t.sigma_t / at_t.alpha_t, at_s.sigma_t / at_s.alpha_t
        right.append(at_s.alpha_t * (x_t / at_t.alpha_t + (r_s - r_t) * eps_hat))
        inverse.append(at_s.alpha_t * (x_t / at_t.alpha_t + (r_t - r_s) * eps_hat))
        plain.append(x_t + (at_s.sigma_t - at_t.sigma_t) * eps_hat)
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"sign": torch.cat(inverse), "alpha forgotten": torch.cat(plain)},
    )


@proves("samplers-ratio-flow")
def test_data_over_signal_moves_by_the_noise_estimate() -> Sides:
    """The slope of x / alpha by sigma / alpha along a known flow, by autograd, against eps_hat."""
    left, right, wrong, sign = [], [], [], []
    for schedule in SCHEDULES:
        for t in (0.2, 0.5, 0.8):
            at = schedule(time(t))
            left.append(
                derivative(
                    lambda a: on_flow(a) / a.alpha_t, lambda a: a.sigma_t / a.alpha_t, schedule, t
                )
            )
            eps_hat = (on_flow(at) - at.alpha_t * estimate(at)) / at.sigma_t
            right.append(eps_hat)
            wrong.append(eps_hat / at.alpha_t)
            sign.append(-eps_hat)
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"alpha forgotten": torch.cat(wrong), "sign": torch.cat(sign)},
    )


@proves("samplers-log-snr-flow")
def test_data_over_noise_moves_by_the_data_estimate() -> Sides:
    """The slope of x / sigma by half the log-SNR along a known flow, by autograd."""
    left, right, wrong, whole = [], [], [], []
    for schedule in SCHEDULES:
        for t in (0.2, 0.5, 0.8):
            at = schedule(time(t))
            left.append(derivative(lambda a: on_flow(a) / a.sigma_t, half_log_snr, schedule, t))
            right.append(at.alpha_t / at.sigma_t * estimate(at))
            wrong.append(estimate(at))
            whole.append(at.alpha_t / at.sigma_t * estimate(at) / 2)
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"ratio forgotten": torch.cat(wrong), "slope by lambda": torch.cat(whole)},
    )


@proves("samplers-variation")
def test_a_step_is_a_shrink_and_an_average_of_estimates() -> Sides:
    """The flow of a Gaussian in closed form against the integral, by quadrature."""
    left, right, flipped, flat = [], [], [], []
    for schedule in SCHEDULES:
        at_t, at_s = schedule(time(0.8)), schedule(time(0.3))
        h = (half_log_snr(at_s) - half_log_snr(at_t)).item()
        for z in (-1.3, 0.4):
            z = torch.tensor([z], dtype=F64)

            def x_0_hat(tau, z=z, schedule=schedule, at_t=at_t, h=h):
                log_snr = at_t.log_snr_t + 2 * h * tau
                return estimate(schedule(schedule.time_at(log_snr)), z).item()

            def part(weight, h=h, x_0_hat=x_0_hat):
                return quad(lambda tau: weight(tau) * x_0_hat(tau), 0, 1, epsabs=1e-13)[0]

            shrink = at_s.sigma_t / at_t.sigma_t * on_flow(at_t, z)
            left.append(on_flow(at_s, z))
            right.append(
                shrink + at_s.alpha_t * part(lambda tau, h=h: h * math.exp(-h * (1 - tau)))
            )
            flipped.append(shrink + at_s.alpha_t * part(lambda tau, h=h: h * math.exp(-h * tau)))
            flat.append(shrink + at_s.alpha_t * part(lambda tau, h=h: h))
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"weight runs the wrong way": torch.cat(flipped), "even weight": torch.cat(flat)},
    )


@proves("samplers-order-one")
def test_one_held_estimate_is_ddim() -> Sides:
    """The library's DDIM step against the exponential integrator that holds its estimate."""
    left, right, doubled, euler = [], [], [], []
    for schedule in SCHEDULES:
        t, s = time(0.8), time(0.3)
        at_t, at_s = schedule(t), schedule(s)
        x_t = on_flow(at_t)[:, None]
        ask = denoiser(ASK_OF, schedule)
        x_0_hat = ask(x_t, t.expand(5))
        h = half_log_snr(at_s) - half_log_snr(at_t)
        ratio = at_s.sigma_t / at_t.sigma_t
        left.append(ddim_step(ask, schedule, x_t, t, s))
        right.append(ratio * x_t + at_s.alpha_t * (1 - torch.exp(-h)) * x_0_hat)
        doubled.append(ratio * x_t + at_s.alpha_t * (1 - torch.exp(-2 * h)) * x_0_hat)
        euler.append(ratio * x_t + at_s.alpha_t * h * x_0_hat)
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"h is all of the gain": torch.cat(doubled), "weight h": torch.cat(euler)},
    )


@proves("samplers-moments")
def test_moments_of_the_weight_follow_a_recursion() -> Sides:
    """The integrals by quadrature against the recursion from integration by parts."""
    left, right, sign, index = [], [], [], []
    for h in (0.1, 0.7, 2.5):
        moment = 1 - math.exp(-h)
        wrong_sign, wrong_index = moment, moment
        for j in range(4):
            exact = quad(lambda a, h=h, j=j: h * math.exp(-h * (1 - a)) * a**j, 0, 1, epsabs=1e-14)
            left.append(exact[0])
            if j:
                moment = 1 - j / h * moment
                wrong_sign = 1 + j / h * wrong_sign
                wrong_index = 1 - (j + 1) / h * wrong_index
            right.append(moment)
            sign.append(wrong_sign)
            index.append(wrong_index)
    return Sides(
        left=torch.tensor(left, dtype=F64),
        right=torch.tensor(right, dtype=F64),
        wrong={
            "sign": torch.tensor(sign, dtype=F64),
            "index one too high": torch.tensor(index, dtype=F64),
        },
    )


@proves("samplers-line")
def test_a_straight_line_is_integrated_without_error() -> Sides:
    """Newton's form through two estimates against quadrature of a straight line."""
    left, right, ahead, held = [], [], [], []
    for h, r, a, b in ((0.3, 0.5, 1.0, -2.0), (1.2, 1.7, -0.4, 0.9)):
        weight = lambda tau, h=h: h * math.exp(-h * (1 - tau))  # noqa: E731
        left.append(quad(lambda tau, w=weight, a=a, b=b: w(tau) * (a + b * tau), 0, 1)[0])
        now, before = a, a - b * r
        m_0 = 1 - math.exp(-h)
        m_1 = 1 - m_0 / h
        right.append(m_0 * now + m_1 * (now - before) / r)
        ahead.append(m_0 * now - m_1 * (now - before) / r)
        held.append(m_0 * now)
    return Sides(
        left=torch.tensor(left, dtype=F64),
        right=torch.tensor(right, dtype=F64),
        wrong={
            "slope backward": torch.tensor(ahead, dtype=F64),
            "slope forgotten": torch.tensor(held, dtype=F64),
        },
    )


@proves("samplers-middle")
def test_the_middle_stands_for_the_mean_up_to_h_squared() -> Sides:
    """The first moment's distance from half of the mass, by quadrature, over h squared."""
    left = []
    hs = (1e-2, 2e-2, 4e-2)
    for h in hs:
        m_0, m_1 = (
            quad(lambda a, h=h, j=j: h * math.exp(-h * (1 - a)) * a**j, 0, 1, epsabs=1e-15)[0]
            for j in (0, 1)
        )
        left.append((m_1 - m_0 / 2) / h**2)
    right = torch.full((3,), 1 / 12, dtype=F64)
    return Sides(
        left=torch.tensor(left, dtype=F64),
        right=right,
        wrong={"one sixth": 2 * right, "third order": 0 * right},
        tolerance=0.003,
        reason="the next term of the series is h^3 / 24: at most 0.0017 after division by h^2",
    )


@proves("samplers-multistep-two")
def test_the_second_order_multistep_step() -> Sides:
    """The library's second step against the extrapolated estimate, held."""
    left, right, wrong, even = [], [], [], []
    for schedule in SCHEDULES:
        t_0, t, s = time(0.8), time(0.55), time(0.2)
        ask = denoiser(ASK_OF, schedule)
        step = DPMSolverMultistep(2)
        start = on_flow(schedule(t_0))[:, None]
        x_t = step(ask, schedule, start, t_0, t)
        left.append(step(ask, schedule, x_t, t, s))
        before, now = ask(start, t_0.expand(5)), ask(x_t, t.expand(5))
        last, at_t, at_s = (half_log_snr(schedule(when)) for when in (t_0, t, s))
        h, r = at_s - at_t, (at_t - last) / (at_s - at_t)

        def held(estimate, schedule=schedule, x_t=x_t, t=t, s=s, h=h):
            ratio = schedule(s).sigma_t / schedule(t).sigma_t
            return ratio * x_t + schedule(s).alpha_t * (1 - torch.exp(-h)) * estimate

        right.append(held(now + (now - before) / (2 * r)))
        wrong.append(held(now + (now - before) / r))
        even.append(held(now + (now - before) / 2))
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"to the end": torch.cat(wrong), "as if steps were equal": torch.cat(even)},
    )


@proves("samplers-bend")
def test_the_weight_of_the_bend() -> Sides:
    """Newton's form through three estimates against the table of weights of the library."""
    left, right, half, shift = [], [], [], []
    generator = torch.Generator().manual_seed(0)
    for h, c_1, c_2 in ((0.3, -0.8, -1.9), (1.4, -0.5, -0.7)):
        y_0, y_1, y_2 = torch.randn(3, generator=generator, dtype=F64)
        weights = exponential_weights(time(h), [0.0, c_1, c_2])
        left.append(weights @ torch.stack([y_0, y_1, y_2]))
        m_0, m_1, m_2 = (
            quad(lambda a, h=h, j=j: h * math.exp(-h * (1 - a)) * a**j, 0, 1, epsabs=1e-14)[0]
            for j in range(3)
        )
        d_1 = (y_1 - y_0) / c_1
        d_2 = ((y_2 - y_1) / (c_2 - c_1) - d_1) / c_2
        straight = m_0 * y_0 + m_1 * d_1
        right.append(straight + (m_2 - c_1 * m_1) * d_2)
        half.append(straight + (m_2 - c_1 * m_1) * d_2 / 2)
        shift.append(straight + m_2 * d_2)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"half of the bend": torch.stack(half), "node forgotten": torch.stack(shift)},
    )


@proves("samplers-two-thirds")
def test_the_error_of_a_line_has_mean_zero_at_two_thirds() -> Sides:
    """The integral by quadrature, over several second nodes: it vanishes at two thirds only."""
    nodes = (2 / 3, 0.5, 1.0)
    areas = [quad(lambda a, c=c: a * (a - c), 0, 1)[0] for c in nodes]
    left = torch.tensor(areas, dtype=F64)
    exact = torch.tensor([1 / 3 - c / 2 for c in nodes], dtype=F64)
    return Sides(
        left=left,
        right=exact,
        wrong={"node at one half": exact + 1 / 12, "area one half": exact + 1 / 6},
    )


@proves("samplers-edm-grid")
def test_the_grid_of_edm() -> Sides:
    """Noise over signal at the library's times against the power of a straight line."""
    left, right, root, straight = [], [], [], []
    n, rho = 9, 7.0
    for schedule in SCHEDULES:
        times = edm_times(n, schedule, rho=rho)[:-1]
        at = schedule(times)
        r = at.sigma_t / at.alpha_t
        share = torch.arange(n, dtype=F64) / (n - 1)
        ends = schedule(torch.tensor([0.999, 0.001], dtype=F64))
        first, last = ends.sigma_t / ends.alpha_t
        line = first ** (1 / rho) + share * (last ** (1 / rho) - first ** (1 / rho))
        left.append(r.log())
        right.append(rho * line.log())
        root.append(line.log())
        straight.append((first + share * (last - first)).log())
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"power forgotten": torch.cat(root), "rho = 1": torch.cat(straight)},
    )


@proves("samplers-churn")
def test_churn_adds_the_difference_of_the_variances() -> Sides:
    """Spread of what the library's churn does to one point, against the squares' difference."""
    left, right, linear, whole = [], [], [], []
    for schedule in (Rectified(), Cosine()):
        for gamma in (0.1, 0.5):
            t = time(0.4)
            at_t = schedule(t)
            r = at_t.sigma_t / at_t.alpha_t
            seen = {}

            def stay(ask, schedule, x, t, s, generator=None, seen=seen):
                seen["x"], seen["t"] = x, t
                return x

            x = torch.zeros(4, 3, dtype=F64)
            churn_step(
                lambda x, t: x, schedule, x, t, time(0.2), torch.Generator().manual_seed(0),
                churn=gamma, step=stay,
            )  # fmt: skip
            z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
            alpha = schedule(seen["t"]).alpha_t
            left.append((seen["x"] / alpha / z).square().mean())
            right.append(r.square() * ((1 + gamma) ** 2 - 1))
            linear.append(r.square() * gamma**2)
            whole.append(r.square() * (1 + gamma) ** 2)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"difference of scales": torch.stack(linear), "all noise anew": torch.stack(whole)},
    )
