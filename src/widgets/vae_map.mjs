// The plane of two latents: drag a point, and the decoder paints the digit that lies there.

import { holder } from "./holding.mjs";
import { element, open } from "./kit.mjs";
import { beyond, discOf, extentOf, nearest } from "./maths/plane.mjs";
import { normals } from "./maths/random.mjs";
import { axes, canvas, color, fresh, tiles, words } from "./paint.mjs";
import { clamp } from "./state.mjs";

const NETWORKS = { 1: "vae_map", 0: "vae_map_without_kl", 100: "vae_map_too_strong" };
const N_DIGITS = 497;
const N_DRAWS = 12;
const REACH = 16; // the codes without the pull lie within 15
const PAINT = { size: 8, columns: 1, low: -1, high: 1 };
const DISC = discOf(0.95);

const networks = holder();
const digits = new Map(); // of each network: what lies on its plane

const spec = {
  name: "vae_map",
  title: "A plane of digits: drag the point",
  controls: [
    { kind: "range", key: "z1", label: "z₁", min: -REACH, max: REACH, step: 0.02, value: -1.6, own: true },
    { kind: "range", key: "z2", label: "z₂", min: -REACH, max: REACH, step: 0.02, value: 1.2, own: true },
    { kind: "choice", key: "beta", label: "Pull β", value: "1", broken: true, options: [["1", "1: the bound"], ["0", "0: drop the KL"], ["100", "100: too strong"]] },
    { kind: "seed", key: "seed", label: "Draws", value: 0 },
  ],
  build,
  async compute(state, { signal, progress }) {
    const name = NETWORKS[state.beta];
    if (!digits.has(name)) digits.set(name, await lying(name, { signal, progress }));
    const map = digits.get(name);
    const at = [state.z1, state.z2].map((value) => clamp(value, -map.extent, map.extent));
    const draws = normals(2 * N_DRAWS, state.seed);
    const { image } = await networks.run(name, feeds([...at, ...draws]), { signal, progress });
    const near = nearest(map.codes, ...at);
    return { ...map, at, draws, near, image: image.data.slice(0, 64), drawn: image.data.slice(64) };
  },
  draw({ parts, state, data }) {
    const role = state.beta === "1" ? "model" : "broken";
    place(parts, data);
    plane(parts.plane, data, role);
    tiles(parts.decoded, data.image, { ...PAINT, name: role });
    tiles(parts.digit, data.pixels.slice(64 * data.near.index, 64 * data.near.index + 64), { ...PAINT, name: "data" });
    tiles(parts.drawn, data.drawn, { ...PAINT, columns: 6, name: role });
  },
  numbers({ data: { at, near, labels } }) {
    const out = beyond(...at);
    return [
      { key: "beyond", label: "of the prior farther out", value: out, text: `${(100 * out).toFixed(0)} %` },
      { key: "class", label: "nearest test digit", value: labels[near.index], text: `a ${labels[near.index]}` },
      { key: "distance", label: "its distance", value: near.distance, text: near.distance.toFixed(2) },
    ];
  },
  describe({ state, data: { at, near, labels, extent } }) {
    const here = `At (${at.map((value) => value.toFixed(2)).join(", ")}) the nearest of ${N_DIGITS} test digits is a ${labels[near.index]}.`;
    if (state.beta === "0") return `${here} Nothing pulls the codes to the prior: they lie as far out as ${extent}, and draws of the prior fall into the small disc in the middle.`;
    if (state.beta === "100") return `${here} All means lie on one point, every posterior is the prior, and every place gives the same blur.`;
    return `${here} Neighbors look alike, and draws of the prior land where digits are.`;
  },
  close: () => networks.release(),
};

/** Where the test digits lie on the plane of a network, and what they are. */
async function lying(name, tools) {
  const rows = Array.from({ length: N_DIGITS }, (_, i) => i);
  const found = await networks.run(name, feeds(new Float32Array(2 * N_DIGITS), rows), tools);
  const codes = found.code.data;
  return { codes, labels: Array.from(found.label.data, Number), pixels: found.digit.data, extent: extentOf(codes) };
}

