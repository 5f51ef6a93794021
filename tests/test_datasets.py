"""The data are the ones the book used, on one scale, split once; nothing else is let in."""

import re
import subprocess
import sys

import pytest
import torch

from fromnoise import datasets
from fromnoise.datasets import (
    DATA_HASHES,
    content_hash,
    digits,
    from_levels,
    snap_to_levels,
    to_levels,
)


def test_the_split_has_the_stated_sizes_and_shares_no_image():
    sets = digits()
    parts = [sets.train, sets.validation, sets.test]
    assert [len(part.images) for part in parts] == [1000, 300, 497]
    assert all(len(part.labels) == len(part.images) for part in parts)
    everything = torch.cat([part.images.flatten(1) for part in parts])
    assert len(torch.unique(everything, dim=0)) == 1797


def test_every_split_holds_every_class_in_proportion():
    sets = digits()
    totals = sum(part.labels.bincount(minlength=10) for part in sets[:3])
    for part in sets[:3]:
        share = totals * len(part.labels) / 1797
        assert (part.labels.bincount(minlength=10) - share).abs().max() <= 1.5


def test_images_are_float32_on_exactly_the_17_levels():
    for part in digits()[:3]:
        assert part.images.dtype == torch.float32
        assert part.images.shape[1:] == (1, 8, 8)
        levels = (part.images.double() + 1) * 8
        assert torch.equal(levels, levels.round())
        assert levels.min() == 0
        assert levels.max() == 16


def test_the_pixels_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    reference = {tuple(row) for row in load_digits().data.astype(int).tolist()}
    ours = torch.cat([((part.images + 1) * 8).flatten(1) for part in digits()[:3]])
    assert {tuple(row) for row in ours.int().tolist()} == reference


def test_other_images_under_the_same_name_are_refused(monkeypatch):
    from sklearn.datasets import load_digits

    changed = load_digits()
    changed.images[0, 0, 0] = 1 - min(changed.images[0, 0, 0], 1)
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: changed)
    with pytest.raises(RuntimeError, match="differ from those of the book"):
        digits()


def test_two_loads_do_not_share_memory():
    digits().train.images.zero_()
    assert digits().train.images.abs().sum() > 0


def test_snapping_leaves_real_images_and_repairs_small_noise():
    images = digits().validation.images
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.equal(snap_to_levels(images), images)
    assert torch.equal(snap_to_levels(images + 0.99 * noise / 8), images)
    assert not torch.equal(snap_to_levels(images + 1.2 * noise / 8), images)


@pytest.mark.parametrize("n_levels", [2, 17, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_and_pixels_invert_each_other(n_levels, dtype):
    levels = torch.arange(n_levels)
    pixels = from_levels(levels, n_levels, dtype)
    assert pixels.dtype == dtype
    assert pixels[0] == -1
    assert pixels[-1] == pytest.approx(1, abs=1e-6)
    assert torch.equal(to_levels(pixels, n_levels), levels)
    torch.testing.assert_close(pixels.diff(), torch.full_like(pixels[1:], 2 / (n_levels - 1)))


def test_pixels_outside_the_range_go_to_the_end_they_are_near():
    assert snap_to_levels(torch.tensor([-7.0, 3.0])).tolist() == [-1.0, 1.0]


def test_bad_levels_are_refused_in_words():
    with pytest.raises(ValueError, match=r"must lie in 0\.\.16, got 0\.\.17"):
        from_levels(torch.tensor([0, 17]))
    with pytest.raises(ValueError, match="got -1"):
        from_levels(torch.tensor([-1, 3]))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        to_levels(torch.zeros(3), 1)
    with pytest.raises(ValueError, match="not a number"):
        snap_to_levels(torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="infinite or not a number"):
        to_levels(torch.tensor([0.0, float("nan")]), 17)


def test_every_set_has_a_hash_and_an_unknown_one_is_named():
    for name, known in DATA_HASHES.items():
        assert re.fullmatch("[0-9a-f]{64}", content_hash(name)), name
        assert content_hash(name) == known
    assert len(set(DATA_HASHES.values())) == len(DATA_HASHES)
    with pytest.raises(ValueError, match="'cifar'; there are digits, mnist, fashion_mnist"):
        content_hash("cifar")


def test_the_hash_of_a_fetched_set_is_that_of_its_files():
    import hashlib

    for name, files in [
        ("mnist", datasets.MNIST_FILES),
        ("fashion_mnist", datasets.FASHION_MNIST_FILES),
    ]:
        joined = "".join(file.sha256 for file in files)
        assert content_hash(name) == hashlib.sha256(joined.encode()).hexdigest()


def test_asking_for_a_hash_loads_no_data():
    code = (
        "import sys; from fromnoise.datasets import content_hash; content_hash('digits'); "
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_the_digits_say_their_number_of_levels():
    assert datasets.digits().n_levels == 17
