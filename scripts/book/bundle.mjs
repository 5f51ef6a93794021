// One file per widget. Reads {name: path} as JSON, writes {name: code}.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const entries = JSON.parse(readFileSync(0, "utf-8"));
const made = {};
for (const [name, path] of Object.entries(entries)) {
  const { outputFiles } = await build({
    // A classic script that says where it is to be found: browsers load no modules from disk.
    stdin: {
      contents: `import open from ${JSON.stringify(path)};\n(window.widgets ??= {})[${JSON.stringify(name)}] = open;`,
      resolveDir: process.cwd(),
    },
    bundle: true,
    format: "iife",
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "eof", // what licenses ask for stays in the file
    write: false,
    logLevel: "silent",
  });
  made[name] = outputFiles[0].text;
}
process.stdout.write(JSON.stringify(made));
