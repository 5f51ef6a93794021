r"""Variational autoencoders: a random code, a pull towards the prior, a gradient through noise.

The model draws a code $z \sim \mathcal N(0, I)$ and an image $x \sim p_\theta(x \mid z)$. The
encoder answers with $q_\phi(z \mid x) = \mathcal N(\mu_\phi, \operatorname{diag}\sigma_\phi^2)$.
Images are flat, `(batch, dims)`. The rate is the KL divergence from the prior, the distortion the
expected negative log-likelihood; elbo = -(rate + distortion), all in nats.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fromnoise.autoregressive_decoder import AutoregressiveDecoder
from fromnoise.batches import require_counts, require_shape
from fromnoise.decoders import Likelihood
from fromnoise.elbo import diagonal_log_prob, iwae_bound, reparameterize
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.information import bits_per_dim
from fromnoise.networks import seeded
from fromnoise.training import Batch, Loss

Codes = Float[Tensor, "*batch latents"]


class Terms(NamedTuple):
    """The two parts of the bound, for each image."""

    rate: Float[Tensor, "batch latents"]
    """KL divergence of each latent unit, nats."""
    distortion: Float[Tensor, " batch"]
    r"""$-\log p_\theta(x \mid z)$ at the sampled code, nats summed over pixels."""

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """Estimate of the bound on log p(x), nats; larger is better."""
        return -(self.rate.sum(-1) + self.distortion)


class VAE(nn.Module):
    """Encoder, decoder and likelihood for flat images."""

    def __init__(
        self,
        likelihood: Likelihood,
        n_latents: int = 2,
        n_dims: int = 64,
        width: int = 128,
        *,
        dropout: float = 0.0,
        autoregressive: bool = False,
        seed: int = 0,
    ) -> None:
        """Build both networks; the weights come from `seed` alone.

        Args:
            likelihood: What the decoder's outputs mean.
            n_latents: Entries of the code.
            n_dims: Pixels of an image.
            width: Hidden units of each layer.
            dropout: Share of hidden units silenced in training; for an autoregressive decoder, the
                share of earlier pixels hidden from it.
            autoregressive: Let the decoder see the earlier pixels.
            seed: Seed of the first weights.

        Raises:
            ValueError: A size is below 1, or `dropout` lies outside [0, 1).
        """
        super().__init__()
        if min(n_latents, n_dims, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_latents}, {n_dims}, {width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.n_latents, self.n_dims = n_latents, n_dims
        self.likelihood = likelihood
        self.autoregressive = autoregressive
        with seeded(seed):
            self.encoder = mlp(n_dims, width, 2 * n_latents, dropout)
            n_outputs = n_dims * likelihood.n_parameters
            self.decoder: nn.Module = (
                AutoregressiveDecoder(
                    n_latents, n_dims, likelihood.n_parameters, 2 * width, dropout
                )
                if autoregressive
                else mlp(n_latents, width, n_outputs, dropout)
            )

    def encode(self, x: Float[Tensor, "batch dims"]) -> tuple[Codes, Codes]:
        r"""Mean and log variance of $q_\phi(z \mid x)$."""
        z_mean, z_log_var = self.encoder(x).chunk(2, dim=-1)
        return z_mean, z_log_var

    def decode(
        self, z: Codes, x: Float[Tensor, "batch dims"] | None = None
    ) -> Float[Tensor, "batch dims parameters"]:
        """Parameters of the likelihood of each pixel; `x` only feeds an autoregressive decoder."""
        if self.autoregressive:
            return self.decoder(z, x)
        return self.decoder(z).view(len(z), self.n_dims, self.likelihood.n_parameters)

    def forward(self, x: Float[Tensor, "batch dims"], eps: Float[Tensor, "batch latents"]) -> Terms:
        """Rate and distortion of each image, with one code per image made from the noise `eps`.

        Args:
            x: Images.
            eps: Standard normal noise.

        Raises:
            ValueError: If `eps` is not shaped like the codes.
        """
        z_mean, z_log_var = self.encode(x)
        require_shape("eps", eps, z_mean)
        z = reparameterize(z_mean, z_log_var, eps)
        distortion = -self.likelihood.log_prob(self.decode(z, x), x)
        return Terms(kl_diagonal(z_mean, z_log_var), distortion)

    def log_weights(
        self, x: Float[Tensor, "batch dims"], n_importance: int, generator: torch.Generator
    ) -> Float[Tensor, "n_importance batch"]:
        r"""Log importance weights $\log p(x \mid z) + \log p(z) - \log q(z \mid x)$, $z\sim q$.

        Their mean is the ELBO; `fromnoise.elbo.iwae_bound` makes the tighter bound of them.

        Raises:
            ValueError: If `n_importance` is below 1.
        """
        require_counts(n_importance=n_importance)
        z_mean, z_log_var = self.encode(x)
        shape = (n_importance, *z_mean.shape)
        eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        z = reparameterize(z_mean, z_log_var, eps)
        prior = torch.zeros_like(z)
        log_ratio = diagonal_log_prob(z, prior, prior) - diagonal_log_prob(z, z_mean, z_log_var)
        copies = x.expand(n_importance, *x.shape).reshape(-1, self.n_dims)
        parameters = self.decode(z.view(-1, self.n_latents), copies)
        log_px_given_z = self.likelihood.log_prob(parameters, copies)
        return log_px_given_z.view(n_importance, len(x)) + log_ratio

    def sample(self, n_samples: int, generator: torch.Generator) -> Float[Tensor, "n dims"]:
        """New images: codes from the prior, pixels from the likelihood.

        Args:
            n_samples: How many.
            generator: Source of the draws.

        Raises:
            ValueError: The decoder is autoregressive; it would need one pass per pixel.
        """
        if self.autoregressive:
            raise ValueError("this sampler draws all pixels at once; the decoder sees earlier ones")
        require_counts(0, n_samples=n_samples)
        weight = next(self.parameters())
        shape = (n_samples, self.n_latents)
        z = torch.randn(shape, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.likelihood.sample(self.decode(z), generator)


# --8<-- [start:vae_loss]
def vae_loss(beta: float = 1.0, noise: float = 1.0, floor: float = 0.0) -> Loss:
    r"""Loss for `fromnoise.training.train`: $(\beta R + D)$, nats per pixel, mean over the batch.

    Args:
        beta: Weight of the rate; 1 gives the negative ELBO, 0 drops the KL term.
        noise: Factor on the noise of the code; 0 drops the noise.
        floor: Free bits, in nats per latent unit.
    """

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        (x,) = batch
        assert isinstance(network, VAE)
        shape = (len(x), network.n_latents)
        eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        terms = network(x, noise * eps)
        rate = free_bits(terms.rate, floor)
        return (beta * rate + terms.distortion.mean()) / x.shape[1]

    return loss


# --8<-- [end:vae_loss]


# --8<-- [start:free_bits]
def free_bits(rate: Float[Tensor, "batch latents"], floor: float) -> Float[Tensor, ""]:
    r"""Rate that costs nothing below a floor: $\sum_j \max(R_{\min}, \text{mean}_n R_{nj})$, nats.

    A unit that says less than the floor feels no pull towards the prior. The value is for training;
    report the true rate.

    Args:
        rate: KL divergence of each unit for each image of the batch.
        floor: $R_{\min}$, nats per unit, at least 0.

    Raises:
        ValueError: `floor` is negative.

    Source:
        Kingma et al. 2016, <https://arxiv.org/abs/1606.04934>.
    """
    if not floor >= 0:
        raise ValueError(f"floor must be at least 0, got {floor}")
    return rate.mean(0).clamp(min=floor).sum()


# --8<-- [end:free_bits]


# --8<-- [start:active_units]
def active_units(
    z_mean: Float[Tensor, "n latents"], threshold: float = 0.01
) -> Bool[Tensor, " latents"]:
    r"""Which latent units say anything: $\operatorname{Var}_x\,\mu_j(x) > 0.01$.

    Args:
        z_mean: Posterior means of many images, at least two.
        threshold: Variance above which a unit counts.

    Raises:
        ValueError: There are fewer than two images.

    Source:
        Burda et al. 2016, <https://arxiv.org/abs/1509.00519>.
    """
    if len(z_mean) < 2:
        raise ValueError(f"a variance over images needs at least two, got {len(z_mean)}")
    return z_mean.var(dim=0) > threshold


# --8<-- [end:active_units]


@torch.no_grad()
def summarize(
    model: VAE, x: Float[Tensor, "batch dims"], n_importance: int, generator: torch.Generator
) -> dict[str, float]:
    """Held-out numbers of a model, means over the images.

    Args:
        model: The model.
        x: Images that it was not trained on.
        n_importance: Codes per image for the tighter bound.
        generator: Source of the noise.

    Returns:
        `elbo` and `iwae` as negative bounds in bits per pixel (smaller is better), `rate` and
        `distortion` in nats per image, `n_active` the number of active units.

    Raises:
        ValueError: If `n_importance` is below 1.
    """
    require_counts(n_importance=n_importance)
    draws = [
        model.log_weights(x, min(16, n_importance - start), generator)
        for start in range(0, n_importance, 16)  # bounds the memory
    ]
    log_weights = torch.cat(draws).double()
    z_mean, z_log_var = model.encode(x)
    rate = kl_diagonal(z_mean, z_log_var).sum(-1).double().mean()
    return {
        "elbo": float(bits_per_dim(-log_weights.mean(), model.n_dims)),
        "iwae": float(bits_per_dim(-iwae_bound(log_weights).mean(), model.n_dims)),
        "rate": float(rate),
        "distortion": float(-log_weights.mean() - rate),
        "n_active": float(active_units(z_mean).sum()),
    }


def mlp(n_inputs: int, width: int, n_outputs: int, dropout: float) -> nn.Sequential:
    """Two hidden layers with dropout after each.

    Args:
        n_inputs: Entries that come in.
        width: Width of the hidden layers.
        n_outputs: Entries that go out.
        dropout: Share of the hidden units that training silences.

    Raises:
        ValueError: If a size is below 1.
    """
    require_counts(n_inputs=n_inputs, width=width, n_outputs=n_outputs)
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(width, n_outputs),
    )
