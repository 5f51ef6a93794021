"""Every public callable at its edges, as a reader calls it: without the shape checks of the tests.

The table has good arguments for each, and the rules make bad and odd ones from them. What a rule
finds must be nothing, or stand in `ANSWERS` with the reason why the answer is right.
"""

import inspect

import jaxtyping
import pytest
import torch

import edge_rules
from edge_rules import RULES, is_record
from edge_table import ELSEWHERE, TABLE, public, run

# rule: {reason: callables}. An entry that is no longer needed fails.
ANSWERS: dict[str, dict[str, str]] = {
    "purity": {
        "a layer: weights as those of PyTorch; networks make theirs inside `seeded`": """
AutoregressiveDecoder AutoregressiveDecoder.forward Coupling Coupling.forward Coupling.undo
Condition Condition.dtype Condition.forward ResBlock ResBlock.forward Attention
Attention.forward DiTBlock
DiTBlock.forward Block Block.forward TwoWay TwoWay.forward mlp perceptron
""",
        "a network in training mode: dropout draws from the global generator, as in PyTorch": """
Classifier.accuracy Classifier.features Classifier.forward Classifier.judge
""",
        "called without a generator, which asks for the global one": """
Conditionals.sample Autoregressive.sample EnergyModel.start GAN.noise GAN.sample
NormalizingFlow.sample gaussians.Gaussian.sample GaussianMixture.sample
GaussianMixture.sample_with_component LinearGaussian.sample Memorizer.sample Diluted.sample
Bigram.sample
""",
    },
    "shapes": {
        "broadcasts, and its annotation says so with `#` or with one name per argument": """
LinearGaussian.log_px_given_z kl_divergence cross_entropy jensen_shannon log_bin kl_diagonal
reparameterize diagonal_log_prob dot
""",
        "an oracle: one point at many times, or many points at one": """
optimal_prediction gaussians.Gaussian.posterior_mean gaussians.Gaussian.posterior_covariance
GaussianMixture.posterior_mean GaussianMixture.posterior_covariance Memorizer.posterior_mean
guided_score
""",
        "does not read the argument": "PredictX0.true PredictX0.x_0_hat PredictEps.true",
        "a part: its whole has checked": "DiTBlock.forward ResBlock.forward hold hold_middle",
        "hands its arguments on to the velocities, which answer": "marginal_flow_matching",
    },
    "integers": {
        "logits of a network are never integers": "DiscretizedLogistic.log_probs",
    },
    "devices": {
        "reads the shape alone": "gaussians.Gaussian.posterior_covariance",
        "does not read the argument": """
PredictX0.true PredictX0.x_0_hat PredictEps.true
""",
        "hands the time on to the velocities, which answer": "marginal_flow_matching",
    },
    "counts": {"the floor itself may be anything": "require_counts"},
    "steps": {"its path has as many states as there are times": "straightness"},
    "strides": {
        "PyTorch refuses to derive forward": "mean_flow_target mean_flow_loss",
    },
    "halves": {
        "its parameters or partner are float32, and PyTorch promotes": """
LinearDenoiser.__call__ Conditionals.log_prob Autoregressive.conditional Autoregressive.log_prob
Rescaling.apply Rescaling.undo
EnergyModel.energy EnergyModel.log_prob NormalizingFlow.log_prob NormalizingFlow.to_noise
gaussians.Gaussian.noised GaussianMixture.noised measurement_guided masked_cost any_order_cost
mean_flow_step mean_flow_target mean_flow_loss combine distillation_loss
consistency_training_loss
""",
        "float32 inside on purpose: fast sinusoids need its digits": "sinusoids",
        "1 / sigma^2 of the cleanest time is beyond float16": "continuous_bound",
        "a rounded point is no longer the memorized one": "Memorizer.log_prob",
    },
    "times": {
        "says that it does not check": """
Rectified.scales Cosine.scales VPLinear.scales VE.scales SubVP.scales VELinear.scales
LearnedSchedule.scales
""",
        "a network's time is any number: preconditioning gives it log(sigma) / 4": """
MLP.forward UNet.forward DiT.forward Condition.forward MonotoneLogSNR.forward
require_one_time_each
""",
        "hands the time on to its function": "ask marginal_flow_matching effect_by_time",
        "times are noise levels, as large as one likes": """
consistency_function distillation_loss consistency_training_loss
""",
        "any law of motion has any times": "euler_maruyama_step straightness",
    },
    "ends": {"a part: its whole has checked": "hold_middle"},
    "empty": {
        "the batch of the object stays, and PyTorch names both sizes": """
Conditionals.log_prob linear_elbo elbo_gap measurement_guided combine
""",
    },
    "numbers": {
        "torch.nn.Dropout takes NaN, and the network then answers NaN": """
AutoregressiveDecoder MarkovianVAE MLP ResBlock UNet DiTBlock DiT Block Transformer mlp
""",
        "makes a loss, which is NaN": "vae_loss",
        "no checkpoint is written": "train",
        "no unit is above it": "active_units",
    },
    "nans": {
        "reads the shape alone": "noise_like beside rademacher_like zero Lesion.cut",
        "does not read the argument": """
PredictX0.true PredictX0.x_0_hat PredictX0.magnification PredictEps.true PredictScore.true
eps_from_score score_from_eps gaussians.Gaussian.posterior_covariance
""",
        "a proposal of undefined density is refused": "metropolis_step",
        "a point that is not memorized is impossible": "Memorizer.log_prob",
        "compares it, and NaN is not below": "masked_cost any_order_cost active_units",
        "the points without density do not count": "line_kl",
        "hands the time on to its function": "ask marginal_flow_matching",
    },
    "extremes": {
        "says that it does not check: `time_at` refuses": "SubVP.time",
        "a variance of exp(1e4) is infinite": "rate_split",
        "known: slopes of 1e4 beside bins of a thousandth leave no digits": "Spline.undo",
    },
}


