// A fleet whose truth the reader sets, the holes that come home, and what they tell.

import { measure, slider, stack, table } from "./bars.mjs";
import { element, open } from "./kit.mjs";
import { moved, portions } from "./maths/information.mjs";
import { uniform } from "./maths/random.mjs";
import {
  advice, chanceToReturn, fly, meanHoles, saved, vulnerability,
} from "./maths/survivorship.mjs";
import { canvas, color, fresh } from "./paint.mjs";

const REGIONS = ["engines", "cockpit", "fuel tanks", "fuselage", "wings"];
const AREA = [15, 5, 15, 40, 25]; // percent of the hits, as in the figure
const DEADLY = [35, 50, 20, 2, 5]; // percent of the hits there that bring a plane down
const ARMOR = 0.5; // a hit in the armored region is half as deadly

const areaKeys = REGIONS.map((_, r) => `area${r}`);
const deadlyKeys = REGIONS.map((_, r) => `deadly${r}`);
const entries = (keys, values) => Object.fromEntries(keys.map((key, r) => [key, values[r]]));
const read = (state, keys) => keys.map((key) => state[key]);
const percent = (share, digits = 0) => (
  Number.isFinite(share) ? `${(100 * share).toFixed(digits).replace("-", "−")} %` : "–"
);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

// Every region is hit: at least one percent stays with each.
const above = (units) => units.map((unit) => unit - 1);
const spread = (units) => portions(above(units), 100 - units.length).map((unit) => unit + 1);
const shift = (units, r, value) => (
  moved(above(units), r, Math.min(Math.max(value, 1), 96) - 1).map((unit) => unit + 1)
);

const own = (keys, values, min) => keys.map((key, r) => (
  { kind: "range", key, label: key, min, max: 100, step: 1, value: values[r], own: true }
));

