// What a network may be asked for, as in fromnoise/targets.py: five names for one piece of knowledge.

/** By name: the value asked for, and the clean data that an answer stands for; one number each. */
export const TARGETS = {
  x_0: {
    label: "the data",
    truth: (x0) => x0,
    data: (said) => said,
  },
  eps: {
    label: "the noise",
    truth: (x0, eps) => eps,
    data: (said, x, { alpha, sigma }) => (x - sigma * said) / alpha,
    needsSignal: true,
  },
  v: {
    label: "v",
    truth: (x0, eps, { alpha, sigma }) => alpha * eps - sigma * x0,
    data: (said, x, { alpha, sigma }) => (alpha * x - sigma * said) / (alpha ** 2 + sigma ** 2),
  },
  velocity: {
    label: "the velocity",
    truth: (x0, eps, { dAlpha, dSigma }) => dAlpha * x0 + dSigma * eps,
    data: (said, x, { alpha, sigma, dAlpha, dSigma }) =>
      (dSigma * x - sigma * said) / (alpha * dSigma - sigma * dAlpha),
  },
  score: {
    label: "the score",
    truth: (x0, eps, { sigma }) => -eps / sigma,
    data: (said, x, { alpha, sigma }) => (x + sigma ** 2 * said) / alpha,
    needsSignal: true,
  },
};

/** The value asked for, from the data and the noise, entry by entry. */
export function truth(name, x0, eps, scales) {
  return Float64Array.from(x0, (x, i) => TARGETS[name].truth(x, eps[i], scales));
}

/** The clean data that a network's answer stands for, entry by entry. */
export function dataFrom(name, said, points, scales) {
  return Float64Array.from(said, (value, i) => TARGETS[name].data(value, points[i], scales));
}

/** The noise that an estimate of the data leaves: (x_t - alpha x_0) / sigma. */
export function noiseFrom(x0, points, { alpha, sigma }) {
  return Float64Array.from(x0, (x, i) => (points[i] - alpha * x) / sigma);
}
