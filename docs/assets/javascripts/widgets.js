// Brings a widget on the reader's first click, or when the address of the page names it.
// A plain deferred script, not a module: browsers load no modules from disk.

{
  // After a reload, or on the way back, the browser knows where the reader was.
  const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  const here = document.currentScript.src;
  const bring = (file) =>
    new Promise((done, failed) => {
      const sheet = file.endsWith(".css");
      const tag = document.createElement(sheet ? "link" : "script");
      if (sheet) tag.rel = "stylesheet";
      tag[sheet ? "href" : "src"] = new URL(file, here);
      tag.onload = done;
      tag.onerror = () => failed(tag.remove());
      document.head.append(tag);
    });

  for (const figure of document.querySelectorAll("figure[data-widget]")) {
    const name = figure.dataset.widget;
    const button = figure.querySelector(".widget-open");
    const open = async (clicked) => {
      button.disabled = true;
      try {
        if (!window.widgets?.[name]) {
          await Promise.all([bring("../stylesheets/widgets.css"), bring(`widgets/${name}.js`)]);
        }
        const widget = window.widgets[name](figure);
        figure.querySelector(".widget-bar").hidden = true;
        if (clicked) widget.root.querySelector("button, input, select").focus({ preventScroll: true });
        else if (!location.hash && fresh) figure.scrollIntoView();
      } catch {
        button.textContent = "It could not be loaded: try again";
        button.disabled = false;
      }
    };
    button.addEventListener("click", open);
    figure.addEventListener("widget-closed", () => {
      figure.querySelector(".widget-bar").hidden = button.disabled = false;
      button.focus();
    });
    if (new URLSearchParams(location.search).get("widget") === name) open(false);
  }
}
