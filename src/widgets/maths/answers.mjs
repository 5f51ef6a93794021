// What stands between an exact answer and the sampler: guidance, an error of the network, and the
// parts that a reader may take away.

import { only, posteriorMean } from "./mixtures.mjs";
import { uniform } from "./random.mjs";
import { guided } from "./samplers.mjs";
import { SCHEDULES } from "./schedules.mjs";
import { TARGETS, dataFrom, noiseFrom, truth } from "./targets.mjs";

const WAVES = 8;
const waves = (() => {
  const draw = uniform(11);
  return Array.from({ length: 2 * WAVES }, () => [4 * draw() - 2, 4 * draw() - 2, 6 * draw(), 2 * Math.PI * draw()]);
})();

/** A smooth error of root mean square about 1, always the same: what a network might get wrong. */
export function mistake(points, t) {
  return Float64Array.from(points, (_, i) => {
    const [x, y] = [points[i - (i % 2)], points[i - (i % 2) + 1]];
    let sum = 0;
    for (let k = 0; k < WAVES; k += 1) {
      const [a, b, c, shift] = waves[2 * k + (i % 2)];
      sum += Math.cos(a * x + b * y + c * t + shift);
    }
    return sum * Math.sqrt(2 / WAVES);
  });
}

/**
 * The denoiser that a sampler asks, (points, t) => x_0_hat.
 *
 * mixture, schedule   the data, and the name of the schedule
 * label, guidance     the class asked for (null for none), and the weight omega
 * target, error       what the network names, and how wrong it is in that
 * gain                the score times a number: 1 is whole, 0 none, -1 the wrong sign
 * box                 clips the estimate to this range, where it is given
 */
export function denoiser({ mixture, schedule, label = null, guidance = 0, target = "x_0", error = 0, gain = 1, box = null }) {
  const asked = only(mixture, label);
  return (points, t) => {
    const at = SCHEDULES[schedule].scales(t);
    let x0 = posteriorMean(asked, points, at);
    if (label !== null && guidance !== 0) {
      x0 = guided(x0, posteriorMean(mixture, points, at), guidance);
    }
    if (error !== 0) {
      const wrong = mistake(points, t);
      const said = truth(target, x0, noiseFrom(x0, points, at), at);
      x0 = dataFrom(target, said.map((value, i) => value + error * wrong[i]), points, at);
    }
    // Tweedie: x_0_hat = (x_t + sigma^2 score) / alpha, with the score multiplied.
    if (gain !== 1) x0 = x0.map((value, i) => ((1 - gain) * points[i]) / at.alpha + gain * value);
    return box === null ? x0 : x0.map((value) => Math.min(Math.max(value, -box), box));
  };
}

/** Whether an answer can be had where nothing is left of the data, at alpha = 0. */
export function needsSignal({ target = "x_0", gain = 1 }) {
  return Boolean(TARGETS[target].needsSignal) || gain !== 1;
}
