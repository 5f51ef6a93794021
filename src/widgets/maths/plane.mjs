// Points of the plane of two latents: the nearest of many, and how much of the prior lies within.

/** Index of the row of `points`, a flat array of pairs, that is nearest to (x, y), and how far. */
export function nearest(points, x, y) {
  let best = { index: -1, distance: Infinity };
  for (let i = 0; i < points.length / 2; i += 1) {
    const distance = Math.hypot(points[2 * i] - x, points[2 * i + 1] - y);
    if (distance < best.distance) best = { index: i, distance };
  }
  return best;
}

/** Share of the standard normal of the plane that lies farther out than (x, y). */
export function beyond(x, y) {
  return Math.exp(-(x * x + y * y) / 2);
}

/** Radius of the disc that holds a share of the standard normal of the plane. */
export function discOf(share) {
  return Math.sqrt(-2 * Math.log(1 - share));
}

/** Half the side of a square about the origin that holds all points, and the prior at least. */
export function extentOf(points, least = 4) {
  return points.reduce((most, value) => Math.max(most, Math.ceil(Math.abs(value))), least);
}
