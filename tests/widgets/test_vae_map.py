"""The plane of two latents: the exported decoders, the digits on it, and the measures beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from book import models
from experiments.vae._published import load_map
from fromnoise.datasets import digits

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("vae_map", "vae_map_without_kl", "vae_map_too_strong")
N = 497


@pytest.fixture(scope="module")
def folder(site_models) -> Path:
    """The decoders as the site has them."""
    return site_models(*NAMES)


def asked(javascript, folder: Path, name: str, z: torch.Tensor, row: torch.Tensor) -> dict:
    feeds = {
        "z": {"data": z.flatten().tolist(), "dims": list(z.shape)},
        "row": {"data": row.tolist(), "dims": list(row.shape)},
    }
    (found,) = javascript("../../tests/widgets/networks.mjs", ["ask", str(folder), name, feeds])
    return {key: torch.tensor(one["data"]).reshape(one["dims"]) for key, one in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_paints_what_the_package_decodes(javascript, folder, name):
    network = load_map(models.MODELS[name].path(ROOT))
    z = 4 * torch.randn((1000, 2), generator=torch.Generator().manual_seed(0))
    row = torch.arange(1000) % N
    found = asked(javascript, folder, name, z, row)
    painted, code, label, digit = network(z, row)
    assert (found["image"] - painted).abs().max() < 1e-4
    assert (found["code"] - code).abs().max() < 1e-6
    assert torch.equal(found["label"].long(), label)
    assert (found["digit"] - digit).abs().max() < 1e-6
    exchanged = network(z.flip(1), row)[0]  # a fault that must show
    assert (found["image"] - exchanged).abs().max() > 1e-2


def test_the_digits_on_the_plane_are_those_of_the_test_split():
    test = digits().test
    for name in NAMES:
        network = load_map(models.MODELS[name].path(ROOT))
        assert torch.equal(network.labels, test.labels)
        assert torch.equal(network.pixels, test.images.flatten(1))


def test_the_nearest_point_is_the_nearest(javascript):
    rng = np.random.default_rng(0)
    points, places = rng.normal(size=(N, 2)), 2 * rng.normal(size=(200, 2))
    calls = [["nearest", points.ravel().tolist(), *place] for place in places]
    found = javascript("maths/plane.mjs", *calls)
    distances = np.linalg.norm(places[:, None] - points[None], axis=-1)
    assert [one["index"] for one in found] == distances.argmin(1).tolist()
    wanted = distances.min(1)
    assert np.abs([one["distance"] for one in found] - wanted).max() < 1e-12
    # Nearest by the larger of the two differences is another point in some places.
    other = np.abs(places[:, None] - points[None]).max(-1).argmin(1)
    assert (other != distances.argmin(1)).any()


def test_the_disc_and_what_lies_beyond_are_those_of_the_normal(javascript):
    found = javascript("maths/plane.mjs", ["discOf", 0.95], ["beyond", 3.0, 4.0], ["beyond", 0, 0])
    assert np.abs(found[0] - np.sqrt(stats.chi2(2).ppf(0.95))) < 1e-12
    assert np.abs(found[1] - stats.chi2(2).sf(25)) < 1e-12
    assert found[2] == 1


def test_the_window_holds_every_code_and_the_prior(javascript):
    for name, least in zip(NAMES, (4, 15, 4), strict=True):
        codes = load_map(models.MODELS[name].path(ROOT)).codes
        (extent,) = javascript("maths/plane.mjs", ["extentOf", codes.flatten().tolist()])
        assert extent == least >= codes.abs().max()
