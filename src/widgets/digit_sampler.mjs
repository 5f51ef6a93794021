// Sixteen digits drawn by the model that the book trained: class, guidance, steps, sampler, seed.

import { holder } from "./holding.mjs";
import { open } from "./kit.mjs";
import { drawDigits, inRange, labels, MANY, N, outside } from "./maths/digits.mjs";
import { hits } from "./maths/lesions.mjs";
import { canvas, tiles } from "./paint.mjs";

const CLASSES = Array.from({ length: 10 }, (_, c) => [`${c}`, `${c}`]);
const SHEET = { size: 8, columns: 4, low: -1, high: 1 };

function specOf() {
  const networks = holder();
  let parts = null; // painted while the digits are drawn, too

  return {
    name: "digit_sampler",
    title: "Draw digits with the model of this book",
    controls: [
      { kind: "choice", key: "asked", label: "Class", value: MANY, options: [[MANY, "0 to 9 in turn"], ...CLASSES, ["none", "none"]] },
      { kind: "range", key: "guidance", label: "Guidance ω", min: -1, max: 8, step: 0.5, value: 0 },
      { kind: "range", key: "steps", label: "Steps", min: 1, max: 50, step: 1, value: 10 },
      { kind: "choice", key: "sampler", label: "Sampler", value: "heun", options: [["heun", "Heun"], ["euler", "Euler (DDIM)"], ["ancestral", "ancestral"]] },
      { kind: "seed", key: "seed", label: "Noise", value: 0 },
      { kind: "switch", key: "timeless", label: "Time hidden afterward", value: false, broken: true },
      { kind: "switch", key: "cut", label: "Skip connections cut afterward", value: false, broken: true },
    ],
    frames: (state, data) => data?.path.length ?? state.steps + 1,
    frameName: "Step",
    frameText: ({ data, frame }) => `t = ${data.path[frame]?.t.toFixed(2) ?? ""}`,
    build(stage) {
      parts = {
        noisy: canvas(stage, "What the sampler holds", 1),
        clean: canvas(stage, "The clean digits that the network expects", 1),
      };
      // Beside each other on a phone as well, so that the controls stay in sight.
      for (const sheet of Object.values(parts)) sheet.style.flexBasis = "7rem";
      return parts;
    },
    async compute(state, tools) {
      const name = state.cut ? "digits_cut" : "digits";
      const ask = async (who, feeds) => (await networks.run(who, feeds, tools)).output.data;
      await networks.load(name, tools);
      const start = performance.now();
      let calls = 0;
      const velocity = (feeds) => ask(name, feeds).finally(() => (calls += 1));
      const path = await drawDigits(state, velocity, (seen, k) => {
        if (k === 0) tools.progress(`Drawing in ${state.steps} steps.`);
        paint(parts, seen);
      });
      const seconds = (performance.now() - start) / 1000;
      const judged = state.asked === "none" ? null : await ask("judge", inRange(path.at(-1).x));
      return { path, calls, seconds, read: judged && hits(judged, labels(state.asked)) };
    },
    draw: ({ data, frame }) => paint(parts, data.path[frame]),
    numbers({ data: { path, calls, seconds, read }, frame }) {
      const share = outside(path[frame].x);
      return [
        ...(read === null ? [] : [{ key: "read", label: "read as asked", value: read, text: `${read} of ${N}` }]),
        { key: "outside", label: "pixels out of range", value: share, text: `${Math.round(100 * share)} %` },
        { key: "calls", label: "the network was asked", value: calls, text: `${calls} times` },
        { key: "seconds", label: "drawn in", value: seconds, text: `${seconds.toFixed(1)} s` },
      ];
    },
    describe,
    close: () => networks.release(),
  };
}

function paint(parts, { x, estimate }) {
  tiles(parts.noisy, x, { ...SHEET, name: "ink" });
  tiles(parts.clean, estimate, { ...SHEET, name: "model" });
}

function describe({ state: { asked, guidance, steps, timeless, cut }, data: { path, read }, frame }) {
  const { t } = path[frame];
  const what = { [MANY]: "the digits 0 to 9 in turn", none: "digits of no class" }[asked] ?? `${N} times the digit ${asked}`;
  const louder = guidance !== 0 && asked !== "none" ? ` with guidance ${guidance}` : "";
  return [
    t > 0 && `On the way, t = ${t.toFixed(2)}: left what the sampler holds, right what the network makes of it.`,
    t === 0 && `Asked for ${what}${louder}, in ${steps} steps.`,
    t === 0 && read !== null && `A classifier apart reads ${read} of ${N} as asked.`,
    timeless && "The time is hidden from a network that was trained with it.",
    cut && "The skip connections are cut in a network that was trained with them.",
  ].filter(Boolean).join(" ");
}

export default (figure) => open(figure, specOf());
