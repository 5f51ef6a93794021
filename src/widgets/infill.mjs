// A text with gaps, and the network of the text chapter that fills them in any order.

import chain from "./data/grammar.json";
import { holder } from "./holding.mjs";
import { element, open } from "./kit.mjs";
import { conditional, slips } from "./maths/grammar.mjs";
import { cost, fill } from "./maths/infill.mjs";
import { axes, canvas, color, fresh, line, words } from "./paint.mjs";
import { clamp } from "./state.mjs";

const PLACES = 48;
const GAP = "_";
const ALPHABET = chain.characters;
const BLANK = ALPHABET.length;
const NAMES = { " ": "space", ".": "full stop", [GAP]: "gap" };
const ORDERS = [["random", "random"], ["certain", "most certain first"], ["left", "left to right"]];

const networks = holder();
const tokensOf = (text) => Array.from({ length: PLACES }, (_, i) => (i < text.length && text[i] !== GAP ? ALPHABET.indexOf(text[i]) : BLANK));
const textOf = (tokens, length) => tokens.slice(0, length).map((token) => ALPHABET[token] ?? GAP).join("");
const shown = (letter) => (letter === " " ? "\u00a0" : letter);

const spec = {
  name: "infill",
  title: "Fill the gaps of a text",
  controls: [
    { kind: "text", key: "text", label: "Text", value: "a dog that sees the birds _____ the cat. some do", letters: ALPHABET + GAP, length: PLACES, own: true },
    { kind: "range", key: "place", label: "Place", min: 0, max: PLACES - 1, step: 1, value: 26, own: true },
    { kind: "range", key: "steps", label: "Steps", min: 1, max: PLACES, step: 1, value: PLACES, show: (n) => (n === PLACES ? "all" : `${n}`) },
    { kind: "choice", key: "order", label: "Order", value: "random", options: ORDERS },
    { kind: "seed", key: "seed", label: "Draws", value: 0 },
    { kind: "switch", key: "blind", label: "No context", value: false, broken: true },
    { kind: "switch", key: "near", label: "Places without distances", value: false, broken: true },
  ],
  frames: (state, data) => data?.states.length ?? 1,
  frameName: "Step",
  build,
  async compute(state, { signal, progress, data }) {
    const { text, order, seed, blind } = state;
    const key = JSON.stringify({ ...state, place: 0 });
    if (data?.key === key) return data; // another place is looked at, and nothing else
    const tokens = tokensOf(text);
    const gaps = [...text].filter((letter) => letter === GAP).length;
    const steps = Math.min(state.steps, gaps);
    const name = state.near ? "text_without_distances" : "text_masked";
    const ask = async (now) => (await networks.run(name, { tokens: { data: now, dims: [1, PLACES] } }, { signal, progress })).output.data;
    const found = await fill(ask, tokens, { length: text.length, blank: BLANK, steps, order, seed, blind });
    const end = found.states.at(-1).slice(0, text.length);
    return { ...found, key, steps, gaps, length: text.length, wrong: slips(chain, end), bits: cost(found, BLANK) };
  },
  draw({ parts, state, data, frame }) {
    const place = clamp(state.place, 0, Math.max(0, data.length - 1));
    if (parts.field.value !== state.text) parts.field.value = state.text;
    cells(parts, data, frame, place);
    guesses(parts, data, frame, place, state);
  },
  numbers({ data }) {
    const wrong = data.wrong.filter(Boolean).length;
    return [
      { key: "asked", label: "the network was asked", value: data.steps, text: `${data.steps} times` },
      { key: "bits", label: "bits it paid", value: data.bits, text: data.bits.toFixed(1) },
      { key: "slips", label: "slips", value: wrong, text: `${wrong}` },
    ];
  },
  describe({ state, data, frame }) {
    const text = textOf(data.states[frame], data.length);
    if (!data.gaps) return "There is no gap: click a letter, or write _ into the text.";
    const left = [...text].filter((letter) => letter === GAP).length;
    const way = ORDERS.find(([value]) => value === state.order)[1];
    if (left) return `After ${frame} of ${data.steps} steps ${left} of ${data.gaps} gaps are left: “${text}”`;
    const at = data.wrong.indexOf(true);
    const judged = at < 0 ? "The grammar allows it." : `By the grammar the text stops being possible at place ${at + 1}.`;
    const broken = [state.blind && " The network saw blanks only.", state.near && " This network never knew how far apart places are."].filter(Boolean).join("");
    return `Filled in ${data.steps} ${data.steps === 1 ? "step" : "steps"}, ${way}: “${text}” ${judged}${broken}`;
  },
  close: () => networks.release(),
};

// ---- the picture ----

