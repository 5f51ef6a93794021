r"""How near samples are to real data, and how sure one may be of the answer.

A single number misleads, so they come together: the Frechet distance in a classifier's features
(beside its floor, real data against real data), a classifier two-sample test, class accuracy and
the distance to the nearest training example. Judge with a classifier trained on a split that
neither the model nor the comparison uses; trained on the model's own data it flatters.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.intervals import Interval, check_level
from fromnoise.networks import seeded
from fromnoise.training import Batch, TrainingSettings, train


# --8<-- [start:frechet_gaussians]
def frechet_gaussians(
    mean_a: Float[Tensor, " d"],
    cov_a: Float[Tensor, "d d"],
    mean_b: Float[Tensor, " d"],
    cov_b: Float[Tensor, "d d"],
) -> float:
    r"""Squared Wasserstein-2 distance between two Gaussians, the "Frechet distance".

    $\lVert m_a - m_b \rVert^2 + \operatorname{tr}\big(C_a + C_b - 2 (C_a^{1/2} C_b
    C_a^{1/2})^{1/2}\big)$.

    Args:
        mean_a: Mean of the first Gaussian.
        cov_a: Covariance of the first, symmetric positive semi-definite.
        mean_b: Mean of the second.
        cov_b: Covariance of the second.

    Raises:
        ValueError: If a number is not finite.

    Examples:
        Two widths and two means: $(2 - 1)^2 + 3^2$.

        >>> one, four = torch.eye(1), 4 * torch.eye(1)
        >>> round(frechet_gaussians(torch.zeros(1), one, torch.full((1,), 3.0), four), 4)
        10.0

    Source:
        Dowson and Landau 1982; Heusel et al. 2017, <https://arxiv.org/abs/1706.08500>.
    """
    if not all(bool(part.isfinite().all()) for part in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("means and covariances must be finite")
    values, vectors = torch.linalg.eigh(cov_a)
    root_a = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    # Rounding leaves eigenvalues of order -1e-18 where the true ones are zero.
    shared = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * shared
    return max(0.0, float(distance))


# --8<-- [end:frechet_gaussians]


def frechet_distance(features_a: Float[Tensor, "n d"], features_b: Float[Tensor, "m d"]) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features.

    Biased upwards for small sets: compare only distances taken at the same sizes.

    Raises:
        ValueError: A set has fewer than two rows or holds a number that is not finite.
    """
    moments = []
    for features in (features_a, features_b):
        if len(features) < 2 or not torch.isfinite(features).all():
            raise ValueError(f"need at least two rows of finite features, got {len(features)} rows")
        rows = features.double()
        moments += [rows.mean(dim=0), torch.cov(rows.T).reshape(rows.shape[1], -1)]
    return frechet_gaussians(*moments)


