"""Erasing class means: no linear probe is left with anything, and all else stays."""

import pytest
import torch

from fromnoise.erasure import class_directions, erased
from fromnoise.probes import fit_probe

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


LABELS = torch.arange(60) % 3
FEATURES = normal(60, 8) + 2 * normal(3, 8, seed=1)[LABELS]


def test_after_erasure_every_linear_probe_is_a_constant():
    basis = class_directions(FEATURES, LABELS)
    assert basis.shape == (8, 2)
    one_hot = torch.nn.functional.one_hot(LABELS).double()
    left = erased(FEATURES, basis, FEATURES.mean(0))
    assert fit_probe(left, one_hot).weight.abs().max() < 1e-12
    assert fit_probe(FEATURES, one_hot).weight.abs().max() > 1e-2


def test_erasure_is_a_projection_and_leaves_what_is_orthogonal():
    basis = class_directions(FEATURES, LABELS)
    center = normal(8, seed=3)
    once = erased(FEATURES, basis, center)
    torch.testing.assert_close(erased(once, basis, center), once, rtol=0, atol=1e-12)
    torch.testing.assert_close(once @ basis, (center @ basis).expand(60, 2), rtol=0, atol=1e-12)
    rest = torch.eye(8, dtype=F64) - basis @ basis.mT
    torch.testing.assert_close(once @ rest, FEATURES @ rest, rtol=0, atol=1e-12)
    assert (once - FEATURES).abs().max() > 0.1


def test_each_place_of_an_image_is_erased_by_itself():
    images = normal(4, 8, 2, 3)
    basis, center = class_directions(FEATURES, LABELS), normal(8, seed=3)
    found = erased(images, basis, center)
    for i in range(2):
        for j in range(3):
            alone = erased(images[:, :, i, j], basis, center)
            torch.testing.assert_close(found[:, :, i, j], alone, rtol=0, atol=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="60 rows of features for 59 labels"):
        class_directions(FEATURES, LABELS[1:])
    with pytest.raises(ValueError, match="one mean"):
        class_directions(torch.ones(4, 2, dtype=F64), torch.tensor([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="orthonormal"):
        erased(FEATURES, 2 * torch.eye(8, dtype=F64)[:, :2], FEATURES.mean(0))
    with pytest.raises(ValueError, match="activity has 8 features"):
        erased(FEATURES, torch.eye(7, dtype=F64), FEATURES.mean(0))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_directions_do_not_depend_on_the_unit(scale):
    basis = class_directions(FEATURES, LABELS)
    found = class_directions(scale * FEATURES, LABELS)
    torch.testing.assert_close(found @ found.mT, basis @ basis.mT, rtol=0, atol=1e-9)


def test_the_directions_do_not_depend_on_the_origin():
    # A far origin costs 1e7 of the 1e16 that double precision tells apart.
    basis = class_directions(FEATURES, LABELS)
    found = class_directions(FEATURES + 1e7 * torch.eye(8, dtype=F64)[0], LABELS)
    torch.testing.assert_close(found @ found.mT, basis @ basis.mT, rtol=0, atol=1e-6)


def test_a_slightly_stretched_basis_and_a_single_row_are_refused():
    with pytest.raises(ValueError, match="orthonormal"):
        erased(FEATURES, 1.2 * torch.eye(8, dtype=F64)[:, :2], FEATURES.mean(0))
    with pytest.raises(ValueError, match="one mean"):
        class_directions(FEATURES[:1], LABELS[:1])
    with pytest.raises(ValueError, match="0 rows of features for 0 labels"):
        class_directions(FEATURES[:0], LABELS[:0])
