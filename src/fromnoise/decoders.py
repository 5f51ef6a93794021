r"""What a decoder's outputs mean: the likelihood $p_\theta(x \mid z)$ of an image given its code.

A likelihood holds no network. It reads `n_parameters` numbers per pixel, written by some decoder,
as a distribution over that pixel; given the code, pixels are independent. Images are flat,
`(batch, dims)`, with pixels in [-1, 1]. Log-likelihoods are in nats, summed over pixels.
`fromnoise.autoregressive_decoder` holds a decoder that breaks the independence.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.datasets import from_levels, to_levels

Pixels = Float[Tensor, "batch dims"]
Parameters = Float[Tensor, "batch dims parameters"]


class Likelihood(nn.Module, ABC):
    """A distribution over each pixel, given the numbers that the decoder writes for it."""

    n_parameters: int

    @abstractmethod
    def log_prob(self, parameters: Parameters, x: Pixels) -> Float[Tensor, " batch"]:
        r"""$\log p_\theta(x \mid z)$ in nats, summed over pixels.

        Args:
            parameters: What the decoder answers for each pixel, its last axis.
            x: Pixels.
        """

    @abstractmethod
    def mean(self, parameters: Parameters) -> Pixels:
        r"""$E[x \mid z]$, the picture to show.

        Args:
            parameters: What the decoder answers for each pixel, its last axis.
        """

    @abstractmethod
    def sample(self, parameters: Parameters, generator: torch.Generator) -> Pixels:
        r"""One draw of $x$ given $z$.

        Args:
            parameters: What the decoder answers for each pixel, its last axis.
            generator: Source of the draw.
        """


class Bernoulli(Likelihood):
    r"""Black-or-white pixels: $\log p(x \mid z) = \sum_i \log \operatorname{sigm}(x_i \ell_i)$."""

    n_parameters = 1

    def log_prob(self, parameters: Parameters, x: Pixels) -> Float[Tensor, " batch"]:
        r"""Sum of $\log\operatorname{sigm}(x_i \ell_i)$ with $x_i = \pm 1$ and logits $\ell$.

        Raises:
            ValueError: A pixel is gray. The formula is then no distribution over pixels.
        """
        if not bool((x.abs() == 1).all()):
            raise ValueError("a Bernoulli pixel is -1 or 1; threshold the images first")
        _require_pixels(parameters, x)
        return F.logsigmoid(x * parameters[..., 0]).sum(-1)

    def mean(self, parameters: Parameters) -> Pixels:
        r"""$E[x_i] = \tanh(\ell_i/2)$."""
        return torch.tanh(parameters[..., 0] / 2)

    def sample(self, parameters: Parameters, generator: torch.Generator) -> Pixels:
        """One draw, every pixel -1 or 1."""
        white = torch.sigmoid(parameters[..., 0])
        return torch.bernoulli(white, generator=generator) * 2 - 1


class Gaussian(Likelihood):
    r"""Real-valued pixels around a mean, with one standard deviation $\sigma$ for all of them.

    Args:
        sigma: Standard deviation $\sigma$; where it is learned, the first value.
        learned: Whether training moves it.
    """

    n_parameters = 1

    def __init__(self, sigma: float = 1.0, learned: bool = True) -> None:
        r"""Set the standard deviation, or where learning starts.

        One $\sigma$ for all: digits have pixels that never change, and a $\sigma$ of their own
        would go to zero there and the density to infinity.

        Raises:
            ValueError: `sigma` is not positive.
        """
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, got {sigma}")
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)), requires_grad=learned)

    def log_prob(self, parameters: Parameters, x: Pixels) -> Float[Tensor, " batch"]:
        r"""Sum over pixels of $-\tfrac{(x_i-\mu_i)^2}{2\sigma^2} - \tfrac12\log 2\pi\sigma^2$.

        Raises:
            ValueError: If the parameters do not fit the pixels.
        """
        _require_pixels(parameters, x)
        squared = (x - parameters[..., 0]).square() * torch.exp(-2 * self.log_sigma)
        return -0.5 * (squared + 2 * self.log_sigma + math.log(2 * math.pi)).sum(-1)

    def log_mass(
        self, parameters: Parameters, x: Pixels, n_levels: int = 17
    ) -> Float[Tensor, " batch"]:
        r"""Log-probability of gray levels: each pixel's density integrated over its level's bin.

        A density cannot be compared with a probability; this can. The two outer bins are open.

        Args:
            parameters: Means, as for `log_prob`.
            x: Pixels on the levels.
            n_levels: Number of equally spaced levels on [-1, 1].

        Raises:
            ValueError: If `n_levels` is below 2, or a pixel is not on a level.
        """
        _require_pixels(parameters, x)
        if n_levels < 2:
            raise ValueError(f"n_levels must be at least 2, got {n_levels}")
        half = 1 / (n_levels - 1)
        distance = x - parameters[..., 0]
        center = distance.double()
        sigma = self.log_sigma.double().exp()
        # Mirror the bin into the lower tail, where differences of the distribution keep digits.
        low, high = (center - half) / sigma, (center + half) / sigma
        low = torch.where(x <= -1 + half, -torch.inf, low)
        high = torch.where(x >= 1 - half, torch.inf, high)
        flip = low + high > 0
        low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
        upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
        return (upper + torch.log(-torch.expm1(lower - upper))).sum(-1).to(distance.dtype)

    def mean(self, parameters: Parameters) -> Pixels:
        r"""$\mu$."""
        return parameters[..., 0]

    def sample(self, parameters: Parameters, generator: torch.Generator) -> Pixels:
        r"""One draw $\mu + \sigma\epsilon$."""
        mean = parameters[..., 0]
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.log_sigma.exp() * eps


class _OverLevels(Likelihood):
    """A probability for each of the gray levels of a pixel."""

    def __init__(self, n_levels: int = 17) -> None:
        """Set the number of levels.

        Raises:
            ValueError: There are fewer than two.
        """
        super().__init__()
        if n_levels < 2:
            raise ValueError(f"n_levels must be at least 2, got {n_levels}")
        self.n_levels = n_levels

    @abstractmethod
    def log_probs(self, parameters: Parameters) -> Float[Tensor, "batch dims levels"]:
        """Log-probability of every level of every pixel."""

    def mean(self, parameters: Parameters) -> Pixels:
        r"""$\sum_g x_g\,p(g \mid z)$."""
        pixels = from_levels(torch.arange(self.n_levels), self.n_levels).to(parameters)
        return self.log_probs(parameters).exp() @ pixels

    def sample(self, parameters: Parameters, generator: torch.Generator) -> Pixels:
        """One draw, every pixel on a level."""
        probs = self.log_probs(parameters).exp()
        levels = torch.multinomial(probs.flatten(0, 1), 1, generator=generator)
        return from_levels(levels.view(probs.shape[:2]), self.n_levels, parameters.dtype)


# --8<-- [start:log_bin]
def log_bin(
    mean: Float[Tensor, "*#shape"],
    log_scale: Float[Tensor, "*#shape"],
    x: Float[Tensor, "*#shape"],
    n_levels: int = 17,
) -> Float[Tensor, "*shape"]:
    r"""Log of the logistic mass between $x - \delta$ and $x + \delta$, $\delta = 1/(n-1)$.

    The bins of the first and the last level are open.

    Args:
        mean: Center of the logistic density.
        log_scale: Log of its scale $s$.
        x: Pixels on the levels.
        n_levels: Number $n$ of equally spaced levels on [-1, 1].

    Raises:
        ValueError: There are fewer than two levels.
    """
    if n_levels < 2:
        raise ValueError(f"n_levels must be at least 2, got {n_levels}")
    half = 1 / (n_levels - 1)
    # exp(-7) of the range is far below one bin; without the floor 1/s could overflow.
    inverse = torch.exp(-log_scale.clamp(min=-7.0))
    a, b = (x + half - mean) * inverse, (x - half - mean) * inverse
    below, above = F.logsigmoid(a), F.logsigmoid(-b)
    inside = below + above + torch.log(-torch.expm1(-2 * half * inverse))
    first, last = x < -1 + half, x > 1 - half
    return torch.where(first, below, torch.where(last, above, inside))


# --8<-- [end:log_bin]


class DiscretizedLogistic(_OverLevels):
    r"""Gray levels as bins of a logistic density with mean $\mu$ and scale $s$, per pixel."""

    n_parameters = 2

    def log_prob(self, parameters: Parameters, x: Pixels) -> Float[Tensor, " batch"]:
        r"""Sum over pixels of $\log\big(\operatorname{sigm}(a_i)-\operatorname{sigm}(b_i)\big)$.

        $a, b = (x \pm \delta - \mu)/s$ are the ends of the bin, $\delta = 1/(n-1)$; the two
        outer bins are open.

        Raises:
            ValueError: If the parameters do not fit the pixels, or a pixel has no such value.

        Source:
            Salimans et al. 2017, PixelCNN++, <https://arxiv.org/abs/1701.05517>.
        """
        _require_pixels(parameters, x)
        return log_bin(parameters[..., 0], parameters[..., 1], x, self.n_levels).sum(-1)

    def log_probs(self, parameters: Parameters) -> Float[Tensor, "batch dims levels"]:
        """Log-probability of every level of every pixel, nats."""
        pixels = from_levels(torch.arange(self.n_levels), self.n_levels).to(parameters)
        return log_bin(parameters[..., :1], parameters[..., 1:], pixels, self.n_levels)


class Categorical(_OverLevels):
    r"""Gray levels as unordered classes: a softmax over `n_levels` logits, per pixel."""

    def __init__(self, n_levels: int = 17) -> None:
        """One logit per level.

        Raises:
            ValueError: There are fewer than two levels.
        """
        super().__init__(n_levels)
        self.n_parameters = n_levels

    def log_prob(self, parameters: Parameters, x: Pixels) -> Float[Tensor, " batch"]:
        r"""Sum over pixels of the log-probability of the level each has.

        Raises:
            ValueError: If the parameters do not fit the pixels, or a pixel has no such value.
        """
        _require_pixels(parameters, x)
        levels = to_levels(x, self.n_levels)[..., None]
        return self.log_probs(parameters).gather(-1, levels).sum((-2, -1))

    def log_probs(self, parameters: Parameters) -> Float[Tensor, "batch dims levels"]:
        """Log-probability of every level of every pixel, nats."""
        return parameters.log_softmax(-1)


def _require_pixels(parameters: Tensor, x: Tensor) -> None:
    if parameters.shape[:-1] != x.shape:
        raise ValueError(
            f"pixels have shape {tuple(x.shape)}, their parameters {tuple(parameters.shape)}"
        )
