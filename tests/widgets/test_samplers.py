"""The widgets' samplers are the package's, step by step with the same noise."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from fromnoise import sde
from fromnoise.batches import ask
from fromnoise.diffusion import posterior
from fromnoise.guidance import classifier_free
from fromnoise.mixtures import GaussianMixture
from fromnoise.multistep import DPMSolverMultistep
from fromnoise.oracles import denoiser
from fromnoise.sample_measures import sliced_wasserstein_2
from fromnoise.samplers import (
    ancestral_step,
    ddim_step,
    edm_times,
    euler_step,
    heun_step,
    uniform_log_snr_times,
    uniform_times,
)
from fromnoise.schedules import Cosine, Rectified, VPLinear
from fromnoise.sde import euler_maruyama_step, reverse_sde
from fromnoise.targets import (
    PredictEps,
    PredictScore,
    PredictV,
    PredictVelocity,
    PredictX0,
    eps_from_x_0,
    score_from_x_0,
)

SCHEDULES = {"rectified": Rectified(), "cosine": Cosine(), "linear": VPLinear()}
TARGETS = {
    "x_0": PredictX0(),
    "eps": PredictEps(),
    "v": PredictV(),
    "velocity": PredictVelocity(),
    "score": PredictScore(),
}
LABELS = {"all": None, "first": 0, "second": 1}
GAINS = {"whole": 1.0, "half": 0.5, "none": 0.0, "flipped": -1.0}
PLAIN = {
    "data": "clusters",
    "label": "all",
    "guidance": 0,
    "schedule": "rectified",
    "target": "x_0",
    "error": 0,
    "score": "whole",
    "sampler": "ddim",
    "eta": 0,
    "churn": 1,
    "steps": 6,
    "grid": "time",
    "wide": False,
    "early": False,
    "last": False,
    "mean": False,
    "edited": False,
    "box": False,
}
N = 1000


@pytest.fixture
def noise(monkeypatch):
    """Noise for each call of a step, the same for both sides, with 6 + 2 draws of N points."""
    z = torch.randn(30, N, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    state = {"next": 1}

    def shipped(x, generator):
        state["next"] += 1
        return z[state["next"] - 1]

    for module in ("fromnoise.samplers", "fromnoise.sde"):
        monkeypatch.setattr(f"{module}.noise_like", shipped)
    return z, state


def mixture(javascript, name: str, label: int | None) -> GaussianMixture:
    (plain,) = javascript("maths/mixtures.mjs", ["named", name, label])
    return GaussianMixture.isotropic(
        torch.tensor([part["mean"] for part in plain["parts"]], dtype=torch.float64),
        plain["spread"],
        torch.tensor([part["weight"] for part in plain["parts"]], dtype=torch.float64),
    )


def answers(javascript, state: dict):
    """The package's denoiser for a state of the playground."""
    schedule = SCHEDULES[state["schedule"]]
    label = LABELS[state["label"]]
    exact = denoiser(mixture(javascript, state["data"], label), schedule)
    if label is not None and state["guidance"]:
        whole = denoiser(mixture(javascript, state["data"], None), schedule)
        exact = classifier_free(exact, whole, float(state["guidance"]))
    target, gain = TARGETS[state["target"]], GAINS[state["score"]]

    def answer(x, t):
        at = schedule(t)
        x_0 = exact(x, t)
        if state["error"]:
            (wrong,) = javascript(
                "maths/answers.mjs", ["mistake", x.flatten().tolist(), float(t[0])]
            )
            said = target.true(x_0, eps_from_x_0(x_0, x, at), at)
            said = said + state["error"] * torch.tensor(wrong).reshape(x.shape)
            x_0 = target.x_0_hat(said, x, at)
        if gain != 1:
            score = gain * score_from_x_0(x_0, x, at)
            x_0 = (x + at.sigma_t[:, None] ** 2 * score) / at.alpha_t[:, None]
        return x_0.clamp(-1, 1) if state["box"] else x_0

    return answer, schedule


