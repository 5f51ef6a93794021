// The worker that runs trained networks: one for all widgets of a page, started by models.mjs.
//
// Messages in: {id, kind: "load" | "run" | "release", name, feeds} and {cancel: id}.
// Messages out: {id, progress} while something loads, then {id, answer} or {id, error}.
// scripts/book/models.py writes the files that it fetches, and their list with the SHA-256 of each.

import * as ort from "onnxruntime-web/wasm";

import { sha256 } from "./maths/sha256.mjs";

const FOLDER = new URL("../../models/", self.location.href);
const sessions = new Map();
const waiting = [];
let manifest = null;
let runtime = null;
let busy = false;

// More threads need headers that a plain host of files does not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;

self.onmessage = ({ data }) => {
  if (data.cancel) {
    const at = waiting.findIndex((job) => job.id === data.cancel);
    if (at >= 0) waiting.splice(at, 1);
    return;
  }
  waiting.push(data);
  if (!busy) work();
};

async function work() {
  busy = true;
  for (let job = waiting.shift(); job; job = waiting.shift()) {
    const { id } = job;
    try {
      const say = (progress) => self.postMessage({ id, progress });
      const { answer, moved = [] } = await jobs[job.kind](job, say);
      self.postMessage({ id, answer }, moved);
    } catch (error) {
      self.postMessage({ id, error: error.message });
    }
    // Lets in the messages that came meanwhile: one may cancel what waits.
    await new Promise((done) => setTimeout(done));
  }
  busy = false;
}

const jobs = {
  async load({ name }, say) {
    const { entry } = await sessionOf(name, say);
    return { answer: { inputs: entry.inputs, outputs: entry.outputs } };
  },

  async run({ name, feeds }, say) {
    const { session, entry } = await sessionOf(name, say);
    const found = await session.run(tensors(name, feeds, entry.inputs));
    const answer = {};
    for (const [output, tensor] of Object.entries(found)) {
      answer[output] = { data: tensor.data, dims: [...tensor.dims] };
      tensor.dispose();
    }
    return { answer, moved: Object.values(answer).map(({ data }) => data.buffer) };
  },

  async release({ name }) {
    const found = sessions.get(name);
    sessions.delete(name);
    await (await found?.catch(() => null))?.session.release();
    return { answer: sessions.size };
  },
};

// ---- from files to a session ----

function sessionOf(name, say) {
  if (!sessions.has(name)) {
    const made = open(name, say);
    sessions.set(name, made);
    made.catch(() => sessions.delete(name)); // so that the next try is a try
  }
  return sessions.get(name);
}

async function open(name, say) {
  manifest ??= await readManifest();
  const entry = manifest.models[name];
  if (!entry) throw new Error(`The site has no trained network called ${name}.`);
  const total = entry.compressed + (runtime ? 0 : manifest.runtime.compressed);
  let loaded = 0;
  const count = (n) => say({ loaded: (loaded += n), total });
  const model = fetchWhole(entry, `The trained network ${name}`, count);
  if (!runtime) {
    // Both at once; and whoever fails first is told, not a promise that nobody waits for.
    const both = Promise.all([fetchWhole(manifest.runtime, "The part that runs networks", count), model]);
    ort.env.wasm.wasmBinary = (await both)[0];
  }
  const bytes = await model;
  try {
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      // "all" looks longer for faster orders, and at these sizes finds none.
      graphOptimizationLevel: "basic",
      logSeverityLevel: 3,
    });
    runtime = true;
    ort.env.wasm.wasmBinary = undefined; // compiled by now; 14 MB that nobody needs
    return { session, entry };
  } catch (error) {
    throw new Error(
      `The trained network ${name} cannot run here: WebAssembly is blocked or missing, or out of memory (${error.message}).`,
    );
  }
}

async function readManifest() {
  const answer = await ask(new URL("manifest.json", FOLDER), "The list of trained networks", "no-cache");
  try {
    return await answer.json();
  } catch {
    throw new Error("The list of trained networks is damaged.");
  }
}

/** The bytes of a file of the manifest, unpacked, with the SHA-256 that the manifest names. */
async function fetchWhole({ file, sha256: wanted, compressed }, what, count) {
  // The hash in the address keeps a browser from taking an old copy for a new one.
  const url = new URL(`${file}?${wanted.slice(0, 12)}`, FOLDER);
  const answer = await ask(url, what);
  const parts = [];
  let n = 0;
  try {
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      count(value.length);
      n += value.length;
    }
  } catch {
    throw new Error(`${what} was cut off on the way: ${n} of ${compressed} bytes came.`);
  }
  const packed = new Blob(parts);
  const start = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  let bytes;
  try {
    // Some hosts say of a .gz file that it is packed on the way, and the browser unpacks it.
    const isPacked = start[0] === 0x1f && start[1] === 0x8b;
    const stream = isPacked ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed.stream();
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    if (n < compressed) throw new Error(`${what} was cut off: ${n} of ${compressed} bytes came.`);
    throw new Error(`${what} is damaged: it cannot be unpacked.`);
  }
  const found = await sha256(bytes);
  if (found !== wanted) {
    throw new Error(
      `${what} is not the one that the book was built with: its SHA-256 begins ${found.slice(0, 12)}, not ${wanted.slice(0, 12)}.`,
    );
  }
  return bytes;
}

async function ask(url, what, cache = "default") {
  let answer;
  try {
    answer = await fetch(url, { cache, credentials: "same-origin" });
  } catch {
    throw new Error(`${what} could not be fetched: there is no connection, or it was blocked.`);
  }
  if (!answer.ok) throw new Error(`${what} is missing: the server answered ${answer.status}.`);
  return answer;
}

// ---- numbers in ----

const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

function tensors(name, feeds, inputs) {
  const made = {};
  for (const [input, { type, dims: wanted }] of Object.entries(inputs)) {
    if (!feeds[input]) throw new Error(`The network ${name} needs ${input}.`);
    const { data, dims } = feeds[input];
    const fits = dims.length === wanted.length && wanted.every((n, i) => n === "batch" || n === dims[i]);
    if (!fits || data.length !== dims.reduce((a, b) => a * b, 1)) {
      throw new Error(
        `${input} of ${name} must have the shape ${wanted.join(" x ")}, got ${data.length} numbers as ${dims.join(" x ")}.`,
      );
    }
    const Kind = ARRAYS[type];
    const right = data instanceof Kind;
    made[input] = new ort.Tensor(type, right ? data : Kind.from(data, type === "int64" ? BigInt : Number), dims);
  }
  return made;
}
