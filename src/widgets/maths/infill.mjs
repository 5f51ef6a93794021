// Filling in hidden characters, some at a time: `fill` of fromnoise.masked_diffusion, step by step.

import { uniform } from "./random.mjs";

/**
 * Fill in the blanks of the first `length` tokens.
 *
 * `ask(tokens)` answers with one row of scores per place. All places up to tokens.length are shown
 * to it, those behind `length` as blanks that stay blank. `order` says which places come first:
 * "random" ones, the "certain" ones (where the largest probability is largest), or from the "left".
 * A `blind` model is shown blanks alone.
 *
 * Gives the tokens before each step and at the end, the probabilities that each step drew from, and
 * for each place the step that filled it (0 for given ones).
 */
export async function fill(ask, tokens, { length, blank, steps, order, seed, blind = false }) {
  const draw = uniform(seed);
  const keys = tokens.map(draw);
  const hidden = tokens.map((token, i) => i < length && token === blank);
  const left = ranked(hidden, (i) => (order === "random" ? keys[i] : i));
  const n = left.length;
  const states = [[...tokens]];
  const guesses = [];
  const turn = tokens.map(() => 0);
  for (let step = 0; step < steps; step += 1) {
    const now = states.at(-1);
    const p = softmax(await ask(blind ? now.map(() => blank) : now), blank);
    guesses.push(p);
    const drawn = now.map((_, i) => pick(p.subarray(i * blank, (i + 1) * blank), draw()));
    const sure = (i) => -Math.max(...p.subarray(i * blank, (i + 1) * blank));
    const open = hidden.map((is, i) => is && turn[i] === 0);
    // The places of rank r have their turn in step floor(r steps / n), in every order.
    const due = Array.from({ length: n }, (_, r) => r).filter((r) => Math.floor((r * steps) / n) === step);
    const places = order === "certain" ? ranked(open, sure).slice(0, due.length) : due.map((r) => left[r]);
    const next = [...now];
    for (const i of places) {
      next[i] = drawn[i];
      turn[i] = step + 1;
    }
    states.push(next);
  }
  return { states, guesses, turn };
}

/** Bits of surprise at what was drawn, summed over the places that were filled. */
export function cost({ states, guesses, turn }, blank) {
  return turn.reduce((sum, step, i) => (step ? sum - Math.log2(guesses[step - 1][i * blank + states.at(-1)[i]]) : sum), 0);
}

/** Indices where `is` holds, the smallest `key` first. */
function ranked(is, key) {
  const found = [];
  is.forEach((holds, i) => holds && found.push([key(i), i]));
  return found.sort(([a, i], [b, j]) => a - b || i - j).map(([, i]) => i);
}

/** The first entry at which the sum of probabilities passes u. */
function pick(p, u) {
  let sum = 0;
  for (let k = 0; k < p.length; k += 1) {
    sum += p[k];
    if (u < sum) return k;
  }
  return p.reduce((best, value, k) => (value > p[best] ? k : best), 0); // rounding left u above the sum
}

/** Each row of `n` scores as probabilities. */
export function softmax(scores, n) {
  const out = new Float64Array(scores.length);
  for (let at = 0; at < scores.length; at += n) {
    const row = scores.slice(at, at + n);
    const most = Math.max(...row);
    const total = row.reduce((sum, value) => sum + Math.exp(value - most), 0);
    row.forEach((value, k) => (out[at + k] = Math.exp(value - most) / total));
  }
  return out;
}
