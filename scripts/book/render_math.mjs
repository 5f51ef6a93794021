// TeX to MathML. Reads [{tex, display}] as JSON, writes [{html}] or [{error}] in the same order.
import { readFileSync } from "node:fs";
import temml from "temml";

const formulas = JSON.parse(readFileSync(0, "utf-8"));
const rendered = formulas.map(({ tex, display }) => {
  try {
    const html = temml.renderToString(tex, {
      displayMode: display,
      throwOnError: true,
      strict: true,
      trust: false,
      annotate: false,
    });
    return { html };
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(rendered));
