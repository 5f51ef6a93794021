// For the tests: gaps filled by the network of a built site, and the grammar that the widget carries.
import { readFileSync } from "node:fs";

import { conditional, slips } from "../../src/widgets/maths/grammar.mjs";
import { cost, fill } from "../../src/widgets/maths/infill.mjs";
import { uniform } from "../../src/widgets/maths/random.mjs";
import { asker } from "./networks.mjs";

const chain = JSON.parse(readFileSync("src/widgets/data/grammar.json", "utf-8"));
const blank = chain.characters.length;

export const exact = (tokens) => conditional(chain, tokens);
export const wrong = (tokens) => slips(chain, tokens);

export function uniforms(n, seed) {
  const draw = uniform(seed);
  return Array.from({ length: n }, draw);
}

export async function filled(folder, name, states) {
  const network = await asker(folder, name);
  const ask = async (tokens) => (await network({ tokens: { data: tokens, dims: [1, tokens.length] } })).output.data;
  const all = [];
  for (const { tokens, length = tokens.length, ...rest } of states) {
    const found = await fill(ask, tokens, { length, blank, ...rest });
    all.push({ ...found, guesses: found.guesses.flatMap((p) => Array.from(p)), bits: cost(found, blank) });
  }
  return all;
}