function feeds(z, rows = new Array(z.length / 2).fill(0)) {
  return { z: { data: Float32Array.from(z), dims: [rows.length, 2] }, row: { data: rows, dims: [rows.length] } };
}

// ---- the picture ----

function build(stage, { state, change }) {
  const left = element("div", { class: "widget-map" });
  const right = element("div", { class: "widget-side" });
  stage.append(left, right);
  const plane = canvas(left, "Test digits on the plane of two latents; drag to move the point", 1);
  plane.classList.add("widget-touched");
  left.append(element("p", { class: "widget-caption" }, "Dashed: 95 % of the prior. Small rings: 12 draws of it."));
  const parts = { plane, extent: 4 };
  const move = ({ clientX, clientY }) => {
    const { left: x, top: y, width } = plane.getBoundingClientRect();
    const along = (at, from) => clamp(Math.round(50 * parts.extent * ((2 * (at - from)) / width - 1)) / 50, -parts.extent, parts.extent);
    change({ z1: along(clientX, x), z2: -along(clientY, y) || 0 });
  };
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    move(event);
  });
  plane.addEventListener("pointermove", (event) => plane.hasPointerCapture(event.pointerId) && move(event));
  parts.sliders = [["z1", "z₁"], ["z2", "z₂"]].map(([key, label]) => {
    const id = `${spec.name}-${key}`;
    const input = element("input", { id, type: "range", step: 0.02, min: -REACH, max: REACH });
    const shown = element("output", { for: id });
    input.addEventListener("input", () => change({ [key]: Number(input.value) }));
    left.append(element("div", { class: "widget-place" }, element("label", { for: id }, label), input, shown));
    return { input, shown };
  });
  const shelf = element("div", { class: "widget-two" });
  right.append(shelf);
  parts.decoded = captioned(shelf, "decoded there", "The decoded digit", 1);
  parts.digit = captioned(shelf, "nearest test digit", "The nearest test digit", 1);
  parts.drawn = captioned(right, "decoded at 12 draws of the prior", "Twelve decoded draws of the prior", 53 / 17);
  return parts;
}

function captioned(parent, text, label, ratio) {
  const box = element("div", {}, element("p", { class: "widget-caption" }, text));
  parent.append(box);
  return canvas(box, label, ratio);
}

function place(parts, { at, extent }) {
  parts.extent = extent;
  parts.sliders.forEach(({ input, shown }, i) => {
    input.min = -extent;
    input.max = extent;
    input.value = at[i];
    shown.textContent = at[i].toFixed(2);
  });
}

function plane(target, { codes, labels, at, near, draws, extent }, role) {
  const paper = fresh(target);
  if (!paper) return;
  const { context, width, height } = paper;
  const map = axes(paper, [-extent, extent, -extent, extent]);
  const radius = map.x(DISC) - map.x(0);
  ring(context, map.x(0), map.y(0), radius, "noise", 1.5, [5, 3]);

  // Digits of the nearest one's class stand out: a color for each class would say more than is meant.
  context.textBaseline = "middle";
  for (let i = 0; i < labels.length; i += 1) {
    context.globalAlpha = labels[i] === labels[near.index] ? 1 : 0.4;
    words(context, labels[i], map.x(codes[2 * i]), map.y(codes[2 * i + 1]), "data", "center");
  }
  context.globalAlpha = 1;
  context.textBaseline = "alphabetic";
  for (let i = 0; i < draws.length; i += 2) ring(context, map.x(draws[i]), map.y(draws[i + 1]), 3, "noise", 1.5);

  const [x, y] = [map.x(at[0]), map.y(at[1])];
  context.globalAlpha = 0.5;
  context.fillStyle = color(role);
  context.fillRect(0, y - 0.5, width, 1);
  context.fillRect(x - 0.5, 0, 1, height);
  context.globalAlpha = 1;
  ring(context, x, y, 9, role, 2.5);
}

function ring(context, x, y, radius, name, width, dash = []) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.strokeStyle = color(name);
  context.lineWidth = width;
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
}

export default (figure) => open(figure, spec);
