// Small services to the reader, none of which a page needs.
// A plain deferred script, not a module: browsers load no modules from disk.

{
  // A box that scrolls sideways can be reached by the keyboard; one that does not is no stop.
  const boxes = ".drawing, .equation-body, .formula, .table-wrap, .md-typeset__scrollwrap, pre > code";
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });

  // The theme wraps tables late, and gives each block of code a landmark where none is needed.
  const tend = () => {
    for (const box of document.querySelectorAll(boxes)) observer.observe(box);
    for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])")) {
      nav.role = "presentation";
    }
  };
  new MutationObserver(tend).observe(document.body, { childList: true, subtree: true });
  tend();

  // Paper cannot be opened: print with every answer and derivation unfolded.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });

  // A link to something folded opens what hides it.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = target?.closest("details"); box; box = box.parentElement.closest("details")) {
      box.open = true;
    }
    if (target?.closest("details")) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
}
