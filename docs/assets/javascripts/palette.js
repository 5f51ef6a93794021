// Light or dark: the reader's choice, or the system's where none was made.
// Runs before the page is drawn.
{
  const button = document.querySelector(".palette");
  const faces = [...button.querySelectorAll("[data-scheme]")];
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = window.__md_get("__palette")?.color?.scheme;

  const show = () => {
    const known = faces.find(({ dataset }) => dataset.scheme === chosen)?.dataset.scheme;
    const scheme = known ?? (system.matches ? "slate" : "default");
    document.body.setAttribute("data-md-color-scheme", scheme);
    // The button is seen when it has a title: not while the rest of the header is still to come.
    if (document.readyState !== "loading") {
      button.title = faces.find(({ dataset }) => dataset.scheme === scheme).dataset.name;
    }
    return scheme;
  };
  button.addEventListener("click", () => {
    chosen = show() === "slate" ? "default" : "slate";
    window.__md_set("__palette", { color: { scheme: show() } });
  });
  system.addEventListener("change", show);
  addEventListener("DOMContentLoaded", show);
  show();
}