@pytest.fixture(autouse=True)
def as_a_reader_calls_it(monkeypatch):
    """Without jaxtyping; the rules watch the global state."""
    jaxtyping.config.update("jaxtyping_disable", True)
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
    jaxtyping.config.update("jaxtyping_disable", False)


def test_every_public_callable_has_one_row():
    assert sorted([*TABLE, *ELSEWHERE]) == sorted(public())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("part", range(8))
def test_edges(rule, part):
    """An eighth of the callables under one rule."""
    reasons = ANSWERS.get(rule.__name__, {})
    right = {name for names in reasons.values() for name in names.split()}
    faults, idle = [], []
    for name in sorted(TABLE)[part::8]:
        if rule.__name__ != "purity" and is_record(name):
            continue
        try:
            found = list(rule(name))
        except RuntimeError as fault:
            found = [f"RuntimeError: {fault}"]
        if found and name not in right:
            faults += [f"{name}: {fault}" for fault in found]
        if not found and name in right:
            idle.append(name)
    assert faults == []
    assert idle == [], "no longer needed in ANSWERS"


def planted_counts(n_heads: int = 2) -> torch.Tensor:
    return torch.ones(3)


def planted_unnamed(n_heads: int = 2) -> torch.Tensor:
    if n_heads < 1:
        raise ValueError("no")
    return torch.ones(3)


def planted_steps(times: torch.Tensor) -> torch.Tensor:
    return times / (times[0] - times[-1])


def planted_spread(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(0)) / x.std(0)


def planted_devices(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y.shape[0]


@pytest.mark.parametrize(
    ("rule", "function", "given"),
    [
        ("counts", planted_counts, {}),
        ("counts", planted_unnamed, {}),
        ("steps", planted_steps, {"times": torch.tensor([0.9, 0.5, 0.2])}),
        ("singular", planted_spread, {"x": torch.eye(3)[:, :2]}),
        ("devices", planted_devices, {"x": torch.ones(3, 2), "y": torch.ones(3, 2)}),
    ],
)
def test_a_rule_finds_its_planted_fault(rule, function, given, monkeypatch):
    defaults = {
        key: value.default
        for key, value in inspect.signature(function).parameters.items()
        if value.default is not value.empty
    }
    monkeypatch.setattr(edge_rules, "arguments", lambda name: dict(given))
    monkeypatch.setattr(edge_rules, "defaults", lambda name: {**defaults, **given})
    monkeypatch.setattr(edge_rules, "run", lambda name, given: function(**given))
    assert list(getattr(edge_rules, rule)("planted"))


def test_zero_terminal_snr_with_eps_prediction_is_refused_by_name():
    scales = run("Cosine.__call__", {"t": torch.ones(3)})
    x = torch.ones(3, 2)
    with pytest.raises(ValueError, match=r"x_0 from eps needs alpha_t > 0.*signal-to-noise"):
        run("PredictEps.x_0_hat", {"output": x, "x_t": x, "scales": scales})
