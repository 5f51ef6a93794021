"""Noise of a batch's shape, and the refusal of another shape."""

import pytest
import torch

from fromnoise.batches import ask, dot, noise_like, require_counts, require_shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_that_of_the_generator_in_the_shape_and_dtype_of_the_batch(dtype):
    x = torch.ones(4, 1, 2, 2, dtype=dtype)
    z = noise_like(x, torch.Generator().manual_seed(3))
    expected = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(3), dtype=dtype)
    assert z.dtype == dtype
    assert torch.equal(z, expected)
    assert (x == 1).all()


def test_noise_leaves_the_global_state_alone_and_goes_on_where_it_stopped():
    x, generator = torch.zeros(5), torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    assert not torch.equal(noise_like(x, generator), noise_like(x, generator))
    assert torch.equal(torch.get_rng_state(), before)
    assert noise_like(x.expand(0, 5), generator).shape == (0, 5)


def test_noise_needs_a_generator():
    with pytest.raises(ValueError, match="pass generator="):
        noise_like(torch.zeros(2), None)


def test_each_example_has_its_own_product():
    a, b = torch.arange(12.0).reshape(3, 2, 2), 2 * torch.ones(3, 2, 2)
    assert dot(a, b).tolist() == [12.0, 44.0, 76.0]
    assert dot(a[:0], b[:0]).shape == (0,)


def test_another_shape_is_refused_by_name():
    x = torch.zeros(2, 3)
    require_shape("eps", torch.ones(2, 3), x)
    for wrong in (x[:1], x[:, :1], x[None], x.T):
        with pytest.raises(ValueError, match=r"eps must have shape \(2, 3\), got"):
            require_shape("eps", wrong, x)


def test_one_time_is_told_to_every_example_in_the_datas_dtype():
    seen = []

    def denoiser(x_t, t):
        seen.append(t)
        return 2 * x_t

    x_t = torch.ones(3, 1, 2)
    assert torch.equal(ask(denoiser, x_t, torch.tensor(0.25, dtype=torch.float64)), 2 * x_t)
    assert seen[0].tolist() == [0.25] * 3
    assert seen[0].dtype == torch.float32


def test_a_count_that_is_too_small_is_refused_by_name():
    require_counts(width=1, n_heads=2)
    require_counts(0, n_samples=0)
    with pytest.raises(ValueError, match="n_heads must be at least 1, got 0"):
        require_counts(width=1, n_heads=0)
    with pytest.raises(ValueError, match="n_samples must be at least 0, got -1"):
        require_counts(0, n_samples=-1)
    with pytest.raises(ValueError, match="n_levels must be at least 2, got 1"):
        require_counts(2, n_levels=1)
