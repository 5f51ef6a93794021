r"""Linear probes: what a straight line can read from an activity.

A probe that reads something from a part does not show that the network reads it too.

Source:
    Alain and Bengio 2016, <https://arxiv.org/abs/1610.01644>.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape


# --8<-- [start:LinearProbe]
@dataclass(frozen=True)
class LinearProbe:
    r"""A linear read-out of an activity: $\hat y = W^\top a + b$.

    Attributes:
        weight: W.
        bias: b.
    """

    weight: Float[Tensor, "features outputs"]
    bias: Float[Tensor, " outputs"]

    def __call__(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n outputs"]:
        """Read each row.

        Args:
            features: One row per example.
        """
        return features @ self.weight + self.bias

    def r_squared(
        self, features: Float[Tensor, "n features"], targets: Float[Tensor, "n outputs"]
    ) -> Float[Tensor, " outputs"]:
        r"""Share of the variance that is read: $1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2$.

        Ask it of examples that the probe has not seen. It can be negative there.

        Args:
            features: One row per example.
            targets: What should be read of each.

        Raises:
            ValueError: If a target does not vary, or the targets do not fit the probe.
        """
        read = self(features)
        require_shape("targets", targets, read)
        total = (targets - targets.mean(0)).square().sum(0)
        if not (total > 0).all():
            raise ValueError("a target that does not vary has no variance to read")
        return 1 - (targets - read).square().sum(0) / total


def fit_probe(
    features: Float[Tensor, "n features"],
    targets: Float[Tensor, "n_targets outputs"],
    penalty: float = 1.0,
) -> LinearProbe:
    r"""Ridge regression in closed form, with a free bias.

    $$W = (A^\top A + \rho I)^{-1} A^\top Y,$$

    where A and Y have their means taken off. For classes use one-hot targets, read with `argmax`.

    Args:
        features: Activities, one row per example; flatten them first.
        targets: What is to be read.
        penalty: $\rho$ on the sum of squares of W, positive.

    Returns:
        The probe in the dtype of the features; solved in float64.

    Raises:
        ValueError: If `penalty` is not positive, or there are no examples or not as many targets.
        TypeError: If features are integers, whose dtype the probe would take.
    """
    if not features.is_floating_point():
        raise TypeError(f"features must be floating-point numbers, got {features.dtype}")
    if not 0 < penalty < torch.inf:
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    if len(features) == 0 or len(features) != len(targets):
        raise ValueError(f"{len(features)} rows of features for {len(targets)} of targets")
    a, y = features.double(), targets.double()
    a_mean, y_mean = a.mean(0), y.mean(0)
    a, y = a - a_mean, y - y_mean
    weight = torch.linalg.solve(a.mT @ a + penalty * torch.eye(a.shape[1]).to(a), a.mT @ y)
    return LinearProbe(weight.to(features), (y_mean - a_mean @ weight).to(features))


# --8<-- [end:LinearProbe]
