// SHA-256 of bytes. Browsers offer it only to pages that came over https or from this machine, so
// there is a slower one of our own for the rest (FIPS 180-4).

/** SHA-256 of a Uint8Array, as 64 hexadecimal digits. */
export async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return sha256Slowly(bytes);
  return hex(new Uint8Array(await subtle.digest("SHA-256", bytes)));
}

/** The same without the browser's help. */
export function sha256Slowly(bytes) {
  const state = Uint32Array.from(firstPrimes(8), (p) => fraction(Math.sqrt(p)));
  const keys = Uint32Array.from(firstPrimes(64), (p) => fraction(Math.cbrt(p)));
  const whole = bytes.length - (bytes.length % 64);
  const rest = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  rest.set(bytes.subarray(whole));
  rest[bytes.length - whole] = 0x80;
  const end = new DataView(rest.buffer);
  end.setUint32(rest.length - 8, Math.floor(bytes.length / 2 ** 29));
  end.setUint32(rest.length - 4, (bytes.length * 8) >>> 0);
  for (let at = 0; at < whole; at += 64) mix(state, keys, bytes, at);
  for (let at = 0; at < rest.length; at += 64) mix(state, keys, rest, at);
  const view = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => view.setUint32(4 * i, word));
  return hex(new Uint8Array(view.buffer));
}

const words = new Uint32Array(64);

function mix(state, keys, bytes, at) {
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let i = 0; i < 16; i += 1) {
    const b = at + 4 * i;
    words[i] = (bytes[b] << 24) | (bytes[b + 1] << 16) | (bytes[b + 2] << 8) | bytes[b + 3];
  }
  for (let i = 16; i < 64; i += 1) {
    const p = words[i - 15];
    const q = words[i - 2];
    const low = turn(p, 7) ^ turn(p, 18) ^ (p >>> 3);
    const high = turn(q, 17) ^ turn(q, 19) ^ (q >>> 10);
    words[i] = words[i - 16] + low + words[i - 7] + high;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const high = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const one = (h + high + ((e & f) ^ (~e & g)) + keys[i] + words[i]) | 0;
    const low = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + one) | 0; // by hand: an array of them takes five times as long
    d = c; c = b; b = a; a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word));
}

// The constants are the first 32 bits of the fractions of roots; a double holds 52.
function fraction(root) {
  return (root - Math.floor(root)) * 2 ** 32;
}

function firstPrimes(n) {
  const found = [];
  for (let k = 2; found.length < n; k += 1) if (found.every((p) => k % p)) found.push(k);
  return found;
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