def times_of(state: dict, schedule) -> torch.Tensor:
    n, start = state["steps"], 1.0
    blind = state["target"] in ("eps", "score") or state["score"] != "whole"
    if float(schedule(torch.ones(())).alpha_t) == 0:
        if state["sampler"] == "maruyama" and state["grid"] == "time":
            start = 0.98
        elif blind or state["sampler"] == "maruyama":
            start = 0.999
    if state["early"]:
        signal = torch.tensor(0.4, dtype=torch.float64)
        log_snr = {
            "rectified": 2 * torch.log(signal / (1 - signal)),
        }.get(state["schedule"], torch.log(signal**2 / (1 - signal**2)))
        start = float(schedule.time_at(log_snr))
    if state["grid"] == "time":
        return uniform_times(n, start)
    grid = uniform_log_snr_times if state["grid"] == "log_snr" else edm_times
    return grid(n, schedule, t_max=min(start, 0.999))


def stepper(state: dict):
    """The package's step for a state."""
    if state["sampler"] == "maruyama":

        def step(given, schedule, x, t, s, generator):
            def score(points, time):
                return score_from_x_0(given(points, time), points, schedule(time))

            law = reverse_sde(score, schedule, eta=float(state["churn"]))
            z = sde.noise_like(x, generator)
            return euler_maruyama_step(law, x, t, s, z)

        return step
    return {
        "ancestral": ancestral_step,
        "ddim": partial(ddim_step, eta=float(state["eta"])),
        "euler": euler_step,
        "heun": heun_step,
        "multistep": DPMSolverMultistep(1 if state["edited"] else 2),
    }[state["sampler"]]


def wanted_path(javascript, state: dict, noise) -> np.ndarray:
    """The walk of the package, with the shipped noise of each step."""
    z, count = noise
    given, schedule = answers(javascript, state)
    times = times_of(state, schedule)
    step = stepper(state)
    scale = 1.0 if state["early"] else float(schedule(times[0]).sigma_t)
    path = [(2 if state["wide"] else 1) * scale * z[0]]
    for k, (t, s) in enumerate(pairwise(times)):
        count["next"] = k + 1
        if state["mean"]:
            x_0 = ask(given, path[-1], t)
            path.append(posterior(path[-1], x_0, schedule(t), schedule(s))[0])
        else:
            path.append(step(given, schedule, path[-1], t, s, torch.Generator()))
    if state["last"]:
        _, var = posterior(z[0], z[0], schedule(times[-3]), schedule(times[-2]))
        path[-1] = path[-1] + var.sqrt() * z[len(times)]
    return torch.stack(path).numpy()


def found_path(javascript, state: dict, noise) -> np.ndarray:
    shipped = noise[0][: state["steps"] + 2].flatten(1).tolist()
    (path,) = javascript("maths/play.mjs", ["path", state, shipped])
    return np.array(path).reshape(state["steps"] + 1, N, 2)


