"""An adjoint is the one map that may change sides in an inner product."""

import pytest
import torch

from fromnoise.linear_operators import Averaging, Blur, Dense, Inpainting, as_matrix

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# Not symmetric, so that a kernel that is not flipped is seen.
KERNEL = normal(3, 5, seed=5)
CASES = {
    "inpainting": (Inpainting(normal(2, 4, 6, seed=1) > 0), (2, 4, 6)),
    "averaging": (Averaging(2), (2, 4, 6)),
    "blur": (Blur(KERNEL), (2, 4, 6)),
    "dense": (Dense(normal(3, 7, seed=2)), (7,)),
}
EVERY = pytest.mark.parametrize("operator, shape", CASES.values(), ids=CASES)


@EVERY
def test_the_adjoint_changes_sides(operator, shape):
    x = normal(5, *shape)
    seen = operator.apply(x)
    y = normal(*seen.shape, seed=3)
    left = (seen * y).flatten(1).sum(1)
    right = (x * operator.adjoint(y)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@EVERY
def test_the_matrix_is_the_operator_and_its_transpose_the_adjoint(operator, shape):
    matrix, x = as_matrix(operator, shape), normal(5, *shape)
    seen = operator.apply(x)
    torch.testing.assert_close(seen.flatten(1), x.flatten(1) @ matrix.mT, rtol=1e-12, atol=1e-12)
    y = normal(*seen.shape, seed=3)
    found = operator.adjoint(y).flatten(1)
    torch.testing.assert_close(found, y.flatten(1) @ matrix, rtol=1e-12, atol=1e-12)


def test_wrong_adjoints_do_not_change_sides():
    """Upsampling without its share, and the blur itself, fail the identity by far."""
    x = normal(5, 2, 4, 6)
    for operator, wrong in (
        (Averaging(2), lambda y: 4 * Averaging(2).adjoint(y)),
        (Blur(KERNEL), Blur(KERNEL).apply),
    ):
        y = normal(*operator.apply(x).shape, seed=3)
        gap = (operator.apply(x) * y).sum() - (x * wrong(y)).sum()
        assert abs(gap) > 0.1


def test_blur_is_the_sum_in_its_docstring():
    x, found = normal(1, 1, 4, 6), torch.zeros(4, 6, dtype=F64)
    for row in range(4):
        for column in range(6):
            for i in range(-1, 2):
                for j in range(-2, 3):
                    pixel = x[0, 0, (row - i) % 4, (column - j) % 6]
                    found[row, column] += KERNEL[i + 1, j + 2] * pixel
    torch.testing.assert_close(Blur(KERNEL).apply(x)[0, 0], found, rtol=1e-12, atol=1e-12)


def test_averaging_is_the_mean_of_squares_and_inpainting_blanks():
    x = normal(1, 1, 4, 6)
    expected = x.reshape(2, 2, 3, 2).mean((1, 3))
    torch.testing.assert_close(Averaging(2).apply(x)[0, 0], expected, rtol=1e-14, atol=1e-14)
    mask = torch.tensor([True, False])
    y = Inpainting(mask).apply(torch.tensor([[2.0, 3.0]], dtype=F64))
    assert y.tolist() == [[2.0, 0.0]]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="factor must be at least 1"):
        Averaging(0)
    for sides in ((4, 6), (6, 4)):
        with pytest.raises(ValueError, match="do not tile"):
            Averaging(4).apply(normal(1, 1, *sides))
    with pytest.raises(ValueError, match="odd sides"):
        Blur(normal(2, 3))
    for sides in ((11, 3), (3, 15)):
        with pytest.raises(ValueError, match="too small"):
            Blur(normal(*sides)).apply(normal(1, 1, 4, 6))
    # Half a kernel as long as the image goes around once.
    assert Blur(normal(9, 13)).apply(normal(1, 1, 4, 6)).shape == (1, 1, 4, 6)
    with pytest.raises(ValueError, match="mask is"):
        Inpainting(torch.ones(3, dtype=torch.bool)).apply(normal(2, 4))


def test_squares_may_be_single_pixels_and_images_need_not_be_square():
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(Averaging(1).apply(x), x)
    assert torch.equal(Averaging(1).adjoint(x), x)
    coarse = Averaging(2).apply(x)
    assert coarse.shape == (2, 3, 2, 3)
    assert (coarse[:, :, 1, 2] - x[:, :, 2:4, 4:6].mean((2, 3))).abs().max() < 1e-15
    with pytest.raises(ValueError, match="do not tile"):
        Averaging(4).apply(x)
    with pytest.raises(ValueError, match="do not tile"):
        Averaging(4).apply(x.mT)
    # <A x, y> = <x, A^T y> with a factor whose double is not its square.
    wide = torch.randn(1, 1, 3, 6, generator=torch.Generator().manual_seed(1)).double()
    y = torch.randn(1, 1, 1, 2, generator=torch.Generator().manual_seed(2)).double()
    there, back = (Averaging(3).apply(wide) * y).sum(), (wide * Averaging(3).adjoint(y)).sum()
    assert abs(there - back) < 1e-14


def test_an_image_must_hold_half_the_kernel_on_either_side():
    kernel = torch.ones(5, 1) / 5
    assert Blur(kernel).apply(torch.ones(1, 2, 2, 1)).shape == (1, 2, 2, 1)
    with pytest.raises(ValueError, match="too small"):
        Blur(kernel).apply(torch.ones(1, 2, 1, 9))
