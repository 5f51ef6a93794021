// Samplers, as in fromnoise/samplers.py, multistep.py and sde.py: walk a denoiser from noise to data.
//
// A step is a generator: it yields [points, time] where it asks for the clean data, is given the
// estimate, and returns the points at the cleaner time s. So the same steps serve an exact answer,
// which is there at once, and a network in a worker, which is awaited.
//
//   step({schedule, x, t, s, z, memory, options})
//
// `z` is standard normal noise, one number per entry, or a function that gives it; `memory` is an
// object of the walk's own.

import { logSnr } from "./schedules.mjs";
import { dataFrom, noiseFrom } from "./targets.mjs";

/** q(x_s | x_t, x_0): its mean's weights and its variance. */
export function posterior(from, to) {
  const kept = from.alpha / to.alpha;
  const added = from.sigma ** 2 - (kept * to.sigma) ** 2;
  return {
    keep: (kept * to.sigma ** 2) / from.sigma ** 2,
    pull: (to.alpha * added) / from.sigma ** 2,
    variance: (to.sigma ** 2 * added) / from.sigma ** 2,
  };
}

function* velocity({ schedule, x, t }) {
  const at = schedule.scales(t);
  const x0 = yield [x, t];
  const eps = noiseFrom(x0, x, at);
  return eps.map((value, i) => at.dAlpha * x0[i] + at.dSigma * value);
}

/** One draw from q(x_s | x_t, x_0_hat): DDPM. Without its spread it is the mean. */
export function* ancestral({ schedule, x, t, s, z, options: { meanOnly = false } = {} }) {
  const { keep, pull, variance } = posterior(schedule.scales(t), schedule.scales(s));
  const x0 = yield [x, t];
  const fresh = meanOnly ? 0 : Math.sqrt(variance);
  return x.map((value, i) => keep * value + pull * x0[i] + fresh * z[i]);
}

/** Take out the noise that the denoiser sees, and put back less of it; eta is the fresh share. */
export function* ddim({ schedule, x, t, s, z, options: { eta = 0 } = {} }) {
  const [from, to] = [schedule.scales(t), schedule.scales(s)];
  const x0 = yield [x, t];
  const eps = noiseFrom(x0, x, from);
  const fresh = eta * Math.sqrt(posterior(from, to).variance);
  const kept = Math.sqrt(to.sigma ** 2 - fresh ** 2);
  return x.map((_, i) => to.alpha * x0[i] + kept * eps[i] + (fresh && fresh * z[i]));
}

/** Follow the velocity in a straight line: the probability flow by Euler's method. */
export function* euler(walk) {
  const u = yield* velocity(walk);
  return walk.x.map((value, i) => value + (walk.s - walk.t) * u[i]);
}

/** Euler's step, then again with the mean of the velocities at both ends. */
export function* heun(walk) {
  const { schedule, x, t, s } = walk;
  const u = yield* velocity(walk);
  const guess = x.map((value, i) => value + (s - t) * u[i]);
  if (schedule.scales(s).sigma === 0) return guess;
  const then = yield* velocity({ schedule, x: guess, t: s });
  return x.map((value, i) => value + ((s - t) * (u[i] + then[i])) / 2);
}

/** DPM-Solver++ (2M): a line through this estimate and the last one, which `memory` keeps. */
export function* multistep({ schedule, x, t, s, memory, options: { edited = false } = {} }) {
  const [from, to] = [schedule.scales(t), schedule.scales(s)];
  const h = (logSnr(to) - logSnr(from)) / 2;
  const x0 = yield [x, t];
  const known = !edited && Number.isFinite(h) ? memory.last : undefined;
  memory.last = Number.isFinite(h) ? { x0, logSnr: logSnr(from) } : undefined;
  const gain = -to.alpha * Math.expm1(-h);
  const keep = to.sigma / from.sigma;
  if (!known) return x.map((value, i) => keep * value + gain * x0[i]);
  const slope = h / (known.logSnr - logSnr(from)); // negative: the old estimate lies before the step
  return x.map((value, i) => keep * value + gain * ((1 - slope) * x0[i] + slope * known.x0[i]));
}

/** The reverse equation by Euler and Maruyama; eta = 1 is the time reversal of the noising. */
export function* maruyama({ schedule, x, t, s, z, options: { eta = 1 } = {} }) {
  const at = schedule.scales(t);
  const f = at.dAlpha / at.alpha;
  const g2 = 2 * at.sigma * (at.dSigma - f * at.sigma);
  const eps = noiseFrom(yield [x, t], x, at);
  const pull = ((1 + eta ** 2) / 2) * g2 * (-1 / at.sigma);
  const fresh = eta * Math.sqrt(g2 * Math.abs(s - t));
  return x.map((value, i) => value + (s - t) * (f * value - pull * eps[i]) + (fresh && fresh * z[i]));
}

export const STEPS = { ancestral, ddim, euler, heun, multistep, maruyama };

/** Equal steps in time. */
export function uniformTimes(nSteps, from = 1, to = 0) {
  return Array.from({ length: nSteps + 1 }, (_, i) => from + ((to - from) * i) / nSteps);
}

/** Equal steps in log-SNR, or in (sigma / alpha)^(1 / rho) as EDM has it, then a last step to 0. */
export function gridTimes(schedule, nSteps, { rho = Infinity, from = 0.999, to = 0.001 } = {}) {
  const warp = (lambda) => (rho === Infinity ? lambda : Math.exp(-lambda / (2 * rho)));
  const back = (value) => (rho === Infinity ? value : -2 * rho * Math.log(value));
  const [first, last] = [from, to].map((t) => warp(logSnr(schedule.scales(t))));
  const gap = (last - first) / Math.max(nSteps - 1, 1);
  return [...Array.from({ length: nSteps }, (_, i) => schedule.time(back(first + gap * i))), 0];
}

/**
 * Walk along falling times with answers that are there at once: ask(points, t). Gives the points
 * after each step, so that the caller may pause between them.
 */
export function* walk({ step, ask, schedule, x, times, noise, options }) {
  const memory = {};
  for (let k = 0; k + 1 < times.length; k += 1) {
    const asking = step({ schedule, x, t: times[k], s: times[k + 1], z: noise(k), memory, options });
    let now = asking.next();
    while (!now.done) now = asking.next(ask(...now.value));
    x = now.value;
    yield x;
  }
}

/**
 * The same with answers that are awaited. Gives [{t, x, estimate}] of every state, the start first;
 * `estimate` is what was answered there, and at the end the points themselves. `seen(entry, k)` is
 * told of each as soon as it is known.
 */
export async function sample(ask, schedule, x, times, step, noise, seen = () => {}) {
  const [path, memory] = [[], {}];
  for (let k = 0; k + 1 < times.length; k += 1) {
    const t = times[k];
    const asking = step({ schedule, x, t, s: times[k + 1], z: noise(k), memory });
    let now = asking.next();
    let estimate = null;
    while (!now.done) {
      const answer = await ask(...now.value);
      estimate ??= answer;
      now = asking.next(answer);
    }
    path.push({ t, x, estimate });
    seen(path[k], k);
    x = now.value;
  }
  const end = { t: times.at(-1), x, estimate: x };
  path.push(end);
  seen(end, times.length - 1);
  return path;
}

/** Exaggerate what the condition changes: (1 + omega) conditional - omega unconditional. */
export function guided(conditional, unconditional, omega) {
  return conditional.map((value, i) => value + omega * (value - unconditional[i]));
}

/** The clean data that a velocity stands for. */
export function fromVelocity(velocity, x, scales) {
  return dataFrom("velocity", velocity, x, scales);
}
