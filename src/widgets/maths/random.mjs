// Reproducible random numbers: the same seed gives the same points in every browser.

/**
 * A generator of uniform numbers in [0, 1): sfc32 of Chris Doty-Humphrey's PractRand, warmed up.
 * It is not torch's: seeds mean something here only.
 */
export function uniform(seed) {
  let [a, b, c, d] = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 1];
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 15; i += 1) next();
  return next;
}

/** `n` standard normal numbers, by pairs (Box and Muller 1958). */
export function normals(n, seed) {
  const draw = uniform(seed);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - draw())); // 1 - u is never 0
    const angle = 2 * Math.PI * draw();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < n) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
