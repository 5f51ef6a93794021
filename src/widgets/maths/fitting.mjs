// One Gaussian against two bells: fromnoise.fitting on a fixed grid, and a descent to watch.
// The data are q, the model is p. Everything in nats.

const N = 2001; // enough for widths from 0.3 on, and wide enough for those up to 5
const EDGE = 40;
const STEP = (2 * EDGE) / (N - 1);
export const GRID = Float64Array.from({ length: N }, (_, i) => -EDGE + STEP * i);

/** Log density of a Gaussian. */
export function gaussianLogProb(x, mean, std) {
  const scale = Math.log(std) + 0.5 * Math.log(2 * Math.PI);
  return Float64Array.from(x, (at) => -0.5 * ((at - mean) / std) ** 2 - scale);
}

/** Log density of two bells of unit width at minus and plus the distance; `share` is the left's. */
export function twoBells(x, distance, share) {
  const left = gaussianLogProb(x, -distance, 1).map((value) => value + Math.log(share));
  const right = gaussianLogProb(x, distance, 1).map((value) => value + Math.log(1 - share));
  return left.map((a, i) => Math.max(a, right[i]) + Math.log1p(Math.exp(-Math.abs(a - right[i]))));
}

/** Divergence of two densities on the grid, by quadrature. */
export function lineKl(logA, logB) {
  let total = 0;
  for (let i = 0; i < N; i += 1) {
    // Below -700 the density is 0 in float64, and so is the term.
    if (logA[i] > -700) total += Math.exp(logA[i]) * (logA[i] - logB[i]);
  }
  return total * STEP;
}

/** The divergence of data to model, "forward", or of model to data, "reverse". */
export function divergence(
  direction, { mean, std }, { distance, share }, logQ = twoBells(GRID, distance, share),
) {
  const logP = gaussianLogProb(GRID, mean, std);
  return direction === "forward" ? lineKl(logQ, logP) : lineKl(logP, logQ);
}

/** The model with the mean and the variance of the data: least in the forward direction. */
export function forwardFit({ distance, share }) {
  const mean = (1 - 2 * share) * distance;
  return { mean, std: Math.sqrt(1 + distance ** 2 - mean ** 2) };
}

/** Derivatives of a divergence by the mean and by the logarithm of the standard deviation. */
export function gradient(direction, { mean, std }, data, slope = logSlope(data)) {
  if (direction === "forward") {
    const fit = forwardFit(data);
    const square = fit.std ** 2 + (fit.mean - mean) ** 2;
    return { mean: (mean - fit.mean) / std ** 2, logStd: 1 - square / std ** 2 };
  }
  // With x = mean + std * eps, and eps fixed, only log q depends on the two.
  const logP = gaussianLogProb(GRID, mean, std);
  const found = { mean: 0, logStd: -1 };
  for (let i = 0; i < N; i += 1) {
    const term = Math.exp(logP[i]) * STEP * slope[i];
    found.mean -= term;
    found.logStd -= term * (GRID[i] - mean);
  }
  return found;
}

// d/dx log q: each bell pulls to its middle, by the chance that x is one of its own.
function logSlope({ distance, share }) {
  const odds = Math.log(share / (1 - share));
  return GRID.map((x) => distance * Math.tanh(distance * x - 0.5 * odds) - x);
}

/**
 * Gradient descent on a divergence, from a start: all models on the way, the start first.
 * Steps are measured in the model's own width (the natural gradient), or a wide model would crawl
 * and a narrow one jump; none moves it by more than a quarter of its width, and a step that would
 * go up is halved until it does not.
 */
export function descend(direction, start, data, steps = 300) {
  const slope = logSlope(data);
  const logQ = twoBells(GRID, data.distance, data.share);
  const path = [start];
  let cost = divergence(direction, start, data, logQ);
  let rate = 0.25;
  while (path.length <= steps) {
    const { mean, std } = path.at(-1);
    const found = gradient(direction, { mean, std }, data, slope);
    const byMean = cut(rate * std * found.mean);
    const byLogStd = cut(0.5 * rate * found.logStd);
    if (Math.hypot(byMean, byLogStd) < 4e-4 * rate) break;
    const next = { mean: mean - std * byMean, std: std * Math.exp(-byLogStd) };
    const then = divergence(direction, next, data, logQ);
    if (then > cost) rate /= 2;
    else {
      path.push(next);
      cost = then;
    }
  }
  return path;
}

const cut = (value) => Math.min(Math.max(value, -0.25), 0.25);

/** The divergence in both directions of every model on a path. */
export function costs(path, data) {
  const logQ = twoBells(GRID, data.distance, data.share);
  const along = (direction) => path.map((model) => divergence(direction, model, data, logQ));
  return { forward: along("forward"), reverse: along("reverse") };
}
