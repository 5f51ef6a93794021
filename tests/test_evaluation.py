"""Every measure on cases whose answer is known, and on wrong ones that it must tell apart."""

import math

import numpy as np
import pytest
import torch

from chance import share_gap, student_gap
from fromnoise import evaluation
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.evaluation import (
    Classifier,
    c2st,
    frechet_distance,
    frechet_gaussians,
    nearest_neighbor_ratio,
    real_against_real,
    train_classifier,
)


def normal(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(d, seed):
    root = normal(d, d, seed)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


class TestFrechet:
    def test_diagonal_gaussians_have_the_textbook_distance(self):
        mean_a, mean_b = normal(5, 1, 0)[:, 0], normal(5, 1, 1)[:, 0]
        std_a, std_b = normal(5, 1, 2)[:, 0].abs(), normal(5, 1, 3)[:, 0].abs()
        exact = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
        found = frechet_gaussians(mean_a, std_a.square().diag(), mean_b, std_b.square().diag())
        assert found == pytest.approx(float(exact), rel=1e-12)

    def test_it_equals_the_cost_of_the_optimal_map(self):
        """Full covariances: the linear map that carries one Gaussian onto the other."""
        zero = torch.zeros(6, dtype=torch.float64)
        a, b = covariance(6, 0), covariance(6, 1)
        values, vectors = torch.linalg.eigh(a)
        root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
        inner_values, inner_vectors = torch.linalg.eigh(root @ b @ root)
        move = inverse @ (inner_vectors * inner_values.sqrt() @ inner_vectors.T) @ inverse
        torch.testing.assert_close(move @ a @ move, b)
        left = torch.eye(6, dtype=torch.float64) - move
        cost = float((left @ a @ left.T).trace())
        assert frechet_gaussians(zero, a, zero, b) == pytest.approx(cost, rel=1e-10)
        # The wrong formula that multiplies the two roots agrees only if the matrices commute.
        other_values, other_vectors = torch.linalg.eigh(b)
        root_b = other_vectors * other_values.sqrt() @ other_vectors.T
        wrong = float((a + b - 2 * root @ root_b).trace())
        assert abs(wrong - cost) > 1e-3 * cost

    def test_it_is_symmetric_zero_on_itself_and_survives_rank_loss(self):
        zero, one = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
        a, b = covariance(4, 0), torch.diag(torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))
        assert frechet_gaussians(zero, a, one, b) == pytest.approx(
            frechet_gaussians(one, b, zero, a),
            rel=1e-7,  # roots of eigenvalues that are zero but for rounding, 1e-16
        )
        assert frechet_gaussians(one, b, one, b) < 1e-14
        assert frechet_gaussians(zero, a, zero, a) < 1e-12

    def test_turning_both_sets_changes_nothing(self):
        a, b = normal(50, 4, 0), normal(60, 4, 1) * 2 + 1
        turn, _ = torch.linalg.qr(normal(4, 4, 2))
        assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))

    def test_small_sets_bias_it_upward(self):
        """Both sets from one distribution: the mean's part alone expects 2 d / n."""
        values = {
            n: np.mean(
                [frechet_distance(normal(n, 8, 2 * s), normal(n, 8, 2 * s + 1)) for s in range(20)]
            )
            for n in (50, 800)
        }
        assert values[50] > 2 * 8 / 50
        # The bias falls like 1 / n.
        assert values[50] / values[800] == pytest.approx(16, rel=0.3)

    def test_it_refuses_a_single_row_and_nan(self):
        with pytest.raises(ValueError, match="two rows"):
            frechet_distance(normal(1, 3), normal(5, 3))
        with pytest.raises(ValueError, match="finite"):
            frechet_distance(normal(5, 3) * math.nan, normal(5, 3))


def test_the_floor_keeps_the_classes_in_proportion():
    """Two far classes: if their shares may vary, distance appears where there is none."""
    labels = torch.arange(400) % 2
    features = normal(400, 2) + 10.0 * labels[:, None]
    a, b = slice(0, 200), slice(200, 400)
    found = real_against_real(features[a], labels[a], features[b], labels[b], n_splits=30)
    generator = torch.Generator().manual_seed(0)
    careless = []
    for _ in range(30):
        order = torch.randperm(400, generator=generator)
        careless.append(frechet_distance(features[order[:200]], features[order[200:]]))
    assert found["low"] < found["mean"] < found["high"] < 0.2
    assert np.mean(careless) > 2 * found["mean"]
    # A set that really differs lies far above the floor.
    assert frechet_distance(features[a], features[b] + 1.0) > found["high"]


