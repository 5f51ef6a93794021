// The digit model with a switch at each part: cut it, at all noise levels or at some, and see.

import measured from "./data/lesions.json";
import { holder } from "./holding.mjs";
import { element, open } from "./kit.mjs";
import { CLASSES, draw, feeds, hits, lossAt, N, PARTS } from "./maths/lesions.mjs";
import { normals } from "./maths/random.mjs";
import { axes, canvas, dots, fresh, line, tiles, words } from "./paint.mjs";

const STEPS = 20;
const N_IMAGES = 150; // as many as the chapter measures on
const WHOLE = { parts: [], by: "mean", from: 0, to: 1 };
const SHEET = { size: 8, columns: 4, low: -1, high: 1 };
const TIMES = measured.times;
const keyOf = (part) => part.replace(", ", "_");
const shares = (t) => t.toFixed(2);

const networks = holder();
let whole = null; // for the last seed: what the network draws that lacks nothing
const lost = new Map(); // losses that were measured, by parts, what is in their place, and time
let asked = null; // the test digits, their noise, and the whole network's losses on them

const spec = {
  name: "lesion_board",
  title: "Switch parts of the network off",
  controls: [
    ...PARTS.map((part) => ({ kind: "switch", key: keyOf(part), label: part, value: part === "skip, fine", own: true })),
    { kind: "choice", key: "by", label: "In its place", value: "mean", options: [["mean", "its mean"], ["zero", "zero"]] },
    { kind: "seed", key: "seed", label: "Noise", value: 0 },
    { kind: "range", key: "from", label: "Cut from t =", min: 0, max: 1, step: 0.05, value: 0, show: shares },
    { kind: "range", key: "to", label: "to t =", min: 0, max: 1, step: 0.05, value: 1, show: shares },
  ],
  frames: () => STEPS + 1,
  frameName: "Step",
  frameText: ({ data, frame }) => `t = ${data.cut[frame].t.toFixed(2)}`,
  build,
  async compute(state, tools) {
    const { progress } = tools;
    const cuts = { parts: PARTS.filter((part) => state[keyOf(part)]), by: state.by, from: Math.min(state.from, state.to), to: Math.max(state.from, state.to) };
    const network = (given) => networks.run("lesion_board", given, tools);
    const judge = async (x) => hits((await networks.run("judge", { images: { data: x, dims: [N, 1, 8, 8] } }, tools)).output.data, CLASSES);
    if (whole?.seed !== state.seed) {
      const path = await drawn(network, WHOLE, state, tools, "the whole network");
      whole = { seed: state.seed, path, hits: await judge(path.at(-1).x) };
    }
    const before = whole;
    const start = performance.now();
    const cut = cuts.parts.length ? await drawn(network, cuts, state, tools, "the lesioned one") : before.path;
    const seconds = (performance.now() - start) / 1000;
    progress("Measuring the loss on test digits.");
    asked ??= await digitsOf(network);
    const losses = [];
    for (const [k, t] of TIMES.entries()) {
      const key = `${cuts.parts.join(";")} ${cuts.by} ${t}`;
      const hit = cuts.parts.length && t >= cuts.from && t <= cuts.to;
      if (hit && !lost.has(key)) lost.set(key, await lossAt(network, cuts, t, asked, asked.eps));
      losses.push(hit ? lost.get(key) : asked.losses[k]);
    }
    const factors = losses.map((loss, k) => loss / asked.losses[k]);
    return { cuts, cut, whole: before, factors, hits: await judge(cut.at(-1).x), seconds };
  },
  draw({ parts, state, data, frame }) {
    for (const [part, button] of parts.switches) button.setAttribute("aria-pressed", state[keyOf(part)]);
    tiles(parts.whole, data.whole.path[frame].x, { ...SHEET, name: "model" });
    tiles(parts.cut, data.cut[frame].x, { ...SHEET, name: data.cuts.parts.length ? "broken" : "model" });
    curve(parts.curve, data);
  },
  numbers({ data: { factors, hits: read, whole: { hits: before }, seconds } }) {
    return [
      ...[0, 4, 8].map((k) => ({ key: `factor${k}`, label: `loss at t = ${TIMES[k]}`, value: factors[k], text: `× ${factors[k].toFixed(2)}` })),
      { key: "read", label: "digits read as asked", value: read, text: `${read} of ${N}, whole ${before}` },
      { key: "seconds", label: "drawn in", value: seconds, text: `${seconds.toFixed(1)} s` },
    ];
  },
  describe({ data: { cuts, factors, hits: read } }) {
    if (!cuts.parts.length) return "Nothing is cut. Switch a part off on the board.";
    const what = cuts.parts.join("; ");
    const when = cuts.from > 0 || cuts.to < 1 ? ` for t from ${shares(cuts.from)} to ${shares(cuts.to)}` : " at all noise levels";
    const most = factors.indexOf(Math.max(...factors));
    const by = cuts.by === "mean" ? "held at the mean" : "silenced to zero";
    return `Off, ${by}${when}: ${what}. The loss on ${N_IMAGES} test digits rises most at t = ${TIMES[most]}, to ${factors[most].toFixed(2)} times the whole network's. A classifier reads ${read} of ${N} digits as the class that was asked for.`;
  },
  close: () => networks.release(),
};

