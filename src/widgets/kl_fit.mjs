// One Gaussian against two bells: both divergences, and a descent along either.

import { open } from "./kit.mjs";
import { costs, descend, gaussianLogProb, twoBells } from "./maths/fitting.mjs";
import { axes, canvas, color, fresh, line, words } from "./paint.mjs";

const WINDOW = [-9, 9, 0, 0.46];
const X = Float64Array.from({ length: 361 }, (_, i) => -9 + 0.05 * i);
const SYMBOL = { forward: "D(q ‖ p)", reverse: "D(p ‖ q)" };
const nats = (value) => value.toFixed(2);
const signed = (value) => value.toFixed(2).replace("-", "−");

const curve = (log) => Float64Array.from(
  { length: 2 * X.length }, (_, i) => (i % 2 ? Math.exp(log[(i - 1) / 2]) : X[i / 2]),
);

export default (figure) => open(figure, {
  name: "kl_fit",
  title: "Fit one bell p to two bells q, in either direction",
  controls: [
    {
      kind: "choice", key: "direction", label: "Descend on", value: "reverse",
      options: [["forward", "D(q ‖ p), forward"], ["reverse", "D(p ‖ q), reverse"]],
    },
    { kind: "range", key: "distance", label: "Bells at ±a", min: 0, max: 5, step: 0.25, value: 3 },
    {
      kind: "range", key: "mean", label: "Mean of p", min: -6, max: 6, step: 0.1, value: -1,
      show: signed,
    },
    { kind: "range", key: "std", label: "Width of p", min: 0.3, max: 5, step: 0.1, value: 1 },
    {
      kind: "range", key: "share", label: "Mass on the left", min: 0.1, max: 0.9, step: 0.05,
      value: 0.6, show: (value) => value.toFixed(2),
    },
  ],
  fromStart: true,
  frames: (state, data) => data?.path.length ?? 1,
  frameName: "step of the descent",

  build(stage, { change }) {
    const bells = canvas(stage, "The two bells and the model", 1.7);
    const course = canvas(stage, "Both divergences, step by step", 1.7);
    const put = (event) => {
      const { left, width } = bells.getBoundingClientRect();
      const at = WINDOW[0] + ((event.clientX - left) / width) * (WINDOW[1] - WINDOW[0]);
      change({ mean: Math.round(10 * Math.min(Math.max(at, -6), 6)) / 10 });
    };
    bells.style.cursor = "ew-resize";
    bells.addEventListener("pointerdown", (event) => {
      bells.setPointerCapture(event.pointerId);
      put(event);
    });
    bells.addEventListener("pointermove", (event) => {
      if (bells.hasPointerCapture(event.pointerId)) put(event);
    });
    return { bells, course };
  },

  async compute({ direction, distance, share, mean, std }) {
    const data = { distance, share };
    const path = descend(direction, { mean, std }, data);
    return { path, ...costs(path, data), q: curve(twoBells(X, distance, share)) };
  },

  draw({ parts, state, data, frame }) {
    drawBells(fresh(parts.bells), data, state, frame);
    drawCourse(fresh(parts.course), data, state.direction, frame);
  },

  numbers({ data, frame }) {
    const { mean, std } = data.path[frame];
    return [
      { key: "mean", label: "Mean of p", value: mean, text: signed(mean) },
      { key: "std", label: "Width of p", value: std, text: std.toFixed(2) },
      ...["forward", "reverse"].map((key) => (
        { key, label: SYMBOL[key], value: data[key][frame], text: `${nats(data[key][frame])} nats` }
      )),
    ];
  },

  describe({ state, data, frame }) {
    const stands = standing(data.path[frame], state);
    if (frame === 0) return `Before the descent on ${SYMBOL[state.direction]}, ${stands}.`;
    if (frame < data.path.length - 1) {
      return `At step ${frame} of the descent on ${SYMBOL[state.direction]}, ${stands}.`;
    }
    return `The descent on ${SYMBOL[state.direction]} has come to rest: ${stands}.`;
  },
});

