// For the tests: what needs more than numbers handed over. Digits as the widget draws them, by the
// runtime of the page; hashes of bytes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

import { drawDigits } from "../../src/widgets/maths/digits.mjs";
import { sha256, sha256Slowly } from "../../src/widgets/maths/sha256.mjs";

/** SHA-256 of a list of bytes, by the platform and by our own code. */
export async function hashes(list) {
  const bytes = Uint8Array.from(list);
  return [await sha256(bytes), sha256Slowly(bytes)];
}

/** What is drawn for each state of the controls, with the files of a built site. */
export async function draw(folder, name, states) {
  const ort = createRequire(import.meta.url)("onnxruntime-web/wasm");
  const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf-8"));
  const unpacked = (entry) => new Uint8Array(gunzipSync(readFileSync(`${folder}/${entry.file}`)));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = unpacked(manifest.runtime);
  const session = await ort.InferenceSession.create(unpacked(manifest.models[name]));
  const network = async ({ x_t, t, label }) => {
    const feeds = {
      x_t: new ort.Tensor("float32", x_t.data, x_t.dims),
      t: new ort.Tensor("float32", t.data, t.dims),
      label: new ort.Tensor("int64", BigInt64Array.from(label.data, BigInt), label.dims),
    };
    return (await session.run(feeds)).output.data;
  };
  const found = [];
  for (const state of states) found.push(await drawDigits(state, network));
  return found;
}