def real_against_real(
    features_a: Float[Tensor, "n d"],
    labels_a: Int[Tensor, " n"],
    features_b: Float[Tensor, "m d"],
    labels_b: Int[Tensor, " m"],
    n_splits: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Floor of the Frechet distance: both sets pooled and split anew, at the same sizes.

    Every split keeps the number of each class on either side, as samples do that are drawn for the
    labels of the held-out set; splits that let the classes vary double the distance on the digits.
    `mean` is the mean over splits; `low` and `high` hold the share `level` of the splits.

    Args:
        features_a: Features of real data, as many as there are samples to judge.
        labels_a: Their classes.
        features_b: Features of the real data that samples are compared with.
        labels_b: Their classes.
        n_splits: Number of random splits.
        level: Share of the splits between `low` and `high`.
        seed: Of the splits.

    Raises:
        ValueError: If `n_splits` is below 1, `level` is not in (0, 1), or sets and labels do not
            fit.
    """
    check_level(level)
    if n_splits < 1:
        raise ValueError(f"n_splits must be at least 1, got {n_splits}")
    pool, labels = torch.cat([features_a, features_b]), torch.cat([labels_a, labels_b])
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(n_splits):
        first = torch.zeros(len(pool), dtype=torch.bool)
        for label in labels.unique():
            members = (labels == label).nonzero()[:, 0]
            order = torch.randperm(len(members), generator=generator)
            first[members[order[: int((labels_a == label).sum())]]] = True
        found.append(frechet_distance(pool[first], pool[~first]))
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return {"mean": float(np.mean(found)), "low": float(low), "high": float(high)}


class Classifier(nn.Module):
    """Small convolutional classifier; its last hidden layer gives the features that judge.

    The features are normalized to mean 0 and variance 1 within each image, so that a longer
    training of the judge does not stretch every distance.

    Args:
        image_size: Side of the image in pixels.
        n_classes: Number of classes.
        n_features: Entries of the last hidden layer.
        seed: Seed of the first weights.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(self, image_size: int, n_classes: int, n_features: int = 64, seed: int = 0):
        super().__init__()
        require_counts(image_size=image_size, n_classes=n_classes, n_features=n_features)
        with seeded(seed):
            self.convolutions = nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(32, 64, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Linear(64 * ((image_size + 1) // 2) ** 2, n_features),
            )
            self.head = nn.Linear(n_features, n_classes)

    def features(self, images: Float[Tensor, "n 1 side side"]) -> Float[Tensor, "n d"]:
        """The last hidden layer of each of the `images`."""
        hidden = F.relu(self.convolutions(images))
        return F.layer_norm(hidden, hidden.shape[-1:])

    def forward(self, images: Float[Tensor, "n 1 side side"]) -> Float[Tensor, "n classes"]:
        """Unnormalized log-probabilities of the classes of the `images`."""
        return self.head(self.features(images))

    @torch.no_grad()
    def judge(self, images: Float[Tensor, "n 1 side side"]) -> Float[Tensor, "n d"]:
        """Features of `images`, without gradient."""
        return self.features(images)

    @torch.no_grad()
    def accuracy(self, images: Float[Tensor, "n 1 side side"], labels: Int[Tensor, " n"]) -> float:
        """Share of `images` put into the class of their label.

        Args:
            images: Images to judge.
            labels: Their classes.

        Raises:
            ValueError: If there are no images, or one has a pixel that is not finite.
        """
        if len(images) == 0 or not bool(images.isfinite().all()):
            raise ValueError(f"need one or more images of finite pixels, got {len(images)} images")
        return float((self(images).argmax(dim=1) == labels).double().mean())


def train_classifier(
    images: Float[Tensor, "n 1 side side"],
    labels: Int[Tensor, " n"],
    n_steps: int = 400,
    seed: int = 0,
) -> Classifier:
    """Train the judge on its own split, with images moved by up to one pixel.

    Args:
        images: Images that neither the model under test nor the comparison uses.
        labels: Their classes, 0, 1, ...
        n_steps: Training steps.
        seed: Of weights and batches.

    Raises:
        ValueError: If there are no images.
    """
    if len(images) == 0:
        raise ValueError("a classifier needs at least one image")

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        pixels, classes = batch
        moves = torch.randint(3, (2, len(pixels)), generator=generator, device=pixels.device)
        # -1 is the empty page, so a digit may leave it a little.
        windows = F.pad(pixels, (1, 1, 1, 1), value=-1.0).unfold(2, side, 1).unfold(3, side, 1)
        rows = torch.arange(len(pixels), device=pixels.device)
        moved = windows[rows, :, moves[0], moves[1]]
        return F.cross_entropy(network(moved), classes)

    side = images.shape[-1]
    network = Classifier(side, int(labels.max()) + 1, seed=seed)
    settings = TrainingSettings(n_steps=n_steps, batch_size=64, weight_decay=1e-2, seed=seed)
    trained = train(network, loss, (images, labels), settings).network
    assert isinstance(trained, Classifier)
    return trained


def c2st(
    samples_a: Float[Tensor, "n ..."],
    samples_b: Float[Tensor, "m ..."],
    n_folds: int = 5,
    seed: int = 0,
) -> float:
    r"""Classifier two-sample test: cross-validated accuracy of telling two sets apart.

    One half when the sets cannot be told apart, one when they always can. The larger set is cut to
    the size of the smaller, so that guessing earns exactly one half.

    Args:
        samples_a: One set; rows are flattened.
        samples_b: The other.
        n_folds: Folds of the cross-validation.
        seed: Of the cut, the folds and the classifier.

    Raises:
        ValueError: A set has fewer rows than there are folds, rows differ in size, or a number is
            not finite.

    Source:
        Lopez-Paz and Oquab 2017, <https://arxiv.org/abs/1610.06545>.
    """
    # Boosted trees: of the classifiers of scikit-learn tried on real digits with 0.4 gray levels of
    # noise added, they and random forests see the noise best, and they are the faster of the two.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    n = min(len(samples_a), len(samples_b))
    if n < n_folds or n_folds < 2:
        raise ValueError(f"need at least n_folds >= 2 rows in each set, got {n} and {n_folds}")
    if samples_a.shape[1:] != samples_b.shape[1:]:
        raise ValueError(f"rows differ: {samples_a.shape[1:]} and {samples_b.shape[1:]}")
    # The trees would take NaN for a missing value, and answer.
    if not (samples_a.isfinite().all() and samples_b.isfinite().all()):
        raise ValueError("samples must be finite")
    generator = torch.Generator().manual_seed(seed)
    rows = [
        part[torch.randperm(len(part), generator=generator)[:n]].reshape(n, -1)
        for part in (samples_a, samples_b)
    ]
    x = torch.cat(rows).double().cpu().numpy()
    y = np.repeat([0, 1], n)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    classifier = HistGradientBoostingClassifier(random_state=seed)
    return float(cross_val_score(classifier, x, y, cv=folds).mean())


# --8<-- [start:nearest_neighbor_ratio]
def nearest_neighbor_ratio(
    samples: Float[Tensor, "n ..."],
    training: Float[Tensor, "m ..."],
    held_out: Float[Tensor, "k ..."],
) -> float:
    r"""Distance of samples to the nearest training example, over that of held-out data.

    $\operatorname{median}_i \min_j \lVert x_i - d_j \rVert \,/\, \operatorname{median}_i \min_j
    \lVert h_i - d_j \rVert$: near 1 for samples as new as unseen real data,
    near 0 for copies.

    Args:
        samples: Generated examples.
        training: What the model was trained on.
        held_out: Real examples that the model never saw.

    Raises:
        ValueError: A set is empty, or the held-out examples are copies of training examples.
    """
    if min(len(samples), len(training), len(held_out)) == 0:
        raise ValueError("each of the three sets needs at least one example")
    flat = training.reshape(len(training), -1).double()
    medians = [
        torch.cdist(part.reshape(len(part), -1).double(), flat).amin(dim=1).median()
        for part in (samples, held_out)
    ]
    if medians[1] == 0:
        raise ValueError("the held-out examples are copies of training examples")
    return float(medians[0] / medians[1])


# --8<-- [end:nearest_neighbor_ratio]
