// A widget's state in the address of the page: read with suspicion, written without reloading.

/** The number nearest to `value` between `low` and `high`. */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** What one control makes of a text from the address: a value in its range, or its own value. */
export function parse(control, text) {
  if (control.kind === "switch") return text === "1" ? true : text === "0" ? false : control.value;
  if (control.kind === "choice") {
    return control.options.some(([value]) => value === text) ? text : control.value;
  }
  if (control.kind === "text") {
    return [...text].filter((letter) => control.letters.includes(letter)).slice(0, control.length).join("");
  }
  const { min = 0, max = 9999, step = 1 } = control;
  const number = text.trim() === "" ? NaN : Number(text);
  if (Number.isNaN(number)) return control.value;
  const snapped = min + Math.round((clamp(number, min, max) - min) / step) * step;
  return clamp(Number(snapped.toFixed(10)), min, max); // 0.1 + 0.2 is written 0.3
}

/** The description with other values to begin with, from `key=value key=value` of the figure. */
export function beginning(spec, said = "") {
  const asked = new URLSearchParams(said.trim().replace(/\s+/g, "&"));
  const controls = spec.controls.map((control) =>
    asked.has(control.key) ? { ...control, value: parse(control, asked.get(control.key)) } : control,
  );
  return { ...spec, controls };
}

/** The state that an address asks for; what it does not say, or says wrongly, is as described. */
export function readState(spec, search) {
  const asked = new URLSearchParams(search);
  const state = {};
  for (const control of spec.controls) {
    const text = asked.get(`${spec.name}.${control.key}`);
    state[control.key] = text === null ? control.value : parse(control, text);
  }
  const frame = asked.get(`${spec.name}.frame`);
  if (spec.frames && frame !== null && /^\d{1,6}$/.test(frame)) state.frame = Number(frame);
  return state;
}

/** The address's query for a state: only what differs from the description; null leaves nothing. */
export function query(spec, state, frame, search) {
  const kept = new URLSearchParams(search);
  for (const key of [...kept.keys()]) {
    if (key.startsWith(`${spec.name}.`) || key === "widget") kept.delete(key);
  }
  if (state) {
    kept.set("widget", spec.name);
    for (const { key, kind, value } of spec.controls) {
      const said = kind === "switch" ? String(Number(state[key])) : String(state[key]);
      if (state[key] !== value) kept.set(`${spec.name}.${key}`, said);
    }
    if (frame !== null && frame !== undefined) kept.set(`${spec.name}.frame`, frame);
  }
  return kept.toString();
}

/** Write a state into the address, so that the view can be shared. */
export function writeState(spec, state, frame = null) {
  const search = query(spec, state, frame, location.search);
  try {
    history.replaceState(history.state, "", `${location.pathname}${search && `?${search}`}${location.hash}`);
  } catch {
    // From disk, or after too many changes a second, the address stays as it is.
  }
}
