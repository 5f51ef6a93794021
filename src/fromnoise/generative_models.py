r"""Small generative models with one face: fit to data, `sample` new data, `log_prob` of any data.

Each is here to make one point. `fit_class_gaussians` is an honest model of images. `Bigram` is the
same thing for text. `Diluted` has a high likelihood and bad samples; `Memorizer` has perfect
samples and no likelihood. Log probabilities are in nats, summed over dimensions.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fromnoise.batches import require_counts
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Scales


@runtime_checkable
class Model(Protocol):
    """What every generative model of this module can do."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of each point, in nats.

        Args:
            x: Points.
        """
        ...

    def sample(self, n_samples: int, generator: torch.Generator | None = None) -> Tensor:
        """New points.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.
        """
        ...


def dequantize(
    x: Float[Tensor, "*shape"], level_width: float, generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    r"""Spread each gray level over its own width: $x + \Delta (u - \tfrac12)$, $u \sim U(0, 1)$.

    A density may be infinite on data that sit on a few levels. On spread data its mean log density
    plus $D \log \Delta$ is at most the mean log probability of the levels.

    Args:
        x: Data on levels that are $\Delta$ apart.
        level_width: $\Delta$.
        generator: Source of the noise.

    Raises:
        ValueError: If `level_width` is not positive.

    Source:
        Theis, van den Oord and Bethge 2016, <https://arxiv.org/abs/1511.01844>.
    """
    if not 0 < level_width < math.inf:
        raise ValueError(f"level_width must be positive, got {level_width}")
    u = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return x + level_width * (u - 0.5)


# --8<-- [start:fit_gaussian]
def fit_gaussian(x: Float[Tensor, "n dim"], shrinkage: float = 0.0) -> Gaussian:
    r"""Maximum-likelihood Gaussian, its covariance pulled a little towards a sphere.

    $C = (1 - \gamma) S + \gamma\, \tfrac{\mathrm{tr} S}{D} I$, with $S$ the covariance of the data.

    Args:
        x: Data.
        shrinkage: $\gamma$ in [0, 1]. At 0 this is the maximum of the likelihood of `x`.

    Raises:
        ValueError: If there are fewer than 2 rows, `shrinkage` is out of range, or the covariance
            is singular: more dimensions than rows need some shrinkage.
    """
    if len(x) < 2:
        raise ValueError(f"fitting needs at least 2 rows of data, got {len(x)}")
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must lie in [0, 1], got {shrinkage}")
    mean = x.mean(0)
    covariance = (x - mean).mT @ (x - mean) / len(x)
    sphere = covariance.diagonal().mean() * torch.eye(x.shape[1]).to(x)
    return Gaussian(mean, (1 - shrinkage) * covariance + shrinkage * sphere)


# --8<-- [end:fit_gaussian]


# --8<-- [start:fit_class_gaussians]
def fit_class_gaussians(
    x: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], shrinkage: float = 0.0
) -> GaussianMixture:
    r"""One Gaussian per class: $p(x) = \sum_c p(c)\, p(x \mid c)$, $p(c)$ counted from the labels.

    `component(c)` is the conditional model $p(x \mid c)$, and `responsibilities(x)` turns it around
    by Bayes' rule into a classifier $p(c \mid x)$.

    Args:
        x: Data.
        labels: Class of each row, from 0; every class up to the largest must occur.
        shrinkage: As in `fit_gaussian`.

    Raises:
        ValueError: If a class has fewer than 2 rows, or its covariance is singular.
    """
    counts = torch.bincount(labels)
    if int(counts.min()) < 2:
        raise ValueError(f"every class needs at least 2 rows, got {counts.tolist()}")
    parts = [fit_gaussian(x[labels == c], shrinkage) for c in range(len(counts))]
    means = torch.stack([part.mean for part in parts])
    covariances = torch.stack([part.covariance for part in parts])
    # The product of the eigenvectors is symmetric only to rounding.
    covariances = 0.5 * (covariances + covariances.mT)
    return GaussianMixture(counts.to(x) / len(x), means, covariances)


# --8<-- [end:fit_class_gaussians]


# --8<-- [start:Memorizer]
class Memorizer:
    r"""The empirical distribution: every training point with probability $1/n$, nothing else."""

    def __init__(self, points: Float[Tensor, "n dim"]) -> None:
        """Learn by heart.

        Args:
            points: The training data.

        Raises:
            ValueError: If there are none.
        """
        if len(points) == 0:
            raise ValueError("there is nothing to memorize: got 0 points")
        self.points = points

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """Draw training points with replacement.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        rows = torch.randint(len(self.points), (n_samples,), generator=generator)
        return self.points[rows]

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        r"""Log probability of exactly `x`: $\log(\text{copies} / n)$; $-\infty$ for a new point.

        Returns:
            Nats.
        """
        same = (x[..., None, :] == self.points).all(-1).sum(-1)
        return same.to(x).log() - math.log(len(self.points))

    def posterior_mean(
        self, x_t: Float[Tensor, "*batch dim"], scales: Scales
    ) -> Float[Tensor, "*batch dim"]:
        r"""Exact denoiser, $E[x_0 \mid x_t] = \sum_i w_i x^{(i)}$.

        The weights are $w_i \propto \exp(-\Vert x_t - \alpha_t x^{(i)} \Vert^2 / 2\sigma_t^2)$.

        Args:
            x_t: Noisy points.
            scales: Scales, one for all points or one per point.

        Raises:
            ValueError: If some $\sigma_t$ is 0.
        """
        alpha_t, sigma_t = scales.alpha_t.to(x_t), scales.sigma_t.to(x_t)
        if not bool((sigma_t > 0).all()):
            raise ValueError(f"sigma_t must be positive, got {sigma_t.min():.3g}")
        # |x_t - alpha x|^2 without |x_t|^2, which is the same for every training point.
        match = x_t @ self.points.mT
        length = self.points.square().sum(-1)
        alpha_t, sigma_t = alpha_t[..., None], sigma_t[..., None]
        log_weights = (alpha_t * match - 0.5 * alpha_t.square() * length) / sigma_t.square()
        return log_weights.softmax(-1) @ self.points


