// A lesioned network: which parts are cut at which times, digits drawn with it, and what it loses.
//
// `network(feeds)` is the book's digit model with a switch at each part: `keep` and `put` hold, for
// each image and part, the share of the activity that stays and the share of its mean that is added.

import { normals } from "./random.mjs";
import { fromVelocity, sample, STEPS, uniformTimes } from "./samplers.mjs";
import { rectified } from "./schedules.mjs";

export const PARTS = ["down, fine", "down, coarse", "middle, in", "attention", "middle, out", "up, coarse", "up, fine", "skip, coarse", "skip, fine"];
export const N = 16;
const PIXELS = 64;
export const CLASSES = Array.from({ length: N }, (_, i) => i % 10);

/** What goes into the network for `n` images at one time; `cuts` holds {parts, by, from, to}. */
export function feeds(x, t, labels, { parts, by, from, to }) {
  const n = labels.length;
  const hit = t >= from && t <= to;
  const cut = PARTS.map((name) => hit && parts.includes(name));
  const each = (value) => Float32Array.from({ length: n * PARTS.length }, (_, i) => value(cut[i % PARTS.length]));
  return {
    x_t: { data: Float32Array.from(x), dims: [n, 1, 8, 8] },
    t: { data: new Float32Array(n).fill(t), dims: [n] },
    label: { data: labels, dims: [n] },
    keep: { data: each((is) => (is ? 0 : 1)), dims: [n, PARTS.length] },
    put: { data: each((is) => (is && by === "mean" ? 1 : 0)), dims: [n, PARTS.length] },
    row: { data: new Array(n).fill(0), dims: [n] },
  };
}

/** Sixteen digits, drawn by Euler's steps from noise to data; gives [{t, x, estimate}]. */
export function draw(network, cuts, { steps, seed }, seen) {
  const ask = async (x, t) => fromVelocity((await network(feeds(x, t, CLASSES, cuts))).velocity.data, x, rectified.scales(t));
  return sample(ask, rectified, normals(N * PIXELS, seed), uniformTimes(steps), STEPS.euler, () => null, seen);
}

/** Squared error per pixel of the velocity at one time, the mean over the digits {pixels, labels}. */
export async function lossAt(network, cuts, t, { pixels, labels }, eps) {
  const { alpha, sigma } = rectified.scales(t);
  const x = pixels.map((value, i) => alpha * value + sigma * eps[i]);
  const said = (await network(feeds(x, t, labels, cuts))).velocity.data;
  return said.reduce((sum, value, i) => sum + (value - (eps[i] - pixels[i])) ** 2, 0) / said.length;
}

/** How many of the images a judge puts into the classes that were asked for; `scores` is flat. */
export function hits(scores, wanted) {
  const n = scores.length / wanted.length;
  return wanted.filter((label, i) => {
    const row = scores.slice(i * n, (i + 1) * n);
    return row.indexOf(Math.max(...row)) === label;
  }).length;
}
