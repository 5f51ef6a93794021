// Apply the reader's choice of light or dark, or the system's where none was made.
{
  const chosen = window.__md_get("__palette")?.color?.scheme;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const scheme = chosen === "slate" || chosen === "default" ? chosen : dark ? "slate" : "default";
  document.body.setAttribute("data-md-color-scheme", scheme);
}