# --8<-- [end:Memorizer]


# --8<-- [start:Diluted]
class Diluted:
    r"""Mostly noise: $p(x) = s\, p_{\text{model}}(x) + (1 - s)\, p_{\text{noise}}(x)$, $s$ small.

    Its log likelihood is never more than $\log(1/s)$ nats below the model's, however
    many dimensions $x$ has. Nearly all of its samples are noise.

    Source:
        Theis, van den Oord and Bethge 2016, <https://arxiv.org/abs/1511.01844>.
    """

    def __init__(self, model: Model, noise: Model, share: float = 0.01) -> None:
        """Mix two models.

        Args:
            model: The good one.
            noise: The other one.
            share: Probability of the good one, in (0, 1).

        Raises:
            ValueError: If `share` is out of range.
        """
        if not 0 < share < 1:
            raise ValueError(f"share must lie in (0, 1), got {share}")
        self.model, self.noise, self.share = model, noise, share

    def sample(self, n_samples: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the model with probability `share`, otherwise from the noise.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        good, bad = (part.sample(n_samples, generator) for part in (self.model, self.noise))
        keep = torch.rand(n_samples, generator=generator) < self.share
        return torch.where(keep[:, None], good, bad)

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """Log density, by log-sum-exp."""
        good = self.model.log_prob(x) + math.log(self.share)
        bad = self.noise.log_prob(x) + math.log1p(-self.share)
        return torch.logaddexp(good, bad)


# --8<-- [end:Diluted]


# --8<-- [start:Bigram]
class Bigram:
    r"""Text, one character at a time: $p(x) = p(x_1) \prod_i p(x_i \mid x_{i-1})$.

    The probabilities are counted from a text, with one added to every count, so that no sequence of
    known characters is impossible.
    """

    def __init__(self, text: str) -> None:
        """Count single characters and pairs.

        Args:
            text: The training text.

        Raises:
            ValueError: If the text is empty.
        """
        if not text:
            raise ValueError("there is nothing to count: the text is empty")
        self.alphabet = sorted(set(text))
        self._index = {character: i for i, character in enumerate(self.alphabet)}
        n = len(self.alphabet)
        codes = self._encode(text)
        first = 1 + torch.bincount(codes, minlength=n).double()
        pairs = 1 + torch.bincount(n * codes[:-1] + codes[1:], minlength=n * n).double()
        self.first = first / first.sum()
        self.next = pairs.view(n, n) / pairs.view(n, n).sum(1, keepdim=True)

    def _encode(self, text: str) -> Tensor:
        unknown = sorted(set(text) - set(self._index))
        if unknown:
            raise ValueError(f"characters that the training text lacks: {unknown}")
        return torch.tensor([self._index[character] for character in text], dtype=torch.long)

    def log_prob(self, text: str) -> Float[Tensor, ""]:
        r"""Log probability of a text, $\log p(x_1) + \sum_i \log p(x_i \mid x_{i-1})$.

        Returns:
            Nats, summed over characters.

        Raises:
            ValueError: If the text is empty or holds a character that training did not show.
        """
        if not text:
            raise ValueError("the text is empty")
        codes = self._encode(text)
        return self.first[codes[0]].log() + self.next[codes[:-1], codes[1:]].log().sum()

    def sample(self, n_characters: int, generator: torch.Generator | None = None) -> str:
        """Write a text, each character drawn given the one before.

        Raises:
            ValueError: If `n_characters` is negative.
        """
        require_counts(0, n_characters=n_characters)
        codes: list[int] = []
        for i in range(n_characters):
            row = self.next[codes[-1]] if i else self.first
            codes.append(int(torch.multinomial(row, 1, generator=generator)))
        return "".join(self.alphabet[code] for code in codes)


# --8<-- [end:Bigram]
