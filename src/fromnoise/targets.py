r"""Prediction targets: five names for one piece of knowledge.

Given $x_t = \alpha_t x_0 + \sigma_t \epsilon$, whoever knows one of these knows the others:

| target | symbol |
|---|---|
| clean data | $x_0$ |
| noise | $\epsilon$ |
| angular velocity | $v = \alpha_t \epsilon - \sigma_t x_0$ |
| velocity | $u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon$ |
| score | $-\epsilon / \sigma_t$ |

Every function here is one linear change of variable, named `<wanted>_from_<given>`. The same lines
hold for a network's estimate in place of the true value, since expectations are linear.

Where $\alpha_t = 0$ the noise says nothing about the data, and where $\sigma_t = 0$ the data says
nothing about the noise. A conversion that would need such a thing raises ValueError, and so does
one that is given two shapes.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.schedules import Scales, beside

Data = Float[Tensor, "*batch_and_dims"]


# --8<-- [start:x_0_from_eps]
def x_0_from_eps(eps: Data, x_t: Data, scales: Scales) -> Data:
    r"""$x_0 = (x_t - \sigma_t \epsilon) / \alpha_t$; refused at $\alpha_t = 0$."""
    require_shape("eps", eps, x_t)
    _require_signal(scales, "x_0 from eps")
    return (x_t - beside(scales.sigma_t, x_t) * eps) / beside(scales.alpha_t, x_t)


# --8<-- [end:x_0_from_eps]


def x_0_from_v(v_angle: Data, x_t: Data, scales: Scales) -> Data:
    r"""$x_0 = (\alpha_t x_t - \sigma_t v) / (\alpha_t^2 + \sigma_t^2)$; defined everywhere."""
    require_shape("v_angle", v_angle, x_t)
    alpha_t, sigma_t = beside(scales.alpha_t, x_t), beside(scales.sigma_t, x_t)
    return (alpha_t * x_t - sigma_t * v_angle) / (alpha_t.square() + sigma_t.square())


def x_0_from_velocity(velocity: Data, x_t: Data, scales: Scales) -> Data:
    r"""The data from the velocity.

    $$x_0 = (\dot\sigma_t x_t - \sigma_t u) / (\alpha_t\dot\sigma_t - \sigma_t\dot\alpha_t).$$

    Examples:
        On straight lines, $x_0 = x_t - t u$.

        >>> from fromnoise.schedules import Rectified
        >>> scales = Rectified()(torch.tensor([0.25]))
        >>> x_0_from_velocity(torch.tensor([[4.0]]), torch.tensor([[3.0]]), scales)
        tensor([[2.]])
    """
    require_shape("velocity", velocity, x_t)
    _require_slope(scales, "x_0 from velocity")
    d_sigma_t, sigma_t = beside(scales.d_sigma_t, x_t), beside(scales.sigma_t, x_t)
    return (d_sigma_t * x_t - sigma_t * velocity) / beside(_turn(scales), x_t)


def x_0_from_score(score: Data, x_t: Data, scales: Scales) -> Data:
    r"""Tweedie: $x_0 = (x_t + \sigma_t^2\, \mathrm{score}) / \alpha_t$; not at $\alpha_t = 0$."""
    require_shape("score", score, x_t)
    _require_signal(scales, "x_0 from score")
    return (x_t + beside(scales.sigma_t.square(), x_t) * score) / beside(scales.alpha_t, x_t)


def eps_from_x_0(x_0: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\epsilon = (x_t - \alpha_t x_0) / \sigma_t$; refused at $\sigma_t = 0$."""
    require_shape("x_0", x_0, x_t)
    _require_noise(scales, "eps from x_0")
    return (x_t - beside(scales.alpha_t, x_t) * x_0) / beside(scales.sigma_t, x_t)


