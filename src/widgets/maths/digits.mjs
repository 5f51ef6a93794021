// How the widget of the digits asks the book's network, apart from the page.

import { clamp } from "../state.mjs";
import { normals } from "./random.mjs";
import { fromVelocity, guided, sample, STEPS, uniformTimes } from "./samplers.mjs";
import { rectified } from "./schedules.mjs";

export const N = 16;
export const MANY = "each";
const PIXELS = 64;
const NULL = 10; // the label that stands for no class

/** The classes asked for: one of them N times, all in turn, or none. */
export function labels(asked) {
  if (asked === "none") return Array(N).fill(NULL);
  return Array.from({ length: N }, (_, i) => (asked === MANY ? i % 10 : Number(asked)));
}

/**
 * The denoiser that a state of the controls asks for. `network(feeds)` gives the velocity; with
 * guidance it is asked about every digit twice, with its class and without.
 */
export function denoiserOf({ asked, guidance, timeless }, network) {
  const wanted = labels(asked);
  const twice = guidance !== 0 && asked !== "none"; // without a class both answers are the same
  return async (x, t) => {
    const label = twice ? [...wanted, ...Array(N).fill(NULL)] : wanted;
    const data = new Float32Array(label.length * PIXELS);
    for (let at = 0; at < data.length; at += x.length) data.set(x, at);
    const said = await network({
      x_t: { data, dims: [label.length, 1, 8, 8] },
      // A network that is not told the time sees that of clean data.
      t: { data: new Float32Array(label.length).fill(timeless ? 0 : t), dims: [label.length] },
      label: { data: label, dims: [label.length] },
    });
    const clean = (half) => fromVelocity(half, x, rectified.scales(t));
    const given = clean(said.subarray(0, x.length));
    return twice ? guided(given, clean(said.subarray(x.length)), guidance) : given;
  };
}

/**
 * Draw digits; gives [{t, x, estimate}] from noise to data. `seen` is told of each at once.
 */
export function drawDigits(state, network, seen) {
  const times = uniformTimes(state.steps);
  const all = normals(N * PIXELS * times.length, state.seed);
  const part = (k) => all.subarray(N * PIXELS * k, N * PIXELS * (k + 1));
  const fresh = (k) => part(k + 1); // the first part is where the walk starts
  const denoiser = denoiserOf(state, network);
  return sample(denoiser, rectified, part(0), times, STEPS[state.sampler], fresh, seen);
}

/** Images for a judge: what lies beyond black or white is black or white. */
export function inRange(x) {
  return { images: { data: Float32Array.from(x, (value) => clamp(value, -1, 1)), dims: [N, 1, 8, 8] } };
}

/** Share of pixels blacker than black or whiter than white, by more than a twentieth of a level. */
export function outside(x) {
  return x.reduce((n, value) => n + (Math.abs(value) - 1 > 0.05 / 8), 0) / x.length;
}
