// One walk of the playground, from the state of its controls to points.

import { denoiser, needsSignal } from "./answers.mjs";
import { slicedWasserstein } from "./distances.mjs";
import { perturb, timeOfSignal } from "./forward.mjs";
import { MIXTURES, draws, only } from "./mixtures.mjs";
import { normals } from "./random.mjs";
import { STEPS, gridTimes, posterior, uniformTimes, walk } from "./samplers.mjs";
import { SCHEDULES } from "./schedules.mjs";

export const N = 1000;
export const GAINS = { whole: 1, half: 0.5, none: 0, flipped: -1 };
const CLASSES = { all: null, first: 0, second: 1 };
const LEFT = 0.4; // of the signal, where the noising stops early
const NEAR = 0.999; // the last time at which there is some signal
const NEAR_RATES = 0.98; // the drift of the reverse equation is 1 / (1 - t) there, and steps are few

/** What a state asks for: the schedule, its times, the denoiser, the step and the data. */
export function plan(state) {
  const { data, label, guidance, schedule, target, error, score, sampler, steps, grid } = state;
  const scales = SCHEDULES[schedule];
  const answer = {
    mixture: MIXTURES[data], schedule, label: CLASSES[label], guidance, target, error,
    gain: GAINS[score], box: state.box ? 1 : null,
  };
  const endless = scales.scales(1).alpha === 0;
  const rates = sampler === "maruyama";
  let from = endless && (rates || needsSignal(answer)) ? (rates && grid === "time" ? NEAR_RATES : NEAR) : 1;
  if (state.early) from = timeOfSignal(scales, LEFT);
  const times = grid === "time"
    ? uniformTimes(steps, from)
    : gridTimes(scales, steps, { from: Math.min(from, NEAR), rho: grid === "edm" ? 7 : Infinity });
  return {
    schedule: scales, times, step: STEPS[sampler], ask: denoiser(answer), truth: only(MIXTURES[data], answer.label),
    options: { eta: rates ? state.churn : state.eta, meanOnly: state.mean, edited: state.edited },
    startScale: (state.early ? 1 : scales.scales(times[0]).sigma) * (state.wide ? 2 : 1),
    lastNoise: state.last && steps > 1 ? sizeBeforeLast(scales, times) : 0,
  };
}

// What a program adds that takes the size of the noise from the step before.
function sizeBeforeLast(schedule, times) {
  const [from, to] = times.slice(-3, -1).map((t) => schedule.scales(t));
  return Math.sqrt(posterior(from, to).variance);
}

/** All states of a walk in turn, the start first; `noise(k)` gives standard normal numbers. */
export function* travel(plan, noise) {
  let x = noise(0).map((z) => plan.startScale * z);
  yield x;
  const last = plan.times.length - 2;
  let k = 0;
  for (x of walk({ ...plan, x, noise: (i) => noise(i + 1) })) {
    if (k === last && plan.lastNoise) {
      const z = noise(k + 2);
      x = x.map((value, i) => value + plan.lastNoise * z[i]);
    }
    k += 1;
    yield x;
  }
}

/** The same as one list, with noise that is given; what the tests hold against the package. */
export function path(state, noise) {
  return [...travel(plan(state), (k) => Float64Array.from(noise[k]))];
}

/** Fresh data with the noise of a time of the walk; there are two sets that share no draw. */
export function truthAt({ sets, schedule, times }, k, which = 0) {
  return perturb(sets[which].x0, sets[which].eps, schedule.scales(times[k]));
}

/** How far the points of a walk are from fresh data at the same time, and two fresh sets apart. */
export function measure(walked, k) {
  const truth = truthAt(walked, k);
  const far = slicedWasserstein(walked.path[k], truth);
  return {
    far: Number.isFinite(far) ? far : Infinity,
    floor: slicedWasserstein(truthAt(walked, k, 1), truth),
  };
}

/** Both at the end of a walk, from the state of the controls alone. */
export function atTheEnd(state) {
  const walk = plan(state);
  const path = [...travel(walk, noiseOf(state.seed))];
  return measure({ ...walk, path, sets: freshSets(walk.truth, state.seed) }, path.length - 1);
}

/** Noise number k of a seed: none is the same as another's. */
export function noiseOf(seed, n = N) {
  return (k) => normals(2 * n, 1000 * seed + k);
}

/** Two sets of fresh data and noise for them, that no walk has seen. */
export function freshSets(truth, seed, n = N) {
  const own = 20_000_000 + 10 * seed;
  return [0, 1].map((which) => ({ x0: draws(truth, n, own + which), eps: normals(2 * n, own + 2 + which) }));
}