CASES = [
    *[{"sampler": name, "schedule": schedule, "eta": eta, "churn": eta, "grid": grid}
      for name, eta in (("ddim", 0), ("ddim", 0.5), ("ddim", 1), ("ancestral", 0), ("euler", 0),
                        ("heun", 0), ("multistep", 0), ("maruyama", 1), ("maruyama", 0.5))
      for schedule, grid in (("rectified", "time"), ("cosine", "log_snr"), ("linear", "edm"))],
    *[{"sampler": "multistep", "target": target, "error": 0.2, "schedule": "cosine"}
      for target in TARGETS],
    *[{"sampler": "ddim", "data": data, "label": label, "guidance": omega}
      for data, label, omega in (("moons", "first", 0), ("ring", "second", 3),
                                 ("board", "first", -0.5), ("clusters", "second", 8))],
    *[{"sampler": sampler, "score": score, "schedule": schedule}
      for score in ("half", "none", "flipped")
      for sampler, schedule in (("ddim", "linear"), ("maruyama", "linear"))],
    {"wide": True},
    {"early": True, "schedule": "cosine"},
    {"early": True, "schedule": "rectified", "sampler": "ancestral"},
    {"last": True, "sampler": "ancestral"},
    {"mean": True, "sampler": "ancestral"},
    {"edited": True, "sampler": "multistep"},
    {"box": True, "sampler": "heun"},
    {"steps": 1, "sampler": "ddim"},
    {"steps": 2, "sampler": "multistep", "grid": "edm"},
]  # fmt: skip


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest distance, as a share of the size of what was wanted where that exceeds 1."""
    return float((np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)).max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_each_step_of_each_walk_is_the_packages(javascript, noise, case) -> None:
    state = PLAIN | case
    found, wanted = found_path(javascript, state, noise), wanted_path(javascript, state, noise)
    assert np.isfinite(wanted).all()
    assert gap(found, wanted) < 1e-5


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ({"sampler": "ddim", "eta": 1}, {"eta": 0}),
        ({"sampler": "ancestral"}, {"sampler": "ddim"}),
        ({"sampler": "euler", "schedule": "cosine"}, {"sampler": "ddim"}),
        ({"sampler": "heun"}, {"sampler": "euler"}),
        ({"sampler": "multistep"}, {"edited": True}),
        ({"sampler": "maruyama"}, {"score": "flipped"}),
        ({"sampler": "maruyama"}, {"churn": 0}),
        ({"label": "first", "guidance": 2}, {"guidance": -2}),
        ({"target": "velocity", "error": 0.2}, {"target": "x_0"}),
        ({"grid": "log_snr"}, {"grid": "edm"}),
        ({"score": "half"}, {"score": "whole"}),
    ],
    ids=lambda case: "-".join(map(str, case.values())),
)
def test_a_wrong_walk_is_noticed(javascript, noise, case, fault) -> None:
    state = PLAIN | case
    found = found_path(javascript, state | fault, noise)
    assert gap(found, wanted_path(javascript, state, noise)) > 1e-2


def draws_of(javascript, seed: int) -> torch.Tensor:
    """Standard normal points of a seed of the widgets."""
    (z,) = javascript("maths/random.mjs", ["normals", 2 * N, seed])
    return torch.tensor(z, dtype=torch.float64).reshape(N, 2)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"sampler": "heun", "schedule": "cosine", "grid": "log_snr", "steps": 12, "seed": 7},
        {"data": "moons", "label": "first", "guidance": 3, "sampler": "multistep"},
        {"sampler": "maruyama", "schedule": "linear", "score": "half", "steps": 20},
        {"sampler": "ancestral", "last": True, "steps": 4},
    ],
    ids=lambda case: "-".join(map(str, case.values())) or "plain",
)
def test_the_distances_that_are_shown_are_the_packages(javascript, monkeypatch, case) -> None:
    state = PLAIN | {"seed": 0} | case
    seed, n_steps = state["seed"], state["steps"]
    # The playground's own noise, in the hands of the package.
    z = torch.stack([draws_of(javascript, 1000 * seed + k) for k in range(n_steps + 2)])
    count = {"next": 1}
    monkeypatch.setattr("fromnoise.samplers.noise_like", lambda x, generator: z[count["next"]])
    monkeypatch.setattr("fromnoise.sde.noise_like", lambda x, generator: z[count["next"]])
    end = torch.tensor(wanted_path(javascript, state, (z, count))[-1])

    own = 20_000_000 + 10 * seed
    (plain,) = javascript("maths/mixtures.mjs", ["named", state["data"], LABELS[state["label"]]])
    one, other = (
        torch.tensor(javascript("maths/mixtures.mjs", ["draws", plain, N, own + which])[0])
        .double()
        .reshape(N, 2)
        for which in (0, 1)
    )
    angles = [math.pi * (k + 0.5) / 32 for k in range(32)]
    directions = torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)
    (found,) = javascript("maths/play.mjs", ["atTheEnd", state])
    far = sliced_wasserstein_2(end, one, directions)
    assert abs(found["far"] - far) < 1e-5 * max(far, 1)
    assert abs(found["floor"] - sliced_wasserstein_2(other, one, directions)) < 1e-5
    assert abs(found["far"] - sliced_wasserstein_2(end, other, directions)) > 1e-5
