"""Against scipy: information in nats, one-dimensional transport, and the flow by its solvers."""

import numpy as np
import torch
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from fromnoise.adaptive import adaptive_sample
from fromnoise.decoders import log_bin
from fromnoise.evaluation import frechet_gaussians
from fromnoise.gaussians import Gaussian
from fromnoise.information import (
    cross_entropy,
    entropy,
    gaussian_entropy,
    jensen_shannon,
    kl_divergence,
)
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.sample_measures import wasserstein_2
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Cosine
from fromnoise.targets import velocity_from_x_0

FLOAT = torch.float64


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


P, Q = normal(6, seed=0).softmax(0), normal(6, seed=1).softmax(0)


def test_entropies_and_divergences():
    p, q = P.numpy(), Q.numpy()
    assert np.isclose(entropy(P), stats.entropy(p), rtol=1e-12)
    assert np.isclose(kl_divergence(P, Q), stats.entropy(p, q), rtol=1e-12)
    assert np.isclose(cross_entropy(P, Q), stats.entropy(p) + stats.entropy(p, q), rtol=1e-12)
    # scipy gives the root of the divergence.
    assert np.isclose(jensen_shannon(P, Q), jensenshannon(p, q) ** 2, rtol=1e-12)


def test_normal_laws():
    mixing = normal(3, 3, seed=2)
    covariance = mixing @ mixing.mT + 0.2 * torch.eye(3, dtype=FLOAT)
    mean, x = normal(3, seed=3), normal(7, 3, seed=4)
    theirs = stats.multivariate_normal(mean.numpy(), covariance.numpy())
    ours = Gaussian(mean, covariance)
    assert np.allclose(ours.log_prob(x), theirs.logpdf(x.numpy()), rtol=1e-11)
    assert np.isclose(gaussian_entropy(ours), theirs.entropy(), rtol=1e-12)


def test_transport_on_a_line():
    """scipy has the first Wasserstein distance: for a shift it is the second one too."""
    x = normal(30, 1, seed=5)
    y = x.flip(0) + 0.8
    theirs = wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert np.isclose(wasserstein_2(x, y), theirs, rtol=1e-12)


def test_the_flow_by_a_solver_of_order_eight():
    means = torch.tensor([[-1.0, 0.3], [0.8, -0.4]], dtype=FLOAT)
    mixture, schedule = GaussianMixture.isotropic(means, 0.4), Cosine()
    ask, x = denoiser(mixture, schedule), normal(3, 2, seed=6)

    def slope(t, flat):
        t, x_t = torch.tensor(t, dtype=FLOAT), torch.from_numpy(flat).reshape(3, 2)
        x_0_hat = ask(x_t, t.expand(3))
        return velocity_from_x_0(x_0_hat, x_t, schedule(t)).flatten().numpy()

    way = solve_ivp(
        slope, (0.95, 0.05), x.flatten().numpy(), method="DOP853", rtol=1e-12, atol=1e-12
    )
    theirs = torch.from_numpy(way.y[:, -1]).reshape(3, 2)
    ours = sample(ask, schedule, x, uniform_times(1000, 0.95, 0.05), heun_step)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    adaptive = adaptive_sample(ask, schedule, x, 0.95, 0.05, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(adaptive.x, theirs, rtol=0, atol=1e-7)


def test_the_frechet_distance_by_the_root_of_a_product():
    mixing = normal(2, 5, 5, seed=7)
    covariances = mixing @ mixing.mT + 0.1 * torch.eye(5, dtype=FLOAT)
    means = normal(2, 5, seed=8)
    root = sqrtm(covariances[0].numpy() @ covariances[1].numpy()).real
    gap = (means[0] - means[1]).square().sum().item()
    theirs = gap + covariances.numpy().trace(axis1=1, axis2=2).sum() - 2 * np.trace(root)
    ours = frechet_gaussians(means[0], covariances[0], means[1], covariances[1])
    assert np.isclose(ours, theirs, rtol=1e-9)


def test_the_bins_of_a_logistic_law():
    levels = torch.linspace(-1, 1, 17, dtype=FLOAT)
    mean, scale, half = 0.21, 0.13, 1 / 16
    law = stats.logistic(mean, scale)
    low, high = levels.numpy() - half, levels.numpy() + half
    low[0], high[-1] = -np.inf, np.inf
    wanted = np.log(law.cdf(high) - law.cdf(low))
    ours = log_bin(torch.tensor(mean), torch.tensor(scale, dtype=FLOAT).log(), levels)
    assert np.allclose(ours, wanted, rtol=1e-6)
