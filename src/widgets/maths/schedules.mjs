// Noise schedules, as in fromnoise/schedules.py: data at t = 0, noise at t = 1.

/** Straight lines, alpha = 1 - t and sigma = t: the schedule of flow matching. */
export const rectified = {
  label: "rectified",
  scales: (t) => ({ alpha: 1 - t, sigma: t, dAlpha: -1, dSigma: 1 }),
  time: (logSnr) => sigmoid(-logSnr / 2),
};

/** A quarter circle, with both ends exact. */
export const cosine = {
  label: "cosine",
  scales(t) {
    const alpha = Math.sin((Math.PI / 2) * (1 - t)); // cos(pi / 2) would not be exactly 0
    const sigma = Math.sin((Math.PI / 2) * t);
    return { alpha, sigma, dAlpha: (-Math.PI / 2) * sigma, dSigma: (Math.PI / 2) * alpha };
  },
  time: (logSnr) => (2 / Math.PI) * Math.atan(Math.exp(-logSnr / 2)),
};

const [BETA_MIN, BETA_MAX] = [0.1, 20];

/** DDPM's: noise enters at a rate that grows linearly. A little of the data is left at t = 1. */
export const linear = {
  label: "linear β",
  scales(t) {
    const beta = BETA_MIN + t * (BETA_MAX - BETA_MIN);
    const logAlpha = -(t * BETA_MIN + (t * t * (BETA_MAX - BETA_MIN)) / 2) / 2;
    const alpha = Math.exp(logAlpha);
    const sigma = Math.sqrt(-Math.expm1(2 * logAlpha));
    return { alpha, sigma, dAlpha: (-beta / 2) * alpha, dSigma: ((beta / 2) * alpha * alpha) / sigma };
  },
  time(logSnr) {
    const total = Math.log1p(Math.exp(-Math.abs(logSnr))) + Math.max(-logSnr, 0);
    const slope = BETA_MAX - BETA_MIN;
    return (2 * total) / (BETA_MIN + Math.sqrt(BETA_MIN ** 2 + 2 * slope * total));
  },
};

export const SCHEDULES = { rectified, cosine, linear };

/** The same by name; an unknown name is the caller's mistake. */
export function scales(name, t) {
  return SCHEDULES[name].scales(t);
}

/** The time at which a schedule has a log-SNR. */
export function timeAt(name, logSnr) {
  return SCHEDULES[name].time(logSnr);
}

/** lambda = log(alpha^2 / sigma^2); infinite where a scale is zero. */
export function logSnr({ alpha, sigma }) {
  return 2 * (Math.log(alpha) - Math.log(sigma));
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}
