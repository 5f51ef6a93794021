// What every widget shares: its controls, its state in the address of the page, a player for what
// moves, and the manners of a guest on the page. A widget gives a description; see `open`.

import { beginning, clamp, readState, writeState } from "./state.mjs";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Open a widget in a figure of the page, in place of its drawing.
 *
 * The description holds:
 *   name      as in the address of the page, and of the file
 *   title     what the reader touches, in a few words
 *   controls  a list of {kind: "range" | "choice" | "switch" | "seed", key, label, value, ...}:
 *             a range has min, max, step and perhaps show(value); a choice has options, a list of
 *             [value, label]; a switch that takes a part away has broken: true; where the picture
 *             itself is touched, own: true leaves the input to `build`; `group` is a heading that
 *             controls in a row share; `when(state)` says whether the control has a meaning now
 *   frames    (state, data) => number of pictures, where something moves; `frameName` says what one
 *             is, `frameText({state, data, frame})` how it reads, `start` which one is shown
 *             first where that is not the last
 *   fromStart show the first picture until the reader plays, not the last
 *   build     (stage, {state, change}) => whatever draw needs, such as canvases from paint.mjs;
 *             change({key: value}) moves controls, as when the reader drags in the picture
 *   compute   async (state, {signal, progress, data}) => data; runs when a control has moved, an
 *             older run that is not finished is aborted and its data dropped
 *   draw      ({parts, state, data, frame}) paints one picture
 *   numbers   ({state, data, frame}) => a list of {key, label, value, text}: what is measured
 *   describe  ({state, data, frame}) => the picture in words, for those who cannot see it
 *   close     () frees what compute holds
 */
