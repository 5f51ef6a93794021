"""Shapes in annotations are checked while the tests run; no test leaks into another."""

import os

# One thread per process: the suite runs in parallel, and the same bits need the same threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# Must come before the first import of the package.
install_import_hook("fromnoise", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def global_state_is_left_alone():
    """Library code may not move the global seed, the default dtype or the number of threads."""
    rng, dtype, threads = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
    yield
    assert torch.equal(rng, torch.get_rng_state()), "the global random state was changed"
    assert dtype == torch.get_default_dtype(), "the default dtype was changed"
    assert threads == torch.get_num_threads(), "the number of threads was changed"
