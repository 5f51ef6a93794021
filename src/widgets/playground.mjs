// A thousand points walk from noise to data in the plane, with an exact network and every choice of
// the book, and with parts taken away.

import { element, open } from "./kit.mjs";
import { MIXTURES, densityField } from "./maths/mixtures.mjs";
import { N, freshSets, measure, noiseOf, plan, travel, truthAt } from "./maths/play.mjs";
import { SCHEDULES } from "./maths/schedules.mjs";
import { TARGETS } from "./maths/targets.mjs";
import { axes, canvas, dots, fresh, rgb } from "./paint.mjs";

const REACH = 3.3; // half the width of the window
const CELLS = 56;
const named = (table) => Object.entries(table).map(([key, { label }]) => [key, label]);

const SCORES = [
  ["whole", "whole"],
  ["half", "half of it"],
  ["none", "none"],
  ["flipped", "the wrong sign"],
];

const SAMPLERS = [
  ["ddim", "DDIM"],
  ["ancestral", "ancestral (DDPM)"],
  ["euler", "Euler, along the flow"],
  ["heun", "Heun"],
  ["multistep", "DPM-Solver++ (2M)"],
  ["maruyama", "Euler-Maruyama"],
];

// The breaks of the chapters, under their names there, and what each does.
const BREAKS = {
  wide: ["Start from the wrong noise", "The start is twice too wide."],
  early: ["Stop before the data is gone", "The walk starts from pure noise where 0.4 of the data should still be there."],
  last: ["Noise in the last step", "The last step adds as much noise as the step before it drew."],
  mean: ["Take the mean, forget the spread", "Every step takes the mean and draws nothing, so all points draw together."],
  edited: ["An edit between steps", "Each step forgets the estimates before it: the multistep method is DDIM again."],
  box: ["A small box", "The estimate is clipped to the box from −1 to 1, and the data reach beyond it."],
};
const SCORE_SAYS = {
  half: "Half of the score: the points are pulled too little toward denser places.",
  none: "Without the score nothing pulls the points toward denser places.",
  flipped: "With the sign turned the points run downhill, away from the data.",
};

const broke = (key, when) => ({ kind: "switch", key, label: BREAKS[key][0], value: false, broken: true, group: "Taken away", when });

