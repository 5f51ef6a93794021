// The forward process: what a schedule leaves of the data and adds of noise, and two ways to get it
// wrong.

import { SCHEDULES, logSnr } from "./schedules.mjs";

/**
 * Scales of x = alpha x_0 + sigma eps after each of `nSteps` equal steps of noising, the data first.
 *
 * `early` stops where `left` of the signal is still there. `unshrunk` adds the noise of each step
 * and leaves out its shrinking: the variances add up, and alpha stays 1.
 */
export function chain(name, nSteps, { early = false, unshrunk = false, left = 0.4 } = {}) {
  const schedule = SCHEDULES[name];
  const end = early ? timeOfSignal(schedule, left) : 1;
  const out = [];
  let added = schedule.scales(0).sigma ** 2;
  for (let k = 0; k <= nSteps; k += 1) {
    const t = (k / nSteps) * end;
    const at = schedule.scales(t);
    if (k > 0) {
      const before = out[k - 1].whole;
      added += at.sigma ** 2 - ((at.alpha / before.alpha) * before.sigma) ** 2;
    }
    const alpha = unshrunk ? 1 : at.alpha;
    const sigma = unshrunk ? Math.sqrt(added) : at.sigma;
    out.push({ t, alpha, sigma, logSnr: logSnr({ alpha, sigma }), whole: at });
  }
  return out;
}

/** x_t = alpha x_0 + sigma eps. */
export function perturb(x0, eps, { alpha, sigma }) {
  return Float64Array.from(x0, (x, i) => alpha * x + sigma * eps[i]);
}

/** The time at which `left` of the signal is left: it only falls, so halving an interval finds it. */
export function timeOfSignal(schedule, left) {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i += 1) {
    const middle = (low + high) / 2;
    if (schedule.scales(middle).alpha > left) low = middle;
    else high = middle;
  }
  return low;
}
