// Bars that are sliders: each can be dragged, and moved by keyboard, and has a name.

import { element } from "./kit.mjs";

/**
 * A bar from 0 to `max` in the color of a meaning; `moved` hears its new value.
 * `show(value, text)` sets it, and says the text where a value would be read out; `tick(share, name)`
 * marks another number beside it, from 0 to 1.
 */
export function slider({ id, label, max, name, moved }) {
  const input = element("input", {
    id, type: "range", class: "bar", min: 0, max, step: 1, "aria-label": label,
  });
  input.style.setProperty("--hue", `var(--${name})`);
  input.addEventListener("input", () => moved(Number(input.value)));
  return {
    input,
    show(value, text) {
      if (Number(input.value) !== value) input.value = value;
      input.style.setProperty("--at", value / max);
      input.setAttribute("aria-valuetext", text);
    },
    tick(share, other) {
      const there = Number.isFinite(share);
      input.style.setProperty("--tick", there ? Math.min(Math.max(share, 0), 1) : -1);
      input.style.setProperty("--tick-hue", there ? `var(--${other})` : "transparent");
    },
  };
}

/** A bar that only shows: parts are [share of the width, color of a meaning]. */
export function stack() {
  const row = element("div", { class: "stack", "aria-hidden": "true" });
  return {
    row,
    show(parts, mark = null) {
      row.replaceChildren(...parts.map(([share, name]) => {
        const part = element("i", {});
        part.style.setProperty("width", `${100 * Math.min(Math.max(share, 0), 1)}%`);
        part.style.setProperty("--hue", `var(--${name})`);
        return part;
      }));
      if (mark !== null) {
        const tick = element("b", {});
        tick.style.setProperty("left", `${100 * Math.min(Math.max(mark, 0), 1)}%`);
        row.append(tick);
      }
    },
  };
}

/** Write a measured number into a cell, as read and in full. */
export function measure(cell, key, value, text) {
  cell.replaceChildren(element("data", { value, "data-key": key }, text));
}

/** A table with a class of its own; the first cell of each row is its head. */
export function table(name, label, head, rows) {
  const cells = (row, tag) =>
    row.map((cell, i) => {
      if (cell instanceof HTMLTableCellElement) return cell;
      if (cell === "") return element("td", {});
      return element(i === 0 && tag === "td" ? "th" : tag, {}, cell);
    });
  const made = element("table", { class: name, "aria-label": label });
  if (head) made.append(element("thead", {}, element("tr", {}, ...cells(head, "th"))));
  made.append(element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row, "td")))));
  return made;
}
