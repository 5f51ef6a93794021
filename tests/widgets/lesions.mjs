// For the tests: the board of lesions with the networks of a built site.
import { draw, hits, lossAt, PARTS } from "../../src/widgets/maths/lesions.mjs";
import { asker } from "./networks.mjs";

export const parts = () => PARTS;
export const read = (scores, wanted) => hits(scores, wanted);

/** The path of each lesion: [{t, x}] from noise to data. */
export async function drawn(folder, all, options) {
  const network = await asker(folder, "lesion_board");
  const found = [];
  for (const cuts of all) found.push((await draw(network, cuts, options)).map(({ x }) => Array.from(x)));
  return found;
}

/** The loss of each lesion at one time, on given digits and noise. */
export async function losses(folder, all, t, digits, eps) {
  const network = await asker(folder, "lesion_board");
  const found = [];
  for (const cuts of all) found.push(await lossAt(network, cuts, t, digits, eps));
  return found;
}
