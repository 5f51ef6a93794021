// What a message costs: fromnoise.information and fromnoise.codes for distributions as arrays.
// The first argument is what happens, the second what is believed. Everything in nats.

const xlogy = (x, y) => (x === 0 ? 0 : x * Math.log(y)); // 0 log 0 counts as 0
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Mean surprise of one who knows. */
export function entropy(p) {
  return -sum(p.map((x) => xlogy(x, x)));
}

/** Mean surprise of one who believes q while p happens; infinite where q excludes what happens. */
export function crossEntropy(p, q) {
  return -sum(p.map((x, i) => xlogy(x, q[i])));
}

/** What the wrong belief costs beyond the entropy. */
export function klDivergence(p, q) {
  return sum(p.map((x, i) => xlogy(x, x) - xlogy(x, q[i])));
}

/** The mean divergence of both to their mixture, at most log 2. */
export function jensenShannon(p, q) {
  const middle = p.map((x, i) => 0.5 * (x + q[i]));
  return 0.5 * (klDivergence(p, middle) + klDivergence(q, middle));
}

/**
 * The prefix code of least mean length, a word per symbol; null for one that never comes.
 * Ties are broken as heapq breaks them in Python, so that both give the same words.
 */
export function huffmanCode(p) {
  const lengths = p.map((share) => (share > 0 ? 0 : null));
  let groups = p.flatMap((share, symbol) => (share > 0 ? [{ share, symbols: [symbol] }] : []));
  while (groups.length > 1) {
    groups.sort((a, b) => a.share - b.share || byFirstDifference(a.symbols, b.symbols));
    const [few, more, ...rest] = groups;
    const symbols = [...few.symbols, ...more.symbols];
    for (const symbol of symbols) lengths[symbol] += 1;
    groups = [...rest, { share: few.share + more.share, symbols }];
  }
  return prefixCode(lengths);
}

function byFirstDifference(a, b) {
  const at = a.findIndex((symbol, i) => symbol !== b[i]);
  return at < 0 ? a.length - b.length : a[at] - (b[at] ?? -1);
}

// Words are handed out from the shortest on, each where the one before it ends in [0, 1).
function prefixCode(lengths) {
  const order = lengths.flatMap((length, i) => (length === null ? [] : [i]));
  order.sort((a, b) => lengths[a] - lengths[b] || a - b);
  const words = lengths.map(() => null);
  let start = 0; // a sum of powers of two: exact for words of up to 52 bits
  for (const i of order) {
    words[i] = "";
    for (let bit = 1; bit <= lengths[i]; bit += 1) words[i] += Math.floor(start * 2 ** bit) % 2;
    start += 2 ** -lengths[i];
  }
  return words;
}

/**
 * Whole units that sum to `total`, in the proportions of `weights`: the remainders that are
 * largest are rounded up. Weights that are all zero give equal parts.
 */
export function portions(weights, total) {
  const whole = sum(weights);
  const exact = weights.map((w) => total * (whole > 0 ? w / whole : 1 / weights.length));
  const units = exact.map(Math.floor);
  const order = exact.map((_, i) => i).sort((a, b) => exact[b] % 1 - (exact[a] % 1) || a - b);
  const left = Math.round(total - sum(units));
  for (const i of order.slice(0, left)) units[i] += 1;
  return units;
}

/** Units after one of them was moved to `value`: the others share the rest as they did before. */
export function moved(units, i, value) {
  const total = sum(units);
  const others = portions(units.filter((_, j) => j !== i), total - value);
  others.splice(i, 0, value);
  return others;
}