export function open(figure, described) {
  const spec = beginning(described, figure.dataset.begin);
  const gone = new AbortController();
  const on = (target, kind, act) => target.addEventListener(kind, act, { signal: gone.signal });
  const state = readState(spec, location.search);
  const home = spec.fromStart ? 0 : (spec.start ?? Infinity);
  let frame = state.frame ?? home;
  let length = Infinity; // number of the last picture that was shown as such
  let data = null;
  let run = null;
  let timer = 0;
  let writing = 0;

  const root = element("div", { class: "widget", role: "group", "aria-label": spec.title });
  const stage = element("div", { class: "widget-stage" });
  const controls = element("div", { class: "widget-controls" });
  const numbers = element("dl", { class: "widget-numbers" });
  const says = element("p", { class: "widget-says", "aria-live": "polite" });
  const trouble = element("p", { class: "widget-trouble", role: "alert", hidden: "" });
  const player = spec.frames ? makePlayer() : null;
  const parts = spec.build(stage, { state, change });
  const inputs = spec.controls.filter((control) => !control.own).map(makeControl);
  arrange();
  const reset = button("Reset", restart);
  const shut = button("Back to the figure", close);
  root.append(
    element("p", { class: "widget-title" }, spec.title), stage, ...(player ? [player.row] : []),
    ...(spec.numbers ? [numbers] : []), says, controls, trouble,
    element("p", { class: "widget-end" }, reset, shut),
  );
  figure.prepend(root);
  figure.classList.add("has-widget");

  on(document, "visibilitychange", () => document.hidden && pause());
  on(window, "pagehide", () => (pause(), writeNow()));
  on(window, "beforeprint", pause);
  const seen = new IntersectionObserver((entries) => entries.at(-1).isIntersecting || pause());
  const theme = new MutationObserver(paint);
  const size = new ResizeObserver(paint);
  seen.observe(root);
  theme.observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  size.observe(stage);
  recompute();
  return { root, state, close, ready: () => run?.done };

  // ---- from controls to a picture ----

  function recompute() {
    stop();
    run?.abort.abort();
    const abort = new AbortController();
    const mine = { abort };
    run = mine;
    trouble.hidden = true;
    root.setAttribute("aria-busy", "true");
    const tools = {
      signal: abort.signal, data,
      progress: (text) => run === mine && (says.textContent = text),
    };
    mine.done = (async () => {
      const found = spec.compute ? await spec.compute({ ...state }, tools) : null;
      if (run !== mine) return;
      data = found;
      if (home === Infinity && frame >= length) frame = Infinity; // the end stays the end
      frame = clamp(frame, 0, last());
      root.removeAttribute("aria-busy");
      figure.classList.add("has-widget");
      show();
    })().catch((error) => {
      if (run === mine && error.name !== "AbortError") fail(error);
    });
    return mine.done;
  }

  function changed() {
    fit();
    if (spec.fromStart) frame = home;
    writeFrame();
    recompute();
  }

  function change(values) {
    Object.assign(state, values);
    for (const input of inputs) input.show();
    changed();
  }

  function writeFrame() {
    clearTimeout(writing); // browsers drop addresses that change too often
    writing = setTimeout(writeNow, 200);
  }

  function writeNow() {
    clearTimeout(writing);
    const away = spec.frames && frame !== clamp(home, 0, last());
    writeState(spec, state, away ? frame : null);
  }

  function last() {
    return spec.frames ? Math.max(spec.frames(state, data) - 1, 0) : 0;
  }

  function paint() {
    if (root.getAttribute("aria-busy") && !data) return;
    if (spec.compute && !data) return;
    const at = spec.frames ? clamp(Math.round(frame), 0, last()) : 0;
    spec.draw({ parts, state, data, frame: at });
  }

  function show() {
    player?.show();
    paint();
    length = last();
    const seen = { state, data, frame: Math.min(frame, length) };
    if (spec.numbers) numbers.replaceChildren(...spec.numbers(seen).map(measured));
    if (!timer) says.textContent = spec.describe(seen);
  }

  function measured({ key, label, value, text }) {
    const shown = element("data", { value, "data-key": key }, text);
    return element("div", {}, element("dt", {}, label), element("dd", {}, shown));
  }

  // What failed is said, and the figure stands there again: the reader loses nothing.
  function fail(error) {
    pause();
    root.removeAttribute("aria-busy");
    says.textContent = "";
    trouble.textContent = `${error.message} The figure below shows what was measured.`;
    trouble.hidden = false;
    if (!data) figure.classList.remove("has-widget");
  }

  function restart() {
    for (const control of spec.controls) state[control.key] = control.value;
    for (const input of inputs) input.show();
    frame = home;
    changed();
  }

  function close() {
    stop();
    clearTimeout(writing);
    run?.abort.abort();
    run = null;
    gone.abort();
    for (const observer of [seen, theme, size]) observer.disconnect();
    spec.close?.();
    root.remove();
    figure.classList.remove("has-widget");
    writeState(spec, null);
    figure.dispatchEvent(new CustomEvent("widget-closed"));
  }

  // ---- what moves ----

  function stop() {
    clearInterval(timer);
    timer = 0;
  }

  function pause() {
    if (!timer) return;
    stop();
    show();
    writeFrame();
  }

  function play() {
    if (frame >= last()) frame = 0;
    if (STILL.matches) frame = last(); // asked for no motion: the end, at once
    else {
      timer = setInterval(() => {
        frame += 1;
        if (frame >= last()) pause();
        show();
      }, Math.max(30, Math.min(200, 2500 / Math.max(last(), 1))));
    }
    show();
  }

  function makePlayer() {
    const toggle = button("Play", () => (timer ? pause() : play()));
    const step = button("Step", () => go(frame >= last() ? 0 : Math.round(frame) + 1));
    const slider = element("input", { type: "range", min: 0, step: 1, "aria-label": spec.frameName });
    const shown = element("output", {});
    on(slider, "input", () => go(+slider.value));
    const go = (to) => {
      pause();
      frame = to;
      show();
      writeFrame();
    };
    return {
      row: element("div", { class: "widget-player" }, toggle, step, slider, shown),
      show() {
        slider.max = last();
        slider.value = frame;
        toggle.textContent = timer ? "Pause" : "Play";
        const at = Math.min(frame, last());
        const plain = `${at} of ${last()}`;
        const said = spec.frameText && data ? spec.frameText({ state, data, frame: at }) : plain;
        shown.textContent = said;
        slider.setAttribute("aria-valuetext", said);
      },
    };
  }

  // ---- controls ----

  function arrange() {
    const groups = new Map();
    for (const { group, row } of inputs) {
      if (!groups.has(group)) {
        const box = group ? element("fieldset", {}, element("legend", {}, group)) : element("div", {});
        groups.set(group, box);
        controls.append(box);
      }
      groups.get(group).append(row);
    }
    fit();
  }

  function fit() {
    for (const { row, when } of inputs) row.hidden = when ? !when(state) : false;
    for (const box of controls.children) {
      box.hidden = ![...box.querySelectorAll(".widget-row")].some((row) => !row.hidden);
    }
  }

  function makeControl(control) {
    const id = `${spec.name}-${control.key}`;
    const label = element("label", { for: id }, control.label);
    const set = (value) => {
      state[control.key] = value;
      changed();
    };
    let input;
    let after = "";
    let show;
    if (control.kind === "choice") {
      input = element("select", { id });
      for (const [value, text] of control.options) input.append(element("option", { value }, text));
      on(input, "change", () => set(input.value));
      show = () => (input.value = state[control.key]);
    } else if (control.kind === "switch") {
      input = element("input", { id, type: "checkbox", role: "switch" });
      on(input, "change", () => set(input.checked));
      show = () => (input.checked = state[control.key]);
    } else if (control.kind === "seed") {
      input = element("input", { id, type: "number", min: 0, max: 9999, step: 1, inputmode: "numeric" });
      on(input, "change", () => {
        set(clamp(Math.round(Number(input.value)) || 0, 0, 9999));
        show();
      });
      after = button("Another", () => {
        set((state[control.key] + 1) % 10000);
        show();
      });
      after.setAttribute("aria-label", `Another ${control.label.toLowerCase()}`);
      show = () => (input.value = state[control.key]);
    } else if (control.kind === "range") {
      const { min, max, step } = control;
      input = element("input", { id, type: "range", min, max, step });
      after = element("output", { for: id });
      show = () => {
        input.value = state[control.key];
        const said = control.show ? control.show(state[control.key]) : String(state[control.key]);
        after.textContent = said;
        input.setAttribute("aria-valuetext", said);
      };
      on(input, "input", () => {
        set(Number(input.value));
        show();
      });
    } else {
      throw new Error(`${spec.name}: there is no control of kind ${control.kind}`);
    }
    show();
    const row = element("div", { class: `widget-row widget-${control.kind}` }, label, input, after);
    if (control.broken) row.classList.add("widget-broken");
    return { row, show, group: control.group, when: control.when };
  }

  function button(text, act) {
    const made = element("button", { type: "button" }, text);
    on(made, "click", act);
    return made;
  }
}

/** An element with attributes and children; text is taken as text, never as markup. */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== ""));
  return made;
}
