// Lets the search work in a copy of the site that is read from disk, where browsers start no workers.
// What would be a worker runs in a frame of its own instead, from the moment the reader searches.
// Pages load this only in the archive of the site.

if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #waiting = [];
    #inside = null;

    constructor(address) {
      super();
      const start = () => {
        if (!document.activeElement?.closest("[data-md-component=search]")) return;
        removeEventListener("focusin", start);
        this.#start(address);
      };
      addEventListener("focusin", start);
      start();
    }

    postMessage(data) {
      if (!this.#inside) this.#waiting.push(data);
      else this.#inside.dispatchEvent(new MessageEvent("message", { data }));
    }

    #start(address) {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inside.document.createElement("script");
      script.src = address;
      script.addEventListener("load", () => {
        this.#inside = inside;
        for (const data of this.#waiting.splice(0)) this.postMessage(data);
      });
      inside.document.body.append(script);
    }
  };
}
