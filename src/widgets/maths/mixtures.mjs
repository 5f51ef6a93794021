// Mixtures of round Gaussians in the plane, with their exact answers: density, posterior mean, draws.
// Points are flat arrays of pairs. Each component belongs to a class, which is what guidance asks for.

import { normals } from "./random.mjs";

const on = (n, at) => Array.from({ length: n }, (_, i) => at(i));
const equal = (parts) => parts.map((part) => ({ weight: 1 / parts.length, ...part }));
const turn = (angle, radius = 1) => [radius * Math.cos(angle), radius * Math.sin(angle)];
const arc = (i, n) => Math.PI * (i / (n - 1));

/** The data of the playground: components {weight, mean, label}, one spread for all. */
export const MIXTURES = {
  clusters: {
    label: "three clusters",
    spread: 0.25,
    parts: [
      { weight: 0.5, mean: [-1.5, -0.5], label: 0 },
      { weight: 0.3, mean: [0.2, 1.3], label: 1 },
      { weight: 0.2, mean: [1.4, -0.9], label: 1 },
    ],
  },
  moons: {
    label: "two moons",
    spread: 0.12,
    parts: equal([
      ...on(8, (i) => ({ mean: [turn(arc(i, 8), 1.2)[0] - 0.6, turn(arc(i, 8), 1.2)[1] - 0.3], label: 0 })),
      ...on(8, (i) => ({ mean: [0.6 - turn(arc(i, 8), 1.2)[0], 0.3 - turn(arc(i, 8), 1.2)[1]], label: 1 })),
    ]),
  },
  ring: {
    label: "a ring",
    spread: 0.12,
    parts: equal(on(16, (i) => ({ mean: turn((2 * Math.PI * (i + 0.5)) / 16, 1.6), label: i < 8 ? 0 : 1 }))),
  },
  board: {
    label: "a chessboard",
    spread: 0.16,
    parts: equal(on(16, (i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return { mean: [column - 1.5, row - 1.5], label: (row + column) % 2 };
    })),
  },
};

/** The components of one class with weights that sum to one; all of them where `label` is null. */
export function only(mixture, label) {
  const parts = label === null ? mixture.parts : mixture.parts.filter((part) => part.label === label);
  const total = parts.reduce((sum, part) => sum + part.weight, 0);
  return { ...mixture, parts: parts.map((part) => ({ ...part, weight: part.weight / total })) };
}

/** The same of the mixture of a name. */
export function named(name, label = null) {
  return only(MIXTURES[name], label);
}

/** The best guess of the data, E[x_0 | x_t], where x_t = alpha x_0 + sigma eps. */
export function posteriorMean({ parts, spread }, points, { alpha, sigma }) {
  const variance = alpha ** 2 * spread ** 2 + sigma ** 2;
  const pull = (alpha * spread ** 2) / variance;
  const logs = parts.map(({ weight }) => Math.log(weight));
  const here = new Float64Array(parts.length);
  const out = new Float64Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i], points[i + 1]];
    let best = -Infinity;
    for (let k = 0; k < parts.length; k += 1) {
      const [mx, my] = parts[k].mean;
      here[k] = logs[k] - ((x - alpha * mx) ** 2 + (y - alpha * my) ** 2) / (2 * variance);
      if (here[k] > best) best = here[k];
    }
    let [total, px, py] = [0, 0, 0];
    for (let k = 0; k < parts.length; k += 1) {
      const share = Math.exp(here[k] - best);
      const [mx, my] = parts[k].mean;
      total += share;
      px += share * (mx + pull * (x - alpha * mx));
      py += share * (my + pull * (y - alpha * my));
    }
    out[i] = px / total;
    out[i + 1] = py / total;
  }
  return out;
}

/** Density of the noisy data on a grid of `n` x `n` cells over a square window, row by row from above. */
export function densityField({ parts, spread }, { alpha, sigma }, n, reach) {
  const variance = alpha ** 2 * spread ** 2 + sigma ** 2;
  const at = (i) => ((2 * (i + 0.5)) / n - 1) * reach;
  const out = new Float64Array(n * n);
  for (const { weight, mean } of parts) {
    // A round bump is a product, so one row and one column of exponentials make the field.
    const bump = (center) => Float64Array.from({ length: n }, (_, i) => Math.exp(-((at(i) - alpha * center) ** 2) / (2 * variance)));
    const [across, up] = [bump(mean[0]), bump(mean[1])];
    const scale = weight / (2 * Math.PI * variance);
    for (let row = 0; row < n; row += 1) {
      const factor = scale * up[n - 1 - row];
      for (let column = 0; column < n; column += 1) out[row * n + column] += factor * across[column];
    }
  }
  return out;
}

/** `n` draws that hold each component in its exact share, so that they add little noise. */
export function draws({ parts, spread }, n, seed) {
  const out = normals(2 * n, seed);
  let [k, reached] = [0, parts[0].weight];
  for (let i = 0; i < n; i += 1) {
    while ((i + 0.5) / n > reached && k < parts.length - 1) reached += parts[(k += 1)].weight;
    out[2 * i] = parts[k].mean[0] + spread * out[2 * i];
    out[2 * i + 1] = parts[k].mean[1] + spread * out[2 * i + 1];
  }
  return out;
}
