// One file per widget, and the worker where one of them runs a trained network. Reads {name: path}
// as JSON, writes {name: code}.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const NETWORKS = "src/widgets/models.mjs";
const WORKER = "src/widgets/worker.mjs";

async function bundle(contents) {
  const { outputFiles, metafile } = await build({
    // A classic script: browsers load no modules from disk.
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true,
    format: "iife",
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "eof", // what licenses ask for stays in the file
    external: ["module", "worker_threads"], // the runtime asks for them in node alone
    define: { "import.meta.url": "self.location.href" },
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  return { code: outputFiles[0].text, sources: Object.keys(metafile.inputs) };
}

const entries = JSON.parse(readFileSync(0, "utf-8"));
const made = {};
let runs = false;
for (const [name, path] of Object.entries(entries)) {
  const { code, sources } = await bundle(
    `import open from ${JSON.stringify(path)};\n(window.widgets ??= {})[${JSON.stringify(name)}] = open;`,
  );
  made[name] = code;
  runs ||= sources.includes(NETWORKS);
}
if (runs) made.worker = (await bundle(`import "./${WORKER}";`)).code;
process.stdout.write(JSON.stringify(made));
