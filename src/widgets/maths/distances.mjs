// How far two sets of points in the plane are apart, as in fromnoise/sample_measures.py.

/** Unit vectors at equal angles over half a turn. */
export function directions(n) {
  return Array.from({ length: n }, (_, i) => {
    const angle = (Math.PI * (i + 0.5)) / n;
    return [Math.cos(angle), Math.sin(angle)];
  });
}

/** Sliced Wasserstein-2 distance of two sets of one size: along a line the best pairing is by rank. */
export function slicedWasserstein(x, y, n = 32) {
  const size = x.length / 2;
  let total = 0;
  for (const [dx, dy] of directions(n)) {
    const [u, v] = [x, y].map((points) =>
      Float64Array.from({ length: size }, (_, i) => dx * points[2 * i] + dy * points[2 * i + 1]).sort(),
    );
    for (let i = 0; i < size; i += 1) total += (u[i] - v[i]) ** 2;
  }
  return Math.sqrt(total / (n * size));
}