class TestC2st:
    def test_equal_distributions_cannot_be_told_apart(self):
        found = [c2st(normal(300, 4, 2 * s), normal(300, 4, 2 * s + 1), seed=s) for s in range(3)]
        # Any rule is right half of the time on sets alike: 1800 guesses see 0.14.
        assert share_gap(round(sum(found) * 600), 1800, 0.5) < 1
        shifted = [c2st(normal(300, 4, s), normal(300, 4, s + 9) + 0.5, seed=s) for s in range(3)]
        assert share_gap(round(sum(shifted) * 600), 1800, 0.5) > 1

    def test_a_shift_is_seen_up_to_what_is_possible(self):
        """Unit Gaussians at distance 2: the best rule is right with probability Phi(1) = 0.841."""
        a, b = normal(1000, 1, 0), normal(1000, 1, 1) + 2
        found = c2st(a, b)
        # No rule does better; 2000 guesses see 0.1, as the rate at distance 1.4.
        best = float(torch.special.ndtr(torch.tensor(1.0)))
        assert share_gap(round(found * 2000), 2000, best) < 1
        nearer = c2st(a, b - 0.6)
        assert share_gap(round(nearer * 2000), 2000, best) > 1

    def test_far_sets_are_always_told_apart(self):
        assert c2st(normal(200, 2, 0), normal(200, 2, 1) + 9) > 0.99

    def test_guessing_the_larger_set_does_not_pay(self):
        found = c2st(normal(600, 2, 0), normal(150, 2, 1))
        # 150 balanced pairs of guesses; always naming the larger set is right in 0.8 of all.
        assert share_gap(round(found * 300), 300, 0.5) < 1 < share_gap(240, 300, 0.5)

    def test_it_refuses_sets_that_do_not_fit(self):
        with pytest.raises(ValueError, match="rows differ"):
            c2st(normal(10, 2), normal(10, 3))
        with pytest.raises(ValueError, match="n_folds"):
            c2st(normal(3, 2), normal(10, 2))


class TestNearestNeighborRatio:
    def test_new_samples_of_the_same_distribution_give_one(self):
        """Samples and held-out data could be exchanged, so the logarithm has mean zero; 30 sets."""

        def logs(width):
            sets = [[normal(200, 3, 3 * s + i) for i in range(3)] for s in range(30)]
            return torch.tensor(
                [
                    math.log(nearest_neighbor_ratio(width * x, train, held))
                    for x, train, held in sets
                ]
            )

        assert student_gap(logs(1.0), 0.0) < 1 < student_gap(logs(1.3), 0.0)

    def test_a_memorizer_is_caught(self):
        training, held_out = normal(500, 3, 0), normal(500, 3, 1)
        assert nearest_neighbor_ratio(training[:100], training, held_out) == 0
        copies = training[:100] + 0.01 * normal(100, 3, 2)
        assert nearest_neighbor_ratio(copies, training, held_out) < 0.2

    def test_one_hand_computed_case(self):
        training = torch.tensor([[0.0], [10.0]])
        held_out = torch.tensor([[2.0], [13.0], [5.0]])
        samples = torch.tensor([[1.0], [9.0], [10.5]])
        # Nearest distances: held out 2, 3, 5; samples 1, 1, 0.5.
        assert nearest_neighbor_ratio(samples, training, held_out) == pytest.approx(1 / 3)

    def test_it_refuses_a_baseline_of_copies(self):
        x = normal(5, 2)
        with pytest.raises(ValueError, match="copies"):
            nearest_neighbor_ratio(x, x, x)
        with pytest.raises(ValueError, match="at least one"):
            nearest_neighbor_ratio(x[:0], x, x)


@pytest.fixture(scope="module")
def judged():
    data = digits()
    return data, train_classifier(*data.validation, n_steps=250)


def test_the_judge_reads_digits_it_never_saw(judged):
    data, judge = judged
    assert judge.accuracy(*data.train) > 0.93
    wrong = (data.train.labels + 1) % 10
    assert judge.accuracy(data.train.images, wrong) < 0.03


def test_the_judge_orders_damage(judged):
    """More gray levels of noise, more distance; noise of one level is already above the floor."""
    data, judge = judged
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(data.train.images.shape, generator=generator)
    features = judge.judge(data.test.images)
    found = [
        frechet_distance(
            judge.judge(snap_to_levels(data.train.images + levels / 8 * noise)), features
        )
        for levels in (0, 1, 2, 4)
    ]
    assert found == sorted(found)
    floor = real_against_real(
        judge.judge(data.train.images), data.train.labels, features, data.test.labels, n_splits=20
    )
    assert found[0] < 1.3 * floor["mean"]
    assert found[2] > floor["high"]


def test_half_a_gray_level_of_noise_is_seen_by_the_two_sample_test():
    """Frechet distance alone misses it: the reason why both are reported."""
    data = digits()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(data.train.images.shape, generator=generator)
    noisy = snap_to_levels(data.train.images + 0.4 / 8 * noise)
    n = 2 * len(data.test.images)
    assert share_gap(round(c2st(noisy, data.test.images) * n), n, 0.5) > 1
    assert share_gap(round(c2st(data.train.images, data.test.images) * n), n, 0.5) < 1


