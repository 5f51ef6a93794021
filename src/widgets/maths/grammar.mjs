// The writer of the text chapter: a chain over places in words, whose guesses are exact.
//
// The chain is {characters, source, character, target, p, stationary}: edges between states, each
// with the character it writes and its probability, and the long-run share of each state. Texts are
// lists of tokens; the token characters.length is the blank. As fromnoise.grammar has it.

/** Log probabilities of each character at each place, given the visible ones, one row per place. */
export function conditional(chain, tokens, doubt = 1e-6) {
  const { source, character, target, p, stationary, characters } = chain;
  const blank = characters.length;
  const match = (token, edge) => (token === blank || character[edge] === token ? 1 : doubt);
  const forward = [stationary];
  for (const token of tokens) {
    const next = new Float64Array(stationary.length);
    for (let e = 0; e < p.length; e += 1) next[target[e]] += forward.at(-1)[source[e]] * p[e] * match(token, e);
    forward.push(normalized(next));
  }
  let later = new Float64Array(stationary.length).fill(1);
  const rows = new Float64Array(tokens.length * blank);
  for (let i = tokens.length - 1; i >= 0; i -= 1) {
    const row = rows.subarray(i * blank, (i + 1) * blank);
    const before = new Float64Array(stationary.length);
    for (let e = 0; e < p.length; e += 1) {
      const way = match(tokens[i], e) * p[e] * later[target[e]];
      row[character[e]] += forward[i][source[e]] * way;
      before[source[e]] += way;
    }
    normalized(row).forEach((value, k) => (row[k] = Math.log(value)));
    later = normalized(before);
  }
  return rows;
}

/** Where a character stands that the grammar does not allow after those before it. */
export function slips(chain, tokens) {
  const { source, character, target, p, stationary } = chain;
  let belief = Float64Array.from(stationary);
  return tokens.map((token) => {
    const step = (from) => {
      const next = new Float64Array(stationary.length);
      for (let e = 0; e < p.length; e += 1) if (character[e] === token) next[target[e]] += from[source[e]] * p[e];
      return next;
    };
    const after = step(belief);
    const slip = !after.some((value) => value > 0);
    belief = normalized(slip ? step(stationary) : after); // reading starts anew behind a slip
    return slip;
  });
}

function normalized(values) {
  const total = values.reduce((sum, value) => sum + value, 0);
  for (let i = 0; i < values.length; i += 1) values[i] /= total;
  return values;
}