function build(stage, { state, change }) {
  const box = element("div", { class: "widget-text" });
  const field = element("input", { id: "infill-text", type: "text", maxlength: PLACES, autocapitalize: "off", autocomplete: "off", spellcheck: "false" });
  field.value = state.text;
  const row = element("div", { class: "widget-cells", role: "group", "aria-label": "Places of the text" });
  const buttons = Array.from({ length: PLACES }, (_, i) => element("button", { type: "button", "data-place": i }));
  row.append(...buttons);
  box.append(
    element("label", { for: field.id }, "Text, with _ for a gap"), field, row,
    element("p", { class: "widget-caption" }, `Click a letter to hide it, a gap to see what could stand there. It knows ${ALPHABET.replace(/[ .]/g, "")}, the space and the full stop.`),
  );
  const side = element("div", { class: "widget-guesses" });
  const title = element("p", { class: "widget-caption" });
  side.append(title);
  const bars = canvas(side, "Probabilities of the characters at one place", 3.2);
  stage.append(box, side);

  const write = (at, letter) => {
    const text = [...state.text];
    text[at] = letter;
    change({ text: text.join(""), place: at });
  };
  field.addEventListener("input", () => {
    const typed = [...field.value.toLowerCase()].filter((letter) => letter === GAP || ALPHABET.includes(letter)).join("");
    const caret = field.selectionStart - (field.value.length - typed.length);
    if (field.value !== typed) {
      field.value = typed;
      field.setSelectionRange(caret, caret);
    }
    change({ text: typed });
  });
  row.addEventListener("click", ({ target }) => {
    const at = buttons.indexOf(target.closest("button"));
    if (at < 0) return;
    if (state.text[at] === GAP) change({ place: at });
    else write(at, GAP);
  });
  // One stop for the tab key; within it the arrows lead, and a letter is written where one stands.
  row.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: state.text.length - 1 }[event.key];
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (to !== undefined) {
      const next = clamp(to, 0, Math.max(0, state.text.length - 1));
      change({ place: next });
      buttons[next].focus();
    } else if (["Backspace", "Delete", GAP].includes(event.key)) write(at, GAP);
    else if (event.key.length === 1 && event.key !== " " && ALPHABET.includes(event.key.toLowerCase())) write(at, event.key.toLowerCase());
    else return;
    event.preventDefault();
  });
  return { field, buttons, title, bars };
}

function cells({ buttons }, { states, turn, wrong, length }, frame, place) {
  buttons.forEach((button, i) => {
    const letter = ALPHABET[states[frame][i]] ?? GAP;
    const filled = turn[i] > 0 && turn[i] <= frame;
    const slip = frame === states.length - 1 && Boolean(wrong[i]);
    button.hidden = i >= length;
    button.textContent = letter === GAP ? "" : shown(letter);
    button.tabIndex = i === place ? 0 : -1;
    button.className = [letter === GAP && "is-gap", filled && "is-filled", slip && "is-slip", i === place && "is-seen"].filter(Boolean).join(" ");
    const notes = [NAMES[letter] ?? letter, filled && "filled in", slip && "a slip"].filter(Boolean).join(", ");
    button.setAttribute("aria-label", `place ${i + 1}: ${notes}`);
  });
}

/** The question that was asked of a place, as seen from a frame: the state before it, and the answer. */
function question({ states, guesses: all, turn }, frame, place) {
  const step = turn[place] && turn[place] <= frame ? turn[place] - 1 : Math.min(frame, all.length - 1);
  return turn[place] ? { tokens: states[step], p: all[step].subarray(place * BLANK, (place + 1) * BLANK) } : null;
}

function guesses({ title, bars }, data, frame, place, state) {
  const asked = question(data, frame, place);
  title.textContent = asked ? `Place ${place + 1}: the network (bars) and the grammar's exact guesses (lines)` : `Place ${place + 1} is given: choose a gap to see what could stand there`;
  const paper = fresh(bars);
  if (!paper) return;
  const { context, width, height } = paper;
  const map = axes({ width, height: height - 18 }, [0, BLANK, 0, 1.02]);
  line(context, map, [0, 0, BLANK, 0], "rule", 1);
  const exact = asked && conditional(chain, asked.tokens).subarray(place * BLANK, (place + 1) * BLANK);
  const role = state.blind || state.near ? "broken" : "model";
  for (let k = 0; k < BLANK; k += 1) {
    words(context, ALPHABET[k] === " " ? "␣" : ALPHABET[k], map.x(k + 0.5), height - 4, "muted", "center");
    if (!asked) continue;
    context.fillStyle = color(role);
    context.fillRect(map.x(k + 0.14), map.y(asked.p[k]), map.x(0.72), map.y(0) - map.y(asked.p[k]));
    const truth = Math.exp(exact[k]);
    if (truth > 1e-3) line(context, map, [k, truth, k + 1, truth], "data", 2.5);
  }
  const top = asked ? asked.p.indexOf(Math.max(...asked.p)) : -1;
  const best = top < 0 ? "" : `: most likely ${NAMES[ALPHABET[top]] ?? ALPHABET[top]}, ${Math.round(100 * asked.p[top])} %`;
  bars.setAttribute("aria-label", `Probabilities of the characters at place ${place + 1}${best}`);
}

export default (figure) => open(figure, spec);
