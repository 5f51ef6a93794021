"""Real images to learn from, in three fixed splits, on one scale.

Every set is a `Splits` of train, validation and test. Images are float32 in [-1, 1], shaped
(n, 1, height, width); the gray levels that occur are equally spaced over that range. The default
set, `digits`, ships with scikit-learn and needs no network. `mnist` and `fashion_mnist` are fetched
on first use. Two-dimensional sets with an exact density are mixtures in `fromnoise.mixtures`.
"""

import hashlib
import os
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from fromnoise.downloads import RemoteFile, cache_folder, fetch, parse_idx

DATA_HASHES = {
    "digits": "0561477ed56d94ae98250be3f4d2111f008ab90fa8adb4d0fe07098e746b33ba",
    "mnist": "1380708c276834e082dc47a936e95f5bca5ac9f0fdbab891b17ac77badd8b079",
    "fashion_mnist": "ba2e37a64f59ed31e1b1407ccf40ff95278a2d525d06ea8c38f7184d9b82b731",
}
"""SHA-256 of each set. Of `digits`: over the gray levels, labels and split of all images, checked
whenever the set is loaded. Of the others: over the hashes of their four files, in order."""

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

# Sizes and hashes as published by TensorFlow Datasets (url_checksums/mnist.txt, fashion_mnist.txt);
# torchvision (prototype/datasets/_builtin/mnist.py) lists the same hashes.
MNIST_FILES = (
    RemoteFile(
        "train-images-idx3-ubyte.gz",
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    RemoteFile(
        "train-labels-idx1-ubyte.gz",
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    RemoteFile(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    RemoteFile(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
FASHION_MNIST_FILES = (
    RemoteFile(
        "train-images-idx3-ubyte.gz",
        26421880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    RemoteFile(
        "train-labels-idx1-ubyte.gz",
        29515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    RemoteFile(
        "t10k-images-idx3-ubyte.gz",
        4422102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    RemoteFile(
        "t10k-labels-idx1-ubyte.gz",
        5148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)


class Split(NamedTuple):
    """Images in [-1, 1], `images`, and the class of each, `labels`."""

    images: Float[Tensor, "n 1 height width"]
    labels: Int[Tensor, " n"]


class Splits(NamedTuple):
    """Train to fit, validation to choose, test to judge once; `n_levels` gray levels."""

    train: Split
    validation: Split
    test: Split
    n_levels: int


def digits() -> Splits:
    r"""The 1797 handwritten digits of scikit-learn: 8 x 8 pixels, gray levels 0 to 16.

    Level $g$ becomes the pixel $g/8 - 1$. The split is 1000 train, 300 validation, 497 test, drawn
    once with every class in proportion. Validation is for choices and for training the classifier
    whose features judge samples, so that neither the model's data nor the test images shape it.
    The same 13 writers are in all three parts: the test measures new images, not new hands.

    Raises:
        RuntimeError: The installed scikit-learn carries other images than those the book used.

    Source:
        Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository (its
        test part), <https://doi.org/10.24432/C50P49>.
    """
    from sklearn.datasets import load_digits  # one second to import, and only needed here

    bunch = load_digits()
    levels = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    parts = np.split(_stratified_order(labels), [1000, 1300])
    found = hashlib.sha256()
    for part in parts:
        found.update(levels[part].tobytes() + labels[part].tobytes())
    if found.hexdigest() != DATA_HASHES["digits"]:
        raise RuntimeError(
            "scikit-learn's digits differ from those of the book: SHA-256 of images, labels and "
            f"split is {found.hexdigest()}, expected {DATA_HASHES['digits']}"
        )
    train, validation, test = (_split(levels[part], labels[part], 17) for part in parts)
    return Splits(train, validation, test, n_levels=17)


def mnist(cache_dir: str | os.PathLike[str] | None = None, base_url: str = MNIST_URL) -> Splits:
    """MNIST: 28 x 28 digits in 256 gray levels; 50,000 train, 10,000 validation, 10,000 test.

    The four files (11 MB) are fetched on first use and checked by SHA-256 on every use.

    Args:
        cache_dir: Where files are kept, see `fromnoise.downloads.cache_folder`.
        base_url: Address of the folder that holds the four files.

    Raises:
        DownloadError: The files are not cached and could not be fetched whole.

    Source:
        LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document
        recognition. Hashes: see the comment at `MNIST_FILES`.
    """
    return _idx_splits("mnist", MNIST_FILES, cache_dir, base_url)


def fashion_mnist(
    cache_dir: str | os.PathLike[str] | None = None, base_url: str = FASHION_MNIST_URL
) -> Splits:
    """Fashion-MNIST: 28 x 28 clothes in 256 gray levels; 50,000 train, 10,000 + 10,000 held out.

    The four files (31 MB) are fetched on first use and checked by SHA-256 on every use.

    Args:
        cache_dir: Where files are kept, see `fromnoise.downloads.cache_folder`.
        base_url: Address of the folder that holds the four files.

    Raises:
        DownloadError: The files are not cached and could not be fetched whole.

    Source:
        Xiao, Rasul and Vollgraf 2017, <https://arxiv.org/abs/1708.07747>. Hashes: see the comment
        at `MNIST_FILES`.
    """
    return _idx_splits("fashion_mnist", FASHION_MNIST_FILES, cache_dir, base_url)


def content_hash(name: str) -> str:
    """SHA-256 that names the data of a set, without loading it.

    Args:
        name: A key of `DATA_HASHES`.

    Raises:
        ValueError: There is no such set.
    """
    if name not in DATA_HASHES:
        raise ValueError(f"no data set {name!r}; there are {', '.join(DATA_HASHES)}")
    return DATA_HASHES[name]


def to_levels(images: Float[Tensor, "*shape"], n_levels: int = 17) -> Int[Tensor, "*shape"]:
    r"""Nearest gray level, $\operatorname{round}\big((x+1)(n-1)/2\big)$ clipped to $0..n-1$.

    Args:
        images: Pixels, meant to lie in [-1, 1].
        n_levels: Number of equally spaced levels $n$, at least 2.

    Raises:
        ValueError: `n_levels` is below 2, or a pixel is not a number.
    """
    _check_levels(n_levels)
    if not torch.isfinite(images).all():
        raise ValueError("images hold a pixel that is infinite or not a number")
    return ((images + 1) * ((n_levels - 1) / 2)).round().clamp(0, n_levels - 1).long()


def from_levels(
    levels: Int[Tensor, "*shape"], n_levels: int = 17, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    r"""Pixel of a gray level, $x = 2g/(n-1) - 1$.

    Args:
        levels: Gray levels $g$, integers in $0..n-1$.
        n_levels: Number of levels $n$, at least 2.
        dtype: Type of the pixels.

    Raises:
        ValueError: A level is outside $0..n-1$, or `n_levels` is below 2.
    """
    _check_levels(n_levels)
    if levels.numel() and not (levels.min() >= 0 and levels.max() < n_levels):
        low, high = int(levels.min()), int(levels.max())
        raise ValueError(f"levels must lie in 0..{n_levels - 1}, got {low}..{high}")
    return levels.to(dtype) * (2 / (n_levels - 1)) - 1


def snap_to_levels(images: Float[Tensor, "*shape"], n_levels: int = 17) -> Float[Tensor, "*shape"]:
    """Move every pixel to the nearest of the gray levels that real images have.

    A sample that is off the levels can be told from a real image by that alone, so samples are
    snapped before they are judged.

    Args:
        images: Pixels, meant to lie in [-1, 1]; those outside go to the end they are near.
        n_levels: Number of equally spaced levels, at least 2.

    Raises:
        ValueError: `n_levels` is below 2, or a pixel is not a number.
    """
    return from_levels(to_levels(images, n_levels), n_levels, images.dtype)


def _stratified_order(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Order in which every stretch holds each class in proportion, shuffled within the class."""
    # RandomState's stream is frozen by numpy's policy; newer generators may change.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def _idx_splits(
    name: str,
    files: tuple[RemoteFile, ...],
    cache_dir: str | os.PathLike[str] | None,
    base_url: str,
) -> Splits:
    folder = cache_folder(name, cache_dir)
    arrays = [parse_idx(fetch(file, base_url, folder), file.name) for file in files]
    images, labels, test_images, test_labels = arrays
    cut = len(images) * 5 // 6
    return Splits(
        _split(images[:cut], labels[:cut], 256),
        _split(images[cut:], labels[cut:], 256),
        _split(test_images, test_labels, 256),
        n_levels=256,
    )


def _split(levels: NDArray[np.uint8], labels: NDArray[np.uint8], n_levels: int) -> Split:
    images = from_levels(torch.from_numpy(levels.astype(np.int16))[:, None], n_levels)
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def _check_levels(n_levels: int) -> None:
    if n_levels < 2:
        raise ValueError(f"n_levels must be at least 2, got {n_levels}")