function standing({ mean, std }, { distance }) {
  const reaches = (bell) => Math.abs(bell - mean) < 1.6 * std;
  if (distance < 1) return `p is ${std < 0.8 ? "narrower than the data" : "about as wide as the data"}`;
  if (reaches(-distance) && reaches(distance)) return "p covers both bells, and the valley between";
  if (reaches(-distance)) return "p covers the left bell and leaves the right one out";
  if (reaches(distance)) return "p covers the right bell and leaves the left one out";
  return "p covers neither bell";
}

function drawBells(ground, { q, path }, { distance }, frame) {
  if (!ground) return;
  const { context, width, height } = ground;
  const { mean, std } = path[frame];
  const [bottom, top] = [18, 6];
  const x = (value) => ((value - WINDOW[0]) / (WINDOW[1] - WINDOW[0])) * width;
  const y = (value) => height - bottom - (value / WINDOW[3]) * (height - bottom - top);
  context.fillStyle = color("data");
  context.globalAlpha = 0.25;
  context.beginPath();
  context.moveTo(0, y(0));
  for (let i = 0; i < q.length; i += 2) context.lineTo(x(q[i]), y(q[i + 1]));
  context.lineTo(width, y(0));
  context.fill();
  context.globalAlpha = 1;
  line(context, { x, y }, [WINDOW[0], 0, WINDOW[1], 0], "muted", 1);
  for (const at of [-5, 0, 5]) words(context, String(at).replace("-", "−"), x(at), height - 3, "muted", "center");
  if (frame > 0) {
    const begin = path[0];
    line(context, { x, y }, curve(gaussianLogProb(X, begin.mean, begin.std)), "faint", 1, [1, 3]);
  }
  line(context, { x, y }, curve(gaussianLogProb(X, mean, std)), "model", 2, [9, 3]);
  words(context, "q", x(-distance), y(0) - 6, "data", "center");
  const peak = Math.min(0.4 / std, WINDOW[3] - 0.05);
  words(context, "p", Math.min(x(mean) + 6, width - 12), y(peak) - 4, "model");
}

function drawCourse(ground, { path, forward, reverse }, direction, frame) {
  if (!ground) return;
  const { context, width, height } = ground;
  const other = direction === "forward" ? reverse : forward;
  const chosen = direction === "forward" ? forward : reverse;
  const top = Math.min(1.15 * Math.max(...chosen, ...other), 12); // a narrow start costs hundreds
  const area = { width: width - 34, height: height - 24 };
  const map = axes(area, [0, Math.max(path.length - 1, 1), 0, top]);
  const at = { x: (value) => 26 + map.x(value), y: (value) => 6 + map.y(value) };
  const pairs = (values) => values.flatMap((value, k) => [k, Math.min(value, top)]);
  line(context, at, [0, top, 0, 0, path.length - 1, 0], "muted", 1);
  for (const value of ticks(top)) words(context, String(value), 21, at.y(value) + 4, "muted", "right");
  words(context, "0", at.x(0), height - 3, "muted", "center");
  words(context, `step ${path.length - 1}`, at.x(path.length - 1), height - 3, "muted", "right");
  line(context, at, pairs(other), "muted", 1.2, [2, 3]);
  line(context, at, pairs(chosen), "model", 2, [9, 3]);
  const labels = [[chosen, "model", direction], [other, "muted", direction === "forward" ? "reverse" : "forward"]];
  for (const [values, name] of labels) {
    context.fillStyle = color(name);
    context.beginPath();
    context.arc(at.x(frame), at.y(Math.min(values[frame], top)), 3.5, 0, 2 * Math.PI);
    context.fill();
  }
  // A label stands above its line; where the lines are close, the lower one's stands below.
  labels.sort((a, b) => b[0].at(-1) - a[0].at(-1));
  const ends = labels.map(([values]) => at.y(Math.min(values.at(-1), top)));
  labels.forEach(([, name, key], i) => {
    const below = i === 1 && ends[1] - ends[0] < 22;
    const place = below ? Math.min(ends[i] + 15, at.y(0) - 4) : Math.max(ends[i] - 8, 12);
    words(context, SYMBOL[key], at.x(path.length - 1), place, name, "right");
  });
}

function ticks(top) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((size) => top / size <= 5) ?? 100;
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => Number((i * step).toFixed(2)));
}
