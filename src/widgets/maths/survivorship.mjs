// Planes and what their holes tell: fromnoise.survivorship for one raid.
// A fleet is {area, vulnerability, hits}: shares of the hits, chances that a hit kills, hits a plane.

import { uniform } from "./random.mjs";

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The number of hits below which a share `u` of Poisson draws lies (inversion by summing). */
export function poisson(rate, u) {
  let term = Math.exp(-rate);
  let below = term;
  let n = 0;
  while (u > below && n < 1000) {
    n += 1;
    term *= rate / n;
    below += term;
  }
  return n;
}

/** Which planes return: all hits are survived with the product of (1 - vulnerability)^hits. */
export function returns(hits, vulnerability, luck) {
  return hits.map((row, plane) => {
    const survives = row.reduce((chance, n, r) => chance * (1 - vulnerability[r]) ** n, 1);
    return luck[plane] < survives;
  });
}

/** The share of planes that return in the long run. */
export function chanceToReturn({ area, vulnerability, hits }) {
  return Math.exp(-hits * sum(area.map((share, r) => share * vulnerability[r])));
}

/** One raid: hits of every plane by region, the luck of each, and who came back. */
export function fly(fleet, nPlanes, seed) {
  const draw = uniform(seed);
  const hits = [];
  const luck = [];
  for (let plane = 0; plane < nPlanes; plane += 1) {
    hits.push(fleet.area.map((share) => poisson(fleet.hits * share, draw())));
    luck.push(draw());
  }
  return { hits, luck, returned: returns(hits, fleet.vulnerability, luck) };
}

/** Mean number of holes in each region over the planes chosen. */
export function meanHoles(hits, chosen) {
  const rows = hits.filter((_, plane) => chosen[plane]);
  return hits[0].map((_, r) => sum(rows.map((row) => row[r])) / rows.length);
}

/**
 * What survivors tell of how deadly a hit is: 1 - holes / (rate * area), where the rate of hits is
 * that of the holes, minus the logarithm of the share that returned. Null where nothing can be
 * said, because no plane returned, or none was hit and none lost.
 */
export function vulnerability(holes, returned, area) {
  const rate = sum(holes) - Math.log(returned);
  if (!(returned > 0 && rate > 0)) return null;
  return holes.map((mean, r) => 1 - mean / (rate * area[r]));
}

/** Where armor goes: to most holes, or where the estimate says that most planes are lost. */
export function advice(holes, found, area) {
  const largest = (values) => values.indexOf(Math.max(...values));
  return {
    mostHoles: sum(holes) > 0 ? largest(holes) : null,
    bayes: found && largest(found.map((chance, r) => chance * area[r])),
  };
}

/** Planes lost on a raid, and how many of them armor would have saved: equal hits, equal luck. */
export function saved({ hits, luck, returned }, chances, region, armor) {
  const armored = chances.map((chance, r) => (r === region ? armor * chance : chance));
  const again = returns(hits, armored, luck);
  const count = (planes) => planes.filter((back) => !back).length;
  return { lost: count(returned), saved: count(returned) - count(again) };
}
