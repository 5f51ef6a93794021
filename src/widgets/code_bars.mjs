// Two distributions to drag, data and belief, and what the belief costs.

import { measure, slider, stack, table } from "./bars.mjs";
import { element, open } from "./kit.mjs";
import {
  crossEntropy, entropy, huffmanCode, jensenShannon, klDivergence, moved, portions,
} from "./maths/information.mjs";

const SYMBOLS = ["a", "b", "c", "d"];
const UNITS = 200; // shares are held in half percents, so that they always sum to one
const SIDES = { q: ["data", [100, 50, 25, 25]], p: ["model", [50, 50, 50, 50]] };

const keys = (side) => SYMBOLS.map((symbol) => `${side}_${symbol}`);
const units = (state, side) => keys(side).map((key) => state[key]);
const entries = (side, values) => Object.fromEntries(keys(side).map((key, i) => [key, values[i]]));
const bits = (nats) => nats / Math.LN2;
const said = (value) => (Number.isFinite(value) ? value.toFixed(2) : "∞");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const controls = Object.entries(SIDES).flatMap(([side, [, values]]) =>
  keys(side).map((key, i) => (
    { kind: "range", key, label: key, min: 0, max: UNITS, step: 1, value: values[i], own: true }
  )),
);

export default (figure) => open(figure, {
  name: "code_bars",
  title: "Drag the bars: what happens (q) and what is believed (p)",
  controls,

  build(stage, { state, change }) {
    // An address may name shares of any sum.
    for (const side of ["q", "p"]) {
      Object.assign(state, entries(side, portions(units(state, side), UNITS)));
    }
    // While one bar moves, the others keep the proportions they had before it was touched.
    let grip = {};
    const drag = (side, i, value) => {
      const now = units(state, side);
      if (grip.side !== side || grip.i !== i || String(grip.after) !== String(now)) {
        grip = { side, i, before: now };
      }
      grip.after = moved(grip.before, i, value);
      change(entries(side, grip.after));
    };
    const rows = SYMBOLS.flatMap((symbol, i) => Object.entries(SIDES).map(([side, [name]]) => {
      const bar = slider({
        id: `code_bars-${side}_${symbol}`,
        label: `${side === "q" ? "Data q" : "Belief p"}, share of ${symbol}`,
        max: UNITS, name, moved: (value) => drag(side, i, value),
      });
      const cells = ["share", "surprise", "word"].map((kind) => element("td", { class: kind }));
      return { side, i, bar, cells };
    }));
    const heads = [["share", "share"], ["surprise", "bits"], ["word", "word"]].map(
      ([kind, text]) => element("th", { class: kind }, text),
    );
    const act = (text, values) => {
      const made = element("button", { type: "button" }, text);
      made.addEventListener("click", () => change(values()));
      return made;
    };
    const costs = {};
    const cost = (key, symbol, text) => {
      costs[key] = { bar: stack(), number: element("td", { class: "share" }) };
      const head = element("th", {}, element("em", {}, symbol), ` ${text}`);
      return [head, costs[key].bar.row, costs[key].number];
    };
    stage.append(
      table("bars", "Shares of four symbols", ["", "", "", ...heads], rows.map(
        ({ side, i, bar, cells }) => [
          side === "q" ? element("th", { class: "symbol" }, SYMBOLS[i]) : "",
          element("td", { class: `side ${side}` }, side), bar.input, ...cells,
        ],
      )),
      element("p", { class: "widget-acts" },
        act("Believe the truth", () => entries("p", units(state, "q"))),
        act("Exchange q and p", () => (
          { ...entries("q", units(state, "p")), ...entries("p", units(state, "q")) }
        )),
        act("Hold d impossible", () => entries("p", moved(units(state, "p"), 3, 0))),
      ),
      table("costs", "What a symbol costs on average, in bits", null, [
        cost("entropy", "H(q)", "entropy"),
        cost("cross", "H(q, p)", "cross-entropy"),
        cost("words", "ℓ", "words made for p"),
        cost("forward", "D(q ‖ p)", "the excess"),
        cost("reverse", "D(p ‖ q)", "the other direction"),
        cost("middle", "JS(q, p)", "Jensen-Shannon"),
      ]),
    );
    return { rows, costs };
  },

  async compute(state) {
    const [q, p] = ["q", "p"].map((side) => units(state, side).map((value) => value / UNITS));
    const words = { q: huffmanCode(q), p: huffmanCode(p) };
    const lost = SYMBOLS.filter((_, i) => q[i] > 0 && p[i] === 0);
    return {
      q, p, words, lost,
      entropy: bits(entropy(q)),
      cross: bits(crossEntropy(q, p)),
      words_cost: lost.length ? Infinity : q.reduce(
        (total, share, i) => total + (share > 0 ? share * words.p[i].length : 0), 0,
      ),
      forward: bits(klDivergence(q, p)),
      reverse: bits(klDivergence(p, q)),
      middle: bits(jensenShannon(q, p)),
    };
  },

  draw({ parts, data }) {
    for (const { side, i, bar, cells } of parts.rows) {
      const share = data[side][i];
      const surprise = share > 0 ? -Math.log2(share) : Infinity;
      const hurts = side === "p" && data.lost.includes(SYMBOLS[i]);
      const [shown, cost, word] = cells;
      bar.show(Math.round(share * UNITS), `${percent(share)}, surprise ${
        share > 0 ? `${said(surprise)} bits` : "infinite"}`);
      shown.textContent = percent(share);
      measure(cost, `surprise_${side}_${SYMBOLS[i]}`, surprise, said(surprise));
      word.textContent = data.words[side][i] ?? "none";
      for (const cell of [cost, word]) cell.classList.toggle("hurts", hurts);
    }
    const { entropy: floor, cross, words_cost: words, forward, reverse, middle } = data;
    const top = Math.max(3, ...[cross, words, reverse].filter(Number.isFinite));
    const show = (key, value, ...segments) => {
      const shares = Number.isFinite(value) ? segments : [[1, "broken"]];
      parts.costs[key].bar.show(shares.map(([size, name]) => (
        [Number.isFinite(value) ? size / top : 1, name]
      )));
      parts.costs[key].bar.row.classList.toggle("endless", !Number.isFinite(value));
      measure(parts.costs[key].number, key, value, said(value));
    };
    show("entropy", floor, [floor, "data"]);
    show("cross", cross, [floor, "data"], [forward, "broken"]);
    show("words", words, [words, "model"]);
    show("forward", forward, [forward, "broken"]);
    show("reverse", reverse, [reverse, "muted"]);
    show("middle", middle, [middle, "muted"]);
  },

  describe({ data }) {
    const { entropy: floor, cross, words_cost: words, forward, reverse, middle, lost } = data;
    const both = `The other direction ${Number.isFinite(reverse) ? `costs ${said(reverse)} bits`
      : "is infinite, since p expects what q never brings"}. Jensen-Shannon is ${said(middle)}.`;
    if (lost.length) {
      const share = lost.reduce((total, symbol) => total + data.q[SYMBOLS.indexOf(symbol)], 0);
      return `p calls ${lost.join(" and ")} impossible, and it comes ${percent(share)} of the time: `
        + `there is no word for it, and the cost is infinite. ${both}`;
    }
    if (forward < 1e-9) {
      return `The belief is the truth: a symbol costs ${said(floor)} bits, the entropy, and no belief `
        + `pays less. Huffman's words take ${said(words)}.`;
    }
    return `The data have an entropy of ${said(floor)} bits. Under the belief p a symbol costs ${said(cross)}: `
      + `${said(forward)} more, which is D(q ‖ p). Words made for p take ${said(words)}. ${both}`;
  },
});