export default (figure) => open(figure, {
  name: "survivorship",
  title: "Make a fleet, count the holes that come home, and choose where the armor goes",
  controls: [
    ...own(areaKeys, AREA, 1),
    ...own(deadlyKeys, DEADLY, 0),
    {
      kind: "choice", key: "armor", label: "Armor goes to", value: "none",
      options: [["none", "nowhere yet"], ...REGIONS.map((region, r) => [String(r), region])],
    },
    { kind: "switch", key: "lost", label: "Show the lost planes too", value: false },
    {
      kind: "range", key: "hits", label: "Hits a plane", min: 0.5, max: 6, step: 0.5, value: 2,
      show: (value) => value.toFixed(1),
    },
    { kind: "range", key: "planes", label: "Planes", min: 50, max: 2000, step: 50, value: 1000 },
    { kind: "seed", key: "seed", label: "Raid", value: 0 },
  ],

  build(stage, { state, change }) {
    Object.assign(state, entries(areaKeys, spread(read(state, areaKeys))));
    const plane = canvas(stage, "A plane with the holes of all planes that returned", 1.05);
    plane.style.cursor = "pointer";
    plane.addEventListener("click", (event) => {
      const region = owner(...toPlane(event, plane.getBoundingClientRect()));
      if (region >= 0) change({ armor: String(region) });
    });
    let grip = {};
    const drag = (r, value) => {
      const now = read(state, areaKeys);
      if (grip.r !== r || String(grip.after) !== String(now)) grip = { r, before: now };
      grip.after = shift(grip.before, r, value);
      change(entries(areaKeys, grip.after));
    };
    const cell = (name) => element("td", { class: name });
    const rows = REGIONS.map((region, r) => ({
      hit: slider({
        id: `survivorship-${areaKeys[r]}`, label: `${region}: share of the hits`, max: 100,
        name: "muted", moved: (value) => drag(r, value),
      }),
      kill: slider({
        id: `survivorship-${deadlyKeys[r]}`,
        label: `${region}: chance that a hit brings the plane down`, max: 100, name: "broken",
        moved: (value) => change({ [deadlyKeys[r]]: value }),
      }),
      cells: {
        area: cell("share"), holes: cell("share q"), deadly: cell("share"), found: cell("share p"),
      },
    }));
    const heads = ["set", "found"].map((text) => element("th", { class: "share" }, text));
    const world = table("bars world", "The fleet, and what is found", ["hits, deadly", "", ...heads],
      rows.flatMap(({ hit, kill, cells }, r) => [
        [element("th", {}, REGIONS[r]), hit.input, cells.area, cells.holes],
        [element("td", { class: "side p" }, "deadly"), kill.input, cells.deadly, cells.found],
      ]));
    const choices = ["yours", "most", "bayes"].map((key) => {
      const head = element("th", {});
      return { key, head, bar: stack(), number: cell("share") };
    });
    const verdict = table("costs", "Planes that armor saves", null, choices.map(
      ({ head, bar, number }) => [head, bar.row, number],
    ));
    const key = "Gray: share of the hits. Orange: chance that a hit there kills. You set both. The marks "
      + "and the numbers beside are what returned planes show: their holes, and the estimate from them.";
    stage.append(world, element("p", { class: "widget-caption" }, key), verdict);
    return { plane, rows, choices, verdict };
  },

  async compute(state) {
    const area = read(state, areaKeys).map((unit) => unit / 100);
    const deadly = read(state, deadlyKeys).map((unit) => unit / 100);
    const fleet = { area, vulnerability: deadly, hits: state.hits };
    const raid = fly(fleet, state.planes, state.seed);
    const back = raid.returned.filter(Boolean).length;
    const holes = back ? meanHoles(raid.hits, raid.returned) : area.map(() => 0);
    const found = vulnerability(holes, back / state.planes, area);
    const advised = advice(holes, found, area);
    const saves = REGIONS.map((_, r) => saved(raid, deadly, r, ARMOR).saved);
    return {
      area, deadly, raid, back, holes, found, advised, saves,
      chance: chanceToReturn(fleet),
      lost: state.planes - back,
      shares: holes.map((mean) => mean / total(holes)),
    };
  },

  draw({ parts, state, data }) {
    const { area, deadly, found, shares } = data;
    parts.rows.forEach(({ hit, kill, cells }, r) => {
      hit.show(Math.round(100 * area[r]), `${percent(area[r])}, found on returned planes ${
        percent(shares[r])}`);
      hit.tick(shares[r], "data");
      kill.show(Math.round(100 * deadly[r]), `${percent(deadly[r])}, estimated ${
        percent(found?.[r])}`);
      kill.tick(found?.[r], "model");
      cells.area.textContent = percent(area[r]);
      cells.deadly.textContent = percent(deadly[r]);
      measure(cells.holes, `holes${r}`, shares[r], percent(shares[r]));
      measure(cells.found, `found${r}`, found?.[r], percent(found?.[r]));
    });
    drawVerdict(parts, state, data);
    drawPlane(fresh(parts.plane), state, data);
  },

  numbers({ state, data }) {
    const { back, holes } = data;
    const each = back ? total(holes) : NaN;
    return [
      { key: "returned", label: "Returned", value: back, text: `${back} of ${state.planes}` },
      { key: "each", label: "Holes on each", value: each, text: back ? each.toFixed(2) : "–" },
    ];
  },

  describe({ state, data }) {
    const { back, lost, advised, shares, saves } = data;
    if (advised.mostHoles === null) return `${back} of ${state.planes} planes return, without a hole.`;
    const most = REGIONS[advised.mostHoles];
    const first = `${back} of ${state.planes} planes return, and ${percent(shares[advised.mostHoles])} `
      + `of their holes are in the ${most}.`;
    if (state.armor === "none") return `${first} Where does the armor go?`;
    const region = Number(state.armor);
    const yours = `Armor on the ${REGIONS[region]} saves ${saves[region]} of the ${lost} lost planes.`;
    if (advised.bayes === null) return `${first} ${yours}`;
    const gone = "Corrected for the planes that are gone, the holes point";
    if (advised.bayes === region) return `${first} ${yours} ${gone} there too.`;
    return `${first} ${yours} ${gone} to the ${REGIONS[advised.bayes]}, where it saves ${
      saves[advised.bayes]}.`;
  },
});