const spec = {
  name: "playground",
  title: "A thousand points on their way from noise to data",
  controls: [
    { kind: "choice", key: "data", label: "Data", value: "clusters", options: named(MIXTURES), group: "The question" },
    { kind: "choice", key: "label", label: "Class", value: "all", options: [["all", "all"], ["first", "the first"], ["second", "the second"]], group: "The question" },
    { kind: "range", key: "guidance", label: "Guidance ω", min: -1, max: 8, step: 0.5, value: 0, group: "The question", when: ({ label }) => label !== "all" },
    { kind: "choice", key: "schedule", label: "Schedule", value: "rectified", options: named(SCHEDULES), group: "The question" },
    { kind: "choice", key: "sampler", label: "Sampler", value: "ddim", options: SAMPLERS, group: "The walk" },
    { kind: "range", key: "eta", label: "Fresh noise η", min: 0, max: 1, step: 0.1, value: 0, group: "The walk", when: ({ sampler }) => sampler === "ddim" },
    { kind: "range", key: "churn", label: "Churn η", min: 0, max: 1.5, step: 0.1, value: 1, group: "The walk", when: ({ sampler }) => sampler === "maruyama" },
    { kind: "range", key: "steps", label: "Steps", min: 1, max: 100, step: 1, value: 20, group: "The walk" },
    { kind: "choice", key: "grid", label: "Steps equal in", value: "time", options: [["time", "time"], ["log_snr", "log-SNR"], ["edm", "EDM's root"]], group: "The walk" },
    { kind: "seed", key: "seed", label: "Noise", value: 0, group: "The walk" },
    { kind: "choice", key: "target", label: "Asked for", value: "x_0", options: named(TARGETS), group: "The network" },
    { kind: "range", key: "error", label: "Its error", min: 0, max: 0.5, step: 0.05, value: 0, group: "The network" },
    { kind: "choice", key: "score", label: "The score", value: "whole", options: SCORES, broken: true, group: "Taken away" },
    broke("wide"),
    broke("early"),
    broke("last", ({ steps }) => steps > 1),
    broke("mean", ({ sampler }) => sampler === "ancestral"),
    broke("edited", ({ sampler }) => sampler === "multistep"),
    broke("box"),
  ],
  frames: ({ steps }) => steps + 1,
  frameName: "Time",
  frameText: ({ data, frame }) => `t = ${(data.times[frame] ?? 0).toFixed(2)}`,
  build(stage) {
    stage.classList.add("widget-pair");
    const panel = (title, label) => {
      const box = element("div", {}, element("p", {}, title));
      stage.append(box);
      return canvas(box, label, 1);
    };
    return {
      should: panel("As it should be", "Fresh data with the noise of this time"),
      made: panel("As the sampler makes it", "The sampler's points at this time"),
      field: Object.assign(document.createElement("canvas"), { width: CELLS, height: CELLS }),
    };
  },
  async compute(state, { signal }) {
    const walk = plan(state);
    const path = [];
    let since = performance.now();
    for (const x of travel(walk, noiseOf(state.seed))) {
      path.push(x);
      if (performance.now() - since < 12) continue;
      await new Promise((go) => setTimeout(go)); // the reader's next move comes first
      signal.throwIfAborted();
      since = performance.now();
    }
    return { path, ...walk, sets: freshSets(walk.truth, state.seed), known: new Map() };
  },
  draw({ parts, state, data, frame }) {
    const at = data.schedule.scales(data.times[frame]);
    field(parts.field, densityField(data.truth, at, CELLS, REACH));
    panel(parts.should, parts.field, truthAt(data, frame), "data");
    panel(parts.made, parts.field, data.path[frame], broken(state).length ? "broken" : "model");
  },
  numbers({ state, data, frame }) {
    const { far, floor } = distances(data, frame);
    const calls = state.sampler === "heun" ? 2 * state.steps - 1 : state.steps;
    return [
      { key: "distance", label: "distance to the data", value: far, text: short(far) },
      { key: "floor", label: "of fresh draws", value: floor, text: short(floor) },
      { key: "calls", label: "calls of the network", value: calls, text: String(calls) },
    ];
  },
  describe({ state, data, frame }) {
    const { far, floor } = distances(data, frame);
    const points = data.path[frame];
    let out = 0;
    for (let i = 0; i < points.length; i += 2) out += !(Math.max(Math.abs(points[i]), Math.abs(points[i + 1])) <= REACH);
    const said = [
      `The points are ${short(far)} from where they should be at this time (sliced Wasserstein distance); fresh draws are ${short(floor)} from each other.`,
      out > N / 50 ? `${Math.round((100 * out) / N)} % of them are outside of the picture.` : "",
      ...broken(state),
      state.target !== "x_0" && !state.error ? "A network without error says the same, whatever it is asked for." : "",
    ];
    return said.filter(Boolean).join(" ");
  },
};

/** What is taken away in a state, a sentence for each part. */
function broken(state) {
  const here = ({ key, when }) => state[key] === true && (!when || when(state));
  return [
    SCORE_SAYS[state.score],
    ...spec.controls.filter(here).map(({ key }) => BREAKS[key][1]),
  ].filter(Boolean);
}

function distances(data, frame) {
  if (!data.known.has(frame)) data.known.set(frame, measure(data, frame));
  return data.known.get(frame);
}

function short(value) {
  if (!Number.isFinite(value)) return "∞";
  if (value < 10) return value.toFixed(2);
  if (value < 10000) return value.toFixed(0);
  const power = Math.floor(Math.log10(value));
  return `${(value / 10 ** power).toFixed(0)} × 10${[...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
}

// Where data with the noise of this time lie: the denser, the more ink.
function field(target, density) {
  const context = target.getContext("2d");
  const picture = context.createImageData(CELLS, CELLS);
  const ink = rgb("data");
  const top = Math.max(...density);
  density.forEach((value, i) => picture.data.set([...ink, 110 * Math.sqrt(value / top)], 4 * i));
  context.putImageData(picture, 0, 0);
}

function panel(target, ground, points, name) {
  const paper = fresh(target);
  if (!paper) return;
  const { context, width, height } = paper;
  context.imageSmoothingQuality = "high";
  context.drawImage(ground, 0, 0, width, height);
  dots(context, axes(paper, [-REACH, REACH, -REACH, REACH]), points, name, width < 220 ? 1 : 1.4, 0.55);
}

export default (figure) => open(figure, spec);