async function drawn(network, cuts, { seed }, { signal, progress }, what) {
  progress(`Drawing ${N} digits with ${what}.`);
  return draw(network, cuts, { steps: STEPS, seed }, () => signal.throwIfAborted());
}

/** The chapter's test digits, which the file of the network carries, with noise, and their losses. */
async function digitsOf(network) {
  const rows = Array.from({ length: N_IMAGES }, (_, i) => i);
  const given = feeds(new Float32Array(64 * N_IMAGES), 0.5, new Array(N_IMAGES).fill(0), WHOLE);
  const found = await network({ ...given, row: { data: rows, dims: [N_IMAGES] } });
  const digits = { pixels: found.digit.data, labels: Array.from(found.class.data, Number), eps: normals(64 * N_IMAGES, 1) };
  const losses = [];
  for (const t of TIMES) losses.push(await lossAt(network, WHOLE, t, digits, digits.eps));
  return { ...digits, losses };
}

// ---- the picture ----

function build(stage, { state, change }) {
  const board = element("div", { class: "widget-board", role: "group", "aria-label": "Parts of the network; pressed is switched off" });
  const switches = PARTS.map((part) => {
    const button = element("button", { type: "button", "data-part": keyOf(part), "aria-pressed": state[keyOf(part)] }, part);
    button.addEventListener("click", () => {
      change({ [keyOf(part)]: !state[keyOf(part)] });
      // At once: what it does to the digits takes seconds.
      button.setAttribute("aria-pressed", state[keyOf(part)]);
    });
    return [part, button];
  });
  board.append(...switches.map(([, button]) => button));
  const two = element("div", { class: "widget-two" });
  stage.append(board, two);
  const captioned = (parent, text, label, ratio) => {
    const box = element("div", {}, element("p", { class: "widget-caption" }, text));
    parent.append(box);
    return canvas(box, label, ratio);
  };
  const side = element("div", { class: "widget-side" });
  stage.append(side);
  return {
    switches,
    whole: captioned(two, "whole", "Digits of the whole network", 1),
    cut: captioned(two, "with parts off", "Digits of the lesioned network, from the same noise", 1),
    curve: captioned(side, "Loss with parts off, as a multiple of the whole network's, over the time t", "Loss over time", 1.75),
  };
}

function curve(target, { cuts, factors }) {
  const paper = fresh(target);
  if (!paper) return;
  const { context, width, height } = paper;
  const known = cuts.parts.length === 1 && cuts.by === "mean" ? measured.factors[cuts.parts[0]] : null;
  const top = Math.log2(Math.max(2, ...factors, ...(known ?? []))) * 1.15;
  const bottom = Math.min(-0.1, Math.log2(Math.min(...factors)));
  const map = axes({ width, height: height - 20 }, [-0.06, 1.02, bottom, top], 12);
  for (let k = 0; k <= top; k += top > 5 ? 2 : 1) {
    line(context, map, [0, k, 1, k], k ? "rule" : "muted", 1);
    words(context, 2 ** k, map.x(0) - 6, map.y(k) + 4, "muted", "right");
  }
  for (const t of [0, 0.5, 1]) words(context, t, map.x(t), height - 6, "muted", "center");
  const at = (values) => values.flatMap((value, k) => [TIMES[k], Math.log2(value)]);
  if (known) {
    dots(context, map, at(known), "ink", 5.5, 0.35);
    words(context, "gray: measured in the chapter", map.x(1), map.y(top) + 10, "muted", "right");
  }
  line(context, map, at(factors), "broken", 2);
  dots(context, map, at(factors), "broken", 3, 1);
}

export default (figure) => open(figure, spec);