def eps_from_v(v_angle: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\epsilon = (\sigma_t x_t + \alpha_t v) / (\alpha_t^2 + \sigma_t^2)$; defined everywhere."""
    require_shape("v_angle", v_angle, x_t)
    alpha_t, sigma_t = beside(scales.alpha_t, x_t), beside(scales.sigma_t, x_t)
    return (sigma_t * x_t + alpha_t * v_angle) / (alpha_t.square() + sigma_t.square())


def eps_from_velocity(velocity: Data, x_t: Data, scales: Scales) -> Data:
    r"""The noise from the velocity.

    $$\epsilon = (\alpha_t u - \dot\alpha_t x_t) / (\alpha_t\dot\sigma_t - \sigma_t\dot\alpha_t).$$
    """
    require_shape("velocity", velocity, x_t)
    _require_slope(scales, "eps from velocity")
    alpha_t, d_alpha_t = beside(scales.alpha_t, x_t), beside(scales.d_alpha_t, x_t)
    return (alpha_t * velocity - d_alpha_t * x_t) / beside(_turn(scales), x_t)


def eps_from_score(score: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\epsilon = -\sigma_t\, \mathrm{score}$; defined everywhere."""
    require_shape("score", score, x_t)
    return -beside(scales.sigma_t, x_t) * score


def v_from_x_0(x_0: Data, x_t: Data, scales: Scales) -> Data:
    r"""$v = \alpha_t \epsilon - \sigma_t x_0$ noise from $x_0$; refused at $\sigma_t = 0$."""
    return _angle(x_0, eps_from_x_0(x_0, x_t, scales), scales)


def v_from_eps(eps: Data, x_t: Data, scales: Scales) -> Data:
    r"""$v = \alpha_t \epsilon - \sigma_t x_0$ data from $\epsilon$; refused at $\alpha_t = 0$."""
    return _angle(x_0_from_eps(eps, x_t, scales), eps, scales)


def v_from_velocity(velocity: Data, x_t: Data, scales: Scales) -> Data:
    r"""$v = \alpha_t \epsilon - \sigma_t x_0$ with both from the velocity."""
    x_0 = x_0_from_velocity(velocity, x_t, scales)
    return _angle(x_0, eps_from_velocity(velocity, x_t, scales), scales)


def v_from_score(score: Data, x_t: Data, scales: Scales) -> Data:
    r"""$v = \alpha_t \epsilon - \sigma_t x_0$ both from the score; refused at $\alpha_t = 0$."""
    return v_from_eps(eps_from_score(score, x_t, scales), x_t, scales)


def velocity_from_x_0(x_0: Data, x_t: Data, scales: Scales) -> Data:
    r"""$u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon$, from $x_0$; refused at $\sigma_t = 0$."""
    return _rate(x_0, eps_from_x_0(x_0, x_t, scales), scales)


def velocity_from_eps(eps: Data, x_t: Data, scales: Scales) -> Data:
    r"""$u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon$, from $\epsilon$; not at $\alpha_t = 0$."""
    return _rate(x_0_from_eps(eps, x_t, scales), eps, scales)


def velocity_from_v(v_angle: Data, x_t: Data, scales: Scales) -> Data:
    r"""$u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon$ with both from $v$."""
    return _rate(x_0_from_v(v_angle, x_t, scales), eps_from_v(v_angle, x_t, scales), scales)


def velocity_from_score(score: Data, x_t: Data, scales: Scales) -> Data:
    r"""$u = f x_t - \tfrac12 g^2\, \mathrm{score}$; refused at $\alpha_t = 0$."""
    return velocity_from_eps(eps_from_score(score, x_t, scales), x_t, scales)


def score_from_x_0(x_0: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\mathrm{score} = -(x_t - \alpha_t x_0) / \sigma_t^2$; refused at $\sigma_t = 0$."""
    return score_from_eps(eps_from_x_0(x_0, x_t, scales), x_t, scales)


def score_from_eps(eps: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\mathrm{score} = -\epsilon / \sigma_t$; refused at $\sigma_t = 0$.

    Examples:
        The less noise, the larger the score of the same draw.

        >>> from fromnoise.schedules import Rectified
        >>> scales = Rectified()(torch.tensor([0.5, 0.1]))
        >>> score_from_eps(torch.ones(2, 1), torch.zeros(2, 1), scales)
        tensor([[ -2.],
                [-10.]])
    """
    require_shape("eps", eps, x_t)
    _require_noise(scales, "score from eps")
    return -eps / beside(scales.sigma_t, x_t)


def score_from_v(v_angle: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\mathrm{score} = -\epsilon / \sigma_t$, noise from $v$; refused at $\sigma_t = 0$."""
    return score_from_eps(eps_from_v(v_angle, x_t, scales), x_t, scales)


def score_from_velocity(velocity: Data, x_t: Data, scales: Scales) -> Data:
    r"""$\mathrm{score} = -\epsilon / \sigma_t$, noise from $u$; refused at $\sigma_t = 0$."""
    return score_from_eps(eps_from_velocity(velocity, x_t, scales), x_t, scales)


class Target(ABC):
    r"""What a network is asked for: the true value to regress on, and the way back to $x_0$.

    An error in the target is an error in $x_0$ under a magnifying glass: its square is
    $m(t) \Vert x_0 - \hat x_0 \Vert^2$, and `magnification` is $m(t)$.
    """

    @abstractmethod
    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        """The value that the network should give."""

    @abstractmethod
    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        """The clean data that a network's output stands for."""

    @abstractmethod
    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        """Squared error of the target over squared error of the clean data."""


class PredictX0(Target):
    """The network names the clean data."""

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""$x_0$ itself."""
        return x_0

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""The output itself."""
        return output

    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        r"""$m = 1$."""
        return torch.ones_like(scales.alpha_t)


class PredictEps(Target):
    r"""The network names the noise, as in DDPM; it cannot start from $\alpha_t = 0$.

    Source: Ho et al. 2020, arXiv 2006.11239.
    """

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""$\epsilon$ itself."""
        return eps

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""$\hat x_0 = (x_t - \sigma_t \hat\epsilon) / \alpha_t$."""
        return x_0_from_eps(output, x_t, scales)

    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        r"""$m = \alpha_t^2 / \sigma_t^2$, the SNR."""
        return scales.snr_t


class PredictV(Target):
    r"""The network names $v = \alpha_t \epsilon - \sigma_t x_0$, which is well posed at both ends.

    Source: Salimans & Ho 2022, arXiv 2202.00512.
    """

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""$v = \alpha_t \epsilon - \sigma_t x_0$."""
        return _angle(x_0, eps, scales)

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""$\hat x_0 = (\alpha_t x_t - \sigma_t \hat v) / (\alpha_t^2 + \sigma_t^2)$."""
        return x_0_from_v(output, x_t, scales)

    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        r"""$m = (\alpha_t^2 + \sigma_t^2)^2 / \sigma_t^2$, which is 1 + SNR if they sum to 1."""
        total = scales.alpha_t.square() + scales.sigma_t.square()
        return (total / scales.sigma_t).square()


class PredictVelocity(Target):
    r"""The network names $\dot\alpha_t x_0 + \dot\sigma_t \epsilon$, as in flow matching.

    Source: Lipman et al. 2023, arXiv 2210.02747.
    """

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""$u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon$."""
        return _rate(x_0, eps, scales)

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""See `x_0_from_velocity`."""
        return x_0_from_velocity(output, x_t, scales)

    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        r"""$m = (\alpha_t\dot\sigma_t - \sigma_t\dot\alpha_t)^2 / \sigma_t^2$."""
        return (_turn(scales) / scales.sigma_t).square()


class PredictScore(Target):
    r"""The network names $-\epsilon / \sigma_t$, whose mean given $x_t$ is the score of $p_t$.

    Source: Song et al. 2021, arXiv 2011.13456.
    """

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""$-\epsilon / \sigma_t$."""
        return score_from_eps(eps, x_0, scales)

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""Tweedie's formula, `x_0_from_score`."""
        return x_0_from_score(output, x_t, scales)

    def magnification(self, scales: Scales) -> Float[Tensor, "*batch"]:
        r"""$m = \alpha_t^2 / \sigma_t^4$."""
        return scales.snr_t / scales.sigma_t.square()


def _angle(x_0: Data, eps: Data, scales: Scales) -> Data:
    require_shape("eps", eps, x_0)
    return beside(scales.alpha_t, eps) * eps - beside(scales.sigma_t, x_0) * x_0


def _rate(x_0: Data, eps: Data, scales: Scales) -> Data:
    require_shape("eps", eps, x_0)
    _require_slope(scales, "velocity")
    return beside(scales.d_alpha_t, x_0) * x_0 + beside(scales.d_sigma_t, eps) * eps


def _turn(scales: Scales) -> Float[Tensor, "*batch"]:
    r"""Determinant $w = \alpha\dot\sigma - \sigma\dot\alpha$: how fast $(\alpha, \sigma)$ turns."""
    return scales.alpha_t * scales.d_sigma_t - scales.sigma_t * scales.d_alpha_t


def _require_signal(scales: Scales, what: str) -> None:
    if (scales.alpha_t == 0).any():
        raise ValueError(
            f"{what} needs alpha_t > 0: at zero signal-to-noise ratio x_t holds no data "
            "(predict x_0, v or velocity there, or start later)"
        )


def _require_noise(scales: Scales, what: str) -> None:
    if (scales.sigma_t == 0).any():
        raise ValueError(f"{what} needs sigma_t > 0: without noise x_t says nothing about eps")


def _require_slope(scales: Scales, what: str) -> None:
    if not (torch.isfinite(scales.d_alpha_t) & torch.isfinite(scales.d_sigma_t)).all():
        raise ValueError(f"{what} needs finite slopes: the schedule's derivative is infinite here")
