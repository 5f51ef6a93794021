// Sixteen digits drawn by the model that the book trained: class, guidance, steps, sampler, seed.

import { open } from "./kit.mjs";
import { drawDigits, MANY, N, outside } from "./maths/digits.mjs";
import { models } from "./models.mjs";
import { canvas, tiles } from "./paint.mjs";

function paint(parts, { x, estimate }) {
  const sheet = { size: 8, columns: 4, low: -1, high: 1 };
  tiles(parts.noisy, x, { ...sheet, name: "ink" });
  tiles(parts.clean, estimate, { ...sheet, name: "model" });
}

function describe({ state, data, frame }) {
  const { asked, guidance } = state;
  const { t } = data.path[frame];
  const what = { [MANY]: "the digits 0 to 9 in turn", none: "digits of no class" }[asked] ?? `${N} times the digit ${asked}`;
  const louder = guidance !== 0 && asked !== "none" ? ` with guidance ${guidance}` : "";
  return [
    t > 0 && `On the way, t = ${t.toFixed(2)}: left what the sampler holds, right what the network makes of it.`,
    t === 0 && `Asked for ${what}${louder}, in ${state.steps} steps.`,
    state.timeless && "The time is hidden from a network that was trained with it.",
    state.cut && "The skip connections are cut in a network that was trained with them.",
  ].filter(Boolean).join(" ");
}

function specOf() {
  let parts = null;
  const loaded = new Set();

  async function networkOf(name, { signal, progress }) {
    if (!loaded.has(name)) {
      let said = 0;
      await models.load(name, ({ loaded: n, total }) => {
        const quarter = Math.floor((4 * n) / total);
        if (quarter > said) progress(`Loading the network: ${(total / 1e6).toFixed(1)} MB, ${25 * (said = quarter)} % there.`);
      }, signal);
      loaded.add(name);
    }
    return async (feeds) => (await models.run(name, feeds, signal)).output.data;
  }

  return {
    name: "digit_sampler",
    title: "Draw digits with the model of this book",
    controls: [
      { kind: "choice", key: "asked", label: "Class", value: MANY, options: [[MANY, "0 to 9 in turn"], ...Array.from({ length: 10 }, (_, c) => [`${c}`, `${c}`]), ["none", "none"]] },
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
      const network = await networkOf(state.cut ? "digits_cut" : "digits", tools);
      const start = performance.now();
      let calls = 0;
      const counted = (feeds) => network(feeds).finally(() => (calls += 1));
      const path = await drawDigits(state, counted, (seen, k) => {
        if (tools.signal.aborted) throw tools.signal.reason;
        paint(parts, seen);
        if (k === 0) tools.progress(`Drawing in ${state.steps} steps.`);
      });
      return { path, calls, seconds: (performance.now() - start) / 1000 };
    },
    draw: ({ parts: painted, data, frame }) => paint(painted, data.path[frame]),
    numbers({ data, frame }) {
      const share = outside(data.path[frame].x);
      return [
        { key: "outside", label: "pixels out of range", value: share, text: `${Math.round(100 * share)} %` },
        { key: "calls", label: "the network was asked", value: data.calls, text: `${data.calls} times` },
        { key: "seconds", label: "drawn in", value: data.seconds, text: `${data.seconds.toFixed(1)} s` },
      ];
    },
    describe,
    close: () => loaded.forEach((name) => models.release(name)),
  };
}

export default (figure) => open(figure, specOf());
