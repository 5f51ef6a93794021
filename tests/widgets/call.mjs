// Calls functions of src/widgets for the tests. Reads {module, calls: [[name, ...arguments]]} as
// JSON, writes the answers in order; typed arrays become lists.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { module, calls } = JSON.parse(readFileSync(0, "utf-8"));
const found = await import(pathToFileURL(resolve("src/widgets", module)));
const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const answers = [];
for (const [name, ...given] of calls) answers.push(await found[name](...given));
process.stdout.write(JSON.stringify(answers, plain));