class TestRefusals:
    def test_one_number_that_is_not_finite_is_refused_everywhere(self):
        good = normal(6, 2)
        bad = good.clone()
        bad[3, 1] = math.inf
        eye, zero = torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        spoiled = eye.clone()
        spoiled[0, 0] = math.nan
        for arguments in ((zero, spoiled, zero, eye), (zero, eye, zero, spoiled)):
            with pytest.raises(ValueError, match="finite"):
                frechet_gaussians(*arguments)
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match="finite"):
                frechet_distance(*pair)
            with pytest.raises(ValueError, match="samples must be finite"):
                c2st(*pair, n_folds=2)

    def test_the_least_numbers_are_allowed(self):
        two = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        # Equal spreads, so the distance is that of the means.
        assert frechet_distance(two, two + 3) == pytest.approx(9)
        assert 0 <= c2st(two, two + 3, n_folds=2) <= 1
        with pytest.raises(ValueError, match="n_folds >= 2"):
            c2st(two, two + 3, n_folds=1)
        labels = torch.tensor([0, 0])
        floor = real_against_real(two, labels, two, labels, n_splits=1)
        assert floor["low"] == floor["mean"] == floor["high"]
        with pytest.raises(ValueError, match="n_splits must be at least 1"):
            real_against_real(two, labels, two, labels, n_splits=0)


def test_the_floors_limits_hold_the_stated_share_of_the_splits():
    x, labels = normal(12, 1), torch.zeros(12, dtype=torch.long)
    options = {"n_splits": 9, "seed": 3}
    most = real_against_real(x[:6], labels[:6], x[6:], labels[6:], level=0.99, **options)
    half = real_against_real(x[:6], labels[:6], x[6:], labels[6:], level=0.5, **options)
    assert most["low"] < half["low"] < half["high"] < most["high"]
    # Of nine splits, half of them in the middle: from the third to the seventh.
    splits, generator = [], torch.Generator().manual_seed(3)
    for _ in range(9):
        order = torch.randperm(12, generator=generator)
        splits.append(frechet_distance(x[order[:6]], x[order[6:]]))
    splits.sort()
    assert (half["low"], half["high"]) == pytest.approx((splits[2], splits[6]), rel=1e-9)


class TestJudge:
    """The features that distances are measured in: another judge, other numbers."""

    def test_it_has_the_stated_layers(self):
        judge = Classifier(8, 10)
        shapes = {name: tuple(weight.shape) for name, weight in judge.named_parameters()}
        assert shapes == {
            "convolutions.0.weight": (32, 1, 3, 3),
            "convolutions.0.bias": (32,),
            "convolutions.2.weight": (64, 32, 3, 3),
            "convolutions.2.bias": (64,),
            "convolutions.6.weight": (64, 1024),
            "convolutions.6.bias": (64,),
            "head.weight": (10, 64),
            "head.bias": (10,),
        }
        assert Classifier(7, 10).convolutions[6].in_features == 64 * 16

    def test_features_have_mean_zero_and_variance_one_in_each_image(self):
        images = 100 * torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        features = Classifier(8, 10).eval().judge(images)
        assert features.mean(1).abs().max() < 1e-5
        assert (features.var(1, correction=0) - 1).abs().max() < 1e-3

    def test_accuracy_refuses_no_images_and_one_bad_pixel(self):
        judge, images = Classifier(8, 10).eval(), torch.zeros(2, 1, 8, 8)
        labels = judge(images).argmax(1)
        assert judge.accuracy(images, labels) == 1
        assert judge.accuracy(images[:1], (labels[:1] + 1) % 10) == 0
        images[1, 0, 3, 3] = math.nan
        for bad in (images, images[:0]):
            with pytest.raises(ValueError, match="finite pixels"):
                judge.accuracy(bad, labels[: len(bad)])

    def test_training_moves_each_image_by_up_to_one_pixel_over_paper(self, monkeypatch):
        """What the network is shown, caught on the way: nine places, the rim filled with -1."""
        shown = []

        def caught(network, loss, data, settings):
            shown.append(settings)
            generator = torch.Generator().manual_seed(0)

            class Spy(torch.nn.Module):
                def forward(self, pixels):
                    shown.append(pixels)
                    return torch.zeros(len(pixels), 2)

            loss(Spy(), (data[0].expand(200, 1, 4, 4), data[1].expand(200)), generator)
            return type("Run", (), {"network": network})()

        monkeypatch.setattr(evaluation, "train", caught)
        image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
        train_classifier(image, torch.tensor([1]), n_steps=7, seed=5)
        settings, pixels = shown
        assert (settings.n_steps, settings.batch_size, settings.weight_decay) == (7, 64, 0.01)
        padded = torch.nn.functional.pad(image, (1, 1, 1, 1), value=-1.0)
        places = [padded[0, 0, i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
        found = [[bool(torch.equal(p[0], place)) for place in places] for p in pixels]
        assert all(sum(row) == 1 for row in found)
        assert all(any(row[k] for row in found) for k in range(9))
