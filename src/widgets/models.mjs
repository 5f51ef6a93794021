// The trained networks of the book, for widgets: loaded on demand and run by one worker per page.
//
//   await models.load("digits", ({ loaded, total }) => ..., signal)
//   const { output } = await models.run("digits", { x_t: { data, dims }, ... }, signal)
//   models.release("digits")
//
// Errors are sentences for the reader. An aborted signal throws an AbortError; what waits is dropped,
// what runs is finished and thrown away.

const here = globalThis.document?.currentScript?.src; // of the bundle that this is part of

function start() {
  let worker = null;
  let last = 0;
  const asked = new Map(); // id: what to do with the answer
  const users = new Map(); // name of a network: how many widgets hold it

  function awake() {
    if (worker) return worker;
    if (globalThis.location?.protocol === "file:") {
      throw new Error("Opened from disk, a page may not start what runs a network: browsers refuse it.");
    }
    try {
      worker = new Worker(new URL("worker.js", here));
    } catch (error) {
      throw new Error(`What runs the network cannot be started here (${error.message}).`);
    }
    worker.onmessage = ({ data }) => {
      const { id, progress, answer, error } = data;
      const job = asked.get(id);
      if (progress) return job?.progress?.(progress);
      asked.delete(id);
      if (error === undefined) return job?.done(answer);
      job?.failed(new Error(error));
    };
    worker.onerror = (event) => {
      event.preventDefault?.();
      stop(new Error("What runs the network cannot be started here: its code is missing or blocked."));
    };
    return worker;
  }

  function stop(error) {
    worker?.terminate();
    worker = null;
    const left = [...asked.values()];
    asked.clear();
    for (const job of left) job.failed(error);
  }

  function ask(message, signal, progress) {
    return new Promise((done, failed) => {
      if (signal?.aborted) throw signal.reason;
      const id = (last += 1);
      const target = awake();
      const drop = () => {
        asked.delete(id);
        target.postMessage({ cancel: id });
        failed(signal.reason);
      };
      const settle = (act) => (value) => {
        signal?.removeEventListener("abort", drop);
        act(value);
      };
      signal?.addEventListener("abort", drop, { once: true });
      asked.set(id, { done: settle(done), failed: settle(failed), progress });
      target.postMessage({ id, ...message });
    });
  }

  return {
    /** Fetch, check and open a network; its inputs and outputs. `progress` hears {loaded, total} in bytes. */
    async load(name, progress, signal) {
      users.set(name, (users.get(name) ?? 0) + 1);
      try {
        return await ask({ kind: "load", name }, signal, progress);
      } catch (error) {
        this.release(name);
        throw error;
      }
    },

    /** Outputs by name, {data, dims}, for inputs by name; labels may be any list of whole numbers. */
    run(name, feeds, signal) {
      return ask({ kind: "run", name, feeds }, signal);
    },

    /** Give a loaded network back. With the last one the worker goes, and its memory. */
    release(name) {
      const left = (users.get(name) ?? 1) - 1;
      users.set(name, left);
      if (left > 0) return;
      users.delete(name);
      if (!worker) return;
      if (users.size) ask({ kind: "release", name }).catch(() => {});
      else stop(new DOMException("closed", "AbortError"));
    },

    /** How many answers are waited for, and whether the worker is there. */
    get state() {
      return { waiting: asked.size, awake: worker !== null };
    },
  };
}

// Each widget's file carries a copy of this code; the first one on the page serves them all.
export const models = (globalThis.fromnoiseModels ??= start());
