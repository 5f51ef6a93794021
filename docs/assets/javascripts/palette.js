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
    for (const face of faces) {
      face.hidden = face.dataset.scheme !== scheme;
      if (!face.hidden) button.title = face.dataset.name;
    }
    return scheme;
  };
  button.addEventListener("click", () => {
    chosen = show() === "slate" ? "default" : "slate";
    window.__md_set("__palette", { color: { scheme: show() } });
  });
  system.addEventListener("change", show);
  show();
  button.hidden = false;
}