function drawVerdict({ choices, verdict }, state, { advised, saves, lost }) {
  verdict.hidden = state.armor === "none";
  const picked = { yours: Number(state.armor), most: advised.mostHoles, bayes: advised.bayes };
  const says = { yours: "your armor", most: "to most holes", bayes: "as corrected" };
  const names = { yours: "ink", most: "data", bayes: "model" };
  for (const { key, head, bar, number } of choices) {
    const region = picked[key];
    const there = Number.isInteger(region);
    head.textContent = `${says[key]}: ${there ? REGIONS[region] : "–"}`;
    bar.show(there && lost ? [[saves[region] / lost, names[key]]] : []);
    measure(number, key, saves[region], there ? `${saves[region]} of ${lost}` : "–");
  }
}

// ---- the plane, seen from above, its nose up, in a square from -1 to 1 ----

const both = (points) => [points, points.map(([x, y]) => [-x, y])];
const box = (x, top, wide, high) => [
  [x - wide, top + 0.25 * high], [x - 0.6 * wide, top], [x + 0.6 * wide, top],
  [x + wide, top + 0.25 * high], [x + wide, top + high], [x - wide, top + high],
];
const SHAPES = [
  [...both(box(0.33, -0.42, 0.055, 0.3)), ...both(box(0.6, -0.33, 0.055, 0.3))],
  [[[-0.11, -0.58], [-0.095, -0.74], [-0.05, -0.86], [0.05, -0.86], [0.095, -0.74], [0.11, -0.58]]],
  both([[0.16, -0.13], [0.5, -0.05], [0.5, 0.06], [0.16, 0.06]]),
  [[[-0.11, -0.58], [0.11, -0.58], [0.12, 0], [0.09, 0.5], [0.045, 0.94], [-0.045, 0.94], [-0.09, 0.5],
    [-0.12, 0]]],
  [
    ...both([[0.115, -0.25], [0.97, -0.03], [0.97, 0.1], [0.115, 0.16]]),
    ...both([[0.06, 0.66], [0.37, 0.76], [0.37, 0.86], [0.05, 0.86]]),
  ],
];
const BOXES = SHAPES.map((shapes) => {
  const xs = shapes.flat().map(([x]) => x);
  const ys = shapes.flat().map(([, y]) => y);
  return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
});

function inside(points, x, y) {
  let within = false;
  for (let i = 0, j = points.length - 1; i < points.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [points[i], points[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

/** The region that shows at a place: what lies on top comes first in the list. */
function owner(x, y) {
  return SHAPES.findIndex((shapes) => shapes.some((points) => inside(points, x, y)));
}

const scaled = ({ width, height }) => 0.5 * Math.min(width, height) - 3;

function toPlane(event, { left, top, width, height }) {
  const scale = scaled({ width, height });
  return [(event.clientX - left - width / 2) / scale, (event.clientY - top - height / 2) / scale];
}

function drawPlane(ground, state, { raid }) {
  if (!ground) return;
  const { context, width, height } = ground;
  const scale = scaled(ground);
  context.translate(width / 2, height / 2);
  const trace = (points) => {
    context.beginPath();
    for (const [x, y] of points) context.lineTo(scale * x, scale * y);
    context.closePath();
  };
  for (const r of [4, 3, 2, 1, 0]) {
    const armored = state.armor === String(r);
    for (const points of SHAPES[r]) {
      trace(points);
      context.fillStyle = color("wash");
      context.fill();
      context.strokeStyle = color(armored ? "ink" : "faint");
      context.lineWidth = armored ? 3 : 1;
      context.stroke();
    }
  }
  // Places are drawn in the same order whoever returns, so that a hole never moves.
  const draw = uniform(state.seed + 20000);
  const size = state.planes > 500 ? 1.1 : 1.6;
  raid.hits.forEach((row, plane) => row.forEach((n, r) => {
    for (let k = 0; k < n; k += 1) {
      const [x, y] = place(r, draw);
      if (raid.returned[plane]) dot(context, scale * x, scale * y, size);
      else if (state.lost) cross(context, scale * x, scale * y, size + 0.6);
    }
  }));
}

function place(r, draw) {
  const [left, right, top, bottom] = BOXES[r];
  for (;;) {
    const x = left + (right - left) * draw();
    const y = top + (bottom - top) * draw();
    if (owner(x, y) === r) return [x, y];
  }
}

function dot(context, x, y, size) {
  context.fillStyle = color("data");
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fill();
}

function cross(context, x, y, size) {
  context.strokeStyle = color("broken");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x + size, y - size);
  context.lineTo(x - size, y + size);
  context.stroke();
}
