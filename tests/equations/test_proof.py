"""A check is believed only if it could have failed: each way of proving nothing is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from proof import MARGIN, Sides, judge, proves, residual

X = torch.linspace(-2, 3, 11, dtype=torch.float64)


def sides(**changes) -> Sides:
    """Twice x as a sum and as a product, with a sound planted fault, and then changed."""
    return Sides(**{"left": X + X, "right": 2 * X, "wrong": {"half": X / 2}} | changes)


def test_two_equal_sides_with_a_planted_fault_pass():
    judge(sides())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"right": 2 * X + 1e-8}, "sides differ"),
        ({"right": -2 * X}, "sides differ"),
        ({"right": 2 * X * torch.nan}, "sides differ"),
        ({"left": X * torch.inf, "right": X * torch.inf}, "sides differ"),
        ({"right": (2 * X)[:5]}, "differ in shape"),
        ({"right": (2 * X)[None]}, "differ in shape"),
        ({"right": (2 * X).float(), "left": (X + X).float()}, "float64"),
        ({"left": X[:0], "right": X[:0]}, "compares nothing"),
        ({"wrong": {}}, "no planted fault"),
        ({"wrong": {"nothing": 2 * X}}, "planted fault passes: 'nothing'"),
        ({"wrong": {"half": X / 2, "hair": 2 * X + 1e-9}}, "planted fault passes: 'hair'"),
        ({"tolerance": 1e-3}, "needs a reason"),
        ({"tolerance": 1e3, "reason": "to be sure"}, "planted fault passes"),
    ],
)
def test_a_check_that_proves_nothing_is_refused(changes, message):
    with pytest.raises(AssertionError, match=message):
        judge(sides(**changes))


def test_the_residual_is_relative_to_the_larger_of_one_and_the_left_side():
    assert residual(X * 0, X * 0 + 1e-3) == pytest.approx(1e-3)
    assert residual(X * 0 + 1e3, X * 0 + 1e3 + 1.0) == pytest.approx(1e-3)


def test_a_planted_fault_must_miss_by_many_tolerances():
    just = 1e-10 * MARGIN
    judge(sides(wrong={"enough": 2 * X + 10 * just * X.abs().max()}))
    with pytest.raises(AssertionError, match="passes"):
        judge(sides(wrong={"not enough": 2 * X + 0.1 * just}))


def test_a_stated_rate_may_be_loose_when_it_says_why():
    judge(sides(right=2 * X + 1e-3, tolerance=1e-2, reason="Monte Carlo with 10,000 draws"))


def test_proves_names_an_equation():
    with pytest.raises(ValueError, match="at least one"):
        proves()


def test_a_decorated_check_is_a_test_that_runs_the_judge():
    calls = []

    @proves("double", "sum")
    def test_double() -> Sides:
        """Sum and product."""
        calls.append(1)
        return sides()

    assert test_double() is None
    assert calls == [1]
    assert (test_double.__name__, test_double.__doc__) == ("test_double", "Sum and product.")


def test_the_suite_fails_on_a_check_whose_wrong_variant_passes(tmp_path):
    module = tmp_path / "test_planted.py"
    module.write_text(
        "import torch\n"
        "from proof import Sides, proves\n"
        "x = torch.ones(3, dtype=torch.float64)\n"
        "@proves('double')\n"
        "def test_sound():\n"
        "    return Sides(left=x + x, right=2 * x, wrong={'half': x / 2})\n"
        "@proves('double')\n"
        "def test_hollow():\n"
        "    return Sides(left=x + x, right=2 * x, wrong={'half': 4 * x / 2})\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", module.name],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "the planted fault passes: 'half'" in done.stdout
