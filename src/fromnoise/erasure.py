r"""Erase from an activity what a linear probe reads of its class, and leave the rest alone.

The class means of an activity span at most one direction less than there are classes. Project the
activity off these directions and all class means coincide: no linear probe is better than a
constant. What the network then loses is what it took from there; a probe alone cannot tell.

Source:
    Elazar et al. 2021, amnesic probing, <https://arxiv.org/abs/2006.00995>.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


# --8<-- [start:class_directions]
def class_directions(
    features: Float[Tensor, "n features"], labels: Int[Tensor, " n_labels"]
) -> Float[Tensor, "features directions"]:
    r"""Orthonormal basis Q of the differences $m_c - \bar a$ of class means from the overall mean.

    Args:
        features: Activities, one row per example.
        labels: Class of each row.

    Returns:
        As many columns as the differences have dimensions: at most the classes less one.

    Raises:
        ValueError: If there are not as many labels as rows, or the class means all coincide.
        TypeError: If the features are integers, in whose dtype a direction would be 0.
    """
    if not features.is_floating_point():
        raise TypeError(f"features must be floating-point numbers, got {features.dtype}")
    if len(features) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(features)} rows of features for {len(labels)} labels")
    a = features.double()
    means = torch.stack([a[labels == c].mean(0) for c in labels.unique()])
    u, sizes, _ = torch.linalg.svd((means - a.mean(0)).mT, full_matrices=False)
    # Rounding leaves directions without length; of the classes' differences one always is.
    kept = sizes > 1e-6 * (1e-30 + a.std(0, correction=0).norm())
    if not kept.any():
        raise ValueError("the classes have one mean: there is no direction to erase")
    return u[:, kept].to(features)


# --8<-- [end:class_directions]


# --8<-- [start:erased]
def erased(
    activity: Float[Tensor, "batch features *place"],
    basis: Float[Tensor, "n_basis directions"],
    center: Float[Tensor, " n_center"],
) -> Float[Tensor, "batch features *place"]:
    r"""Set the coordinates along a basis to those of the center: $a - Q Q^\top (a - \bar a)$.

    Args:
        activity: Activities; each place of an image is projected by itself.
        basis: Q, orthonormal columns.
        center: $\bar a$, such as the mean activity; coordinates along Q become its own.

    Raises:
        ValueError: If the columns of `basis` are not orthonormal, or the sizes do not fit.
    """
    n_features = activity.shape[1]
    if basis.shape[0] != n_features or center.shape != (n_features,):
        raise ValueError(
            f"activity has {n_features} features, basis {basis.shape[0]}, "
            f"center {tuple(center.shape)}"
        )
    gram = basis.mT @ basis
    if not torch.allclose(gram, torch.eye(len(gram)).to(gram), atol=1e-4):
        raise ValueError("the columns of basis must be orthonormal")
    rows = activity.movedim(1, -1)
    difference = rows - center
    return (rows - (difference @ basis) @ basis.mT).movedim(-1, 1)


# --8<-- [end:erased]
