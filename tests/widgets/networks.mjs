// For the tests: a network of a built site, run by the runtime of the page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

const ort = createRequire(import.meta.url)("onnxruntime-web/wasm");
const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

/** What asks a network of the folder: inputs by name in, outputs by name out. */
export async function asker(folder, name) {
  const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf-8"));
  const unpacked = (entry) => new Uint8Array(gunzipSync(readFileSync(`${folder}/${entry.file}`)));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = unpacked(manifest.runtime);
  const entry = manifest.models[name];
  const session = await ort.InferenceSession.create(unpacked(entry));
  return async (feeds) => {
    const given = Object.entries(entry.inputs).map(([input, { type }]) => {
      const { data, dims } = feeds[input];
      const value = ARRAYS[type].from(data, type === "int64" ? BigInt : Number);
      return [input, new ort.Tensor(type, value, dims)];
    });
    const found = await session.run(Object.fromEntries(given));
    return Object.fromEntries(
      Object.entries(found).map(([key, { data, dims }]) => [key, { data: Array.from(data, Number), dims }]),
    );
  };
}

/** Its answer to one question. */
export async function ask(folder, name, feeds) {
  return (await asker(folder, name))(feeds);
}
