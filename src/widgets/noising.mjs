// Ten real digits on their way to noise: what a schedule keeps of them, and how much it adds.

import levels from "./data/digits.json";
import { open } from "./kit.mjs";
import { chain, perturb } from "./maths/forward.mjs";
import { normals } from "./maths/random.mjs";
import { SCHEDULES } from "./maths/schedules.mjs";
import { axes, canvas, dots, fresh, line, tiles, words } from "./paint.mjs";

const STEPS = 40;
const DIGITS = Float64Array.from(levels.flatMap((image) => [...image].map((g) => parseInt(g, 17) / 8 - 1)));

const spec = {
  name: "noising",
  title: "Ten digits on their way to noise",
  controls: [
    { kind: "choice", key: "schedule", label: "Schedule", value: "cosine", options: Object.entries(SCHEDULES).map(([key, { label }]) => [key, label]) },
    { kind: "seed", key: "seed", label: "Noise", value: 0 },
    { kind: "switch", key: "early", label: "Stop before the data is gone", value: false, broken: true },
    { kind: "switch", key: "unshrunk", label: "Add noise, do not shrink", value: false, broken: true },
  ],
  frames: () => STEPS + 1,
  frameName: "Time",
  frameText: ({ data, frame }) => `t = ${data.steps[frame].t.toFixed(2)}`,
  start: 16,
  build: (stage) => ({
    digits: canvas(stage, "Ten digits, noised", 45 / 18),
    curves: canvas(stage, "Signal and noise over time", 45 / 18),
  }),
  compute: ({ schedule, seed, early, unshrunk }) => ({
    steps: chain(schedule, STEPS, { early, unshrunk }),
    eps: normals(DIGITS.length, seed),
  }),
  draw({ parts, data, frame }) {
    const noisy = perturb(DIGITS, data.eps, data.steps[frame]);
    tiles(parts.digits, noisy, { size: 8, columns: 5, low: -1.6, high: 1.6, name: "ink" });
    curves(parts.curves, data.steps, frame);
  },
  numbers({ data, frame }) {
    const { alpha, sigma, logSnr } = data.steps[frame];
    const size = rms(perturb(DIGITS, data.eps, data.steps[frame]));
    return [
      { key: "alpha", label: "signal α", value: alpha, text: alpha.toFixed(3) },
      { key: "sigma", label: "noise σ", value: sigma, text: sigma.toFixed(3) },
      { key: "log_snr", label: "log-SNR", value: logSnr, text: Number.isFinite(logSnr) ? logSnr.toFixed(2) : logSnr > 0 ? "∞" : "−∞" },
      { key: "rms", label: "size of pixels", value: size, text: size.toFixed(2) },
    ];
  },
  describe({ state, data, frame }) {
    const { alpha, sigma } = data.steps[frame];
    const seen = alpha > 2 * sigma ? "The digits can be read." : alpha > sigma / 2 ? "The digits show through the noise." : alpha > 0 ? "The digits are all but lost." : "Nothing of the digits is left.";
    const last = frame === STEPS;
    const broken = state.unshrunk
      ? ` Without the shrinking the noise grows beyond the pixels' range, and the digits are never gone: the end is no standard normal.`
      : state.early && last ? ` This is the end, and 0.40 of the signal is still there: a sampler that starts from pure noise starts elsewhere.` : "";
    return seen + broken;
  },
};

function curves(target, steps, frame) {
  const paper = fresh(target);
  if (!paper) return;
  const top = Math.max(1, ...steps.map(({ sigma }) => sigma));
  const map = axes(paper, [0, 1, 0, 1.12 * top], 18);
  const over = (key) => steps.flatMap((step) => [step.t, step[key]]);
  const [at, end] = [steps[frame], steps.at(-1)];
  line(paper.context, map, [0, 0, 1, 0], "rule", 1);
  line(paper.context, map, [at.t, 0, at.t, 1.12 * top], "faint", 1);
  line(paper.context, map, over("alpha"), "data", 2);
  line(paper.context, map, over("sigma"), "noise", 2, [6, 3]);
  dots(paper.context, map, [at.t, at.alpha], "data", 4, 1);
  dots(paper.context, map, [at.t, at.sigma], "noise", 4, 1);
  words(paper.context, "signal α", map.x(0) + 4, map.y(steps[0].alpha) - 7, "data");
  words(paper.context, "noise σ", map.x(end.t) - 4, map.y(end.sigma) - 7, "noise", "right");
  words(paper.context, "t", map.x(1), map.y(0) + 15, "muted", "right");
  words(paper.context, "0", map.x(0), map.y(0) + 15, "muted");
}

function rms(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

export default (figure) => open(figure, spec);
