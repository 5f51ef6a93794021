// Names the theme's bundle expects: where the site begins, and storage kept apart from other sites
// on the same host. Runs before anything is drawn.
const script = document.currentScript;
document.documentElement.classList.replace("no-js", "js");

window.__md_scope = new URL(script.dataset.base, location);
window.__md_hash = (text) =>
  [...text].reduce((hash, letter) => (hash << 5) - hash + letter.charCodeAt(0), 0);
window.__md_get = (key, storage = localStorage, scope = window.__md_scope) => {
  try {
    return JSON.parse(storage.getItem(`${scope.pathname}.${key}`));
  } catch {
    return null; // storage is blocked or holds something else
  }
};
window.__md_set = (key, value, storage = localStorage, scope = window.__md_scope) => {
  try {
    storage.setItem(`${scope.pathname}.${key}`, JSON.stringify(value));
  } catch {
    // Storage is blocked or full: the choice holds for this page only.
  }
};
