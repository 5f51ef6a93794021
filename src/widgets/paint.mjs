// Painting on a canvas in the colors of the page: dots, lines, tiles of gray images, fields.

/** A canvas in a stage, with words for those who cannot see it; `ratio` is width over height. */
export function canvas(stage, label, ratio = 1) {
  const made = document.createElement("canvas");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  made.style.aspectRatio = String(ratio);
  stage.append(made);
  return made;
}

/** The color of a meaning ("data", "model", "noise", "broken", "ink", ...) as the page has it now. */
export function color(name) {
  return getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
}

/** The same as three numbers from 0 to 255. */
export function rgb(name) {
  const hex = color(name).replace("#", "");
  const full = hex.length === 3 ? [...hex].map((letter) => letter + letter).join("") : hex;
  return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16));
}

/**
 * Make a canvas sharp for its size on the screen, clear it, and give its context in CSS pixels.
 * Returns null while the canvas has no size.
 */
export function fresh(target) {
  const { width, height } = target.getBoundingClientRect();
  if (!width || !height) return null;
  const density = Math.min(window.devicePixelRatio || 1, 3);
  target.width = Math.round(width * density);
  target.height = Math.round(height * density);
  const context = target.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  context.font = `12px ${getComputedStyle(document.body).getPropertyValue("--sans") || "sans-serif"}`;
  return { context, width, height };
}

/** Maps from a window of the plane, [left, right, bottom, top], to pixels of a canvas. */
export function axes({ width, height }, [left, right, bottom, top], margin = 0) {
  const x = (value) => margin + ((value - left) / (right - left)) * (width - 2 * margin);
  const y = (value) => height - margin - ((value - bottom) / (top - bottom)) * (height - 2 * margin);
  return { x, y };
}

/** Dots at the rows of `points`, a flat array of pairs. */
export function dots(context, { x, y }, points, name, radius = 1.6, strength = 0.6) {
  context.fillStyle = color(name);
  context.globalAlpha = strength;
  for (let i = 0; i < points.length; i += 2) {
    context.beginPath();
    context.arc(x(points[i]), y(points[i + 1]), radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

/** A line through pairs of a flat array; `dash` as the canvas has it. */
export function line(context, { x, y }, points, name, width = 1.5, dash = []) {
  context.strokeStyle = color(name);
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  for (let i = 0; i < points.length; i += 2) {
    if (i === 0) context.moveTo(x(points[0]), y(points[1]));
    else context.lineTo(x(points[i]), y(points[i + 1]));
  }
  context.stroke();
  context.setLineDash([]);
}

/**
 * Gray images side by side in the ink of a meaning; `images` is flat, `size` x `size` each, and
 * `low` is empty paper, `high` full ink. The canvas keeps one dot per pixel and is scaled by CSS.
 */
export function tiles(target, images, { size, columns, low, high, name = "model" }) {
  const n = images.length / (size * size);
  const rows = Math.ceil(n / columns);
  const step = size + 1;
  target.width = columns * step - 1;
  target.height = rows * step - 1;
  target.classList.add("pixels");
  const context = target.getContext("2d");
  const picture = context.createImageData(target.width, target.height);
  const ink = rgb(name);
  for (let i = 0; i < n; i += 1) {
    const top = Math.floor(i / columns) * step;
    const left = (i % columns) * step;
    for (let p = 0; p < size * size; p += 1) {
      const value = (images[i * size * size + p] - low) / (high - low);
      const strength = Math.min(Math.max(Number.isFinite(value) ? value : 0, 0), 1);
      const at = (top + Math.floor(p / size)) * target.width + left + (p % size);
      picture.data.set([...ink, 255 * (0.06 + 0.94 * strength)], 4 * at);
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Words on a canvas, in the muted ink of the furniture. */
export function words(context, text, x, y, name = "muted", align = "left") {
  context.fillStyle = color(name);
  context.textAlign = align;
  context.fillText(text, x, y);
}
