// The trained networks that one widget holds: fetched at first use, given back when it closes.

import { models } from "./models.mjs";

/** What a widget makes of a download: a sentence that counts. */
export function loading({ loaded, total }) {
  const share = Math.min(100, Math.round((100 * loaded) / total));
  return `Fetching the trained network: ${share} % of ${(total / 1e6).toFixed(1)} MB.`;
}

/**
 * A holder of networks. `run(name, feeds, {signal, progress})` answers as models.run does, and tells
 * `progress` of a download in words; the download itself goes on when the signal is aborted, since
 * whoever moved a control meanwhile waits for the same network.
 */
export function holder() {
  const held = new Map();
  let say = () => {};
  return {
    /** Wait until a network is there: for whoever times its answers, and not the download. */
    async load(name, { signal, progress }) {
      say = progress;
      if (!held.has(name)) {
        const made = models.load(name, (part) => say(loading(part)));
        held.set(name, made);
        made.catch(() => held.delete(name));
      }
      await held.get(name);
      signal.throwIfAborted();
    },

    async run(name, feeds, tools) {
      await this.load(name, tools);
      return models.run(name, feeds, tools.signal);
    },

    release() {
      for (const name of held.keys()) models.release(name);
      held.clear();
    },
  };
}
