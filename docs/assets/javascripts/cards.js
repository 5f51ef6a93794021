// What a term, a citation or a reference to an equation or figure means, shown where it stands.
// All of it is on the page already: nothing is asked for, so it works from disk as well.
// A plain deferred script, not a module: browsers load no modules from disk.

{
  const LINKS = "a.term, a.cite, a.reference";
  const GAP = 8;
  const card = document.createElement("div");
  card.className = "card md-typeset";
  card.id = "card";
  card.role = "tooltip";
  card.hidden = true;

  let shown = null; // the link whose card is open
  let timer = 0;

  // Takes the copy out of the page's order: no second anchor, no second stop of the keyboard.
  const inert = (copy) => {
    for (const one of copy.querySelectorAll("*")) {
      one.removeAttribute("id");
      one.removeAttribute("tabindex");
      if (one.localName === "img") one.loading = "eager";
    }
    for (const link of copy.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    return copy;
  };

  const copyOf = (...parts) => {
    const copy = document.createElement("div");
    for (const part of parts) if (part) copy.append(part.cloneNode(true));
    return inert(copy);
  };

  const equation = (target) => {
    const label = document.createElement("p");
    label.className = "card-label";
    label.textContent = `Equation ${target.querySelector(".equation-number").textContent}`;
    return copyOf(label, target.querySelector(".equation-body"));
  };

  const figure = (target) => {
    const copy = document.createElement("figure");
    copy.append(copyOf(target.querySelector(".drawing"), target.querySelector("figcaption")));
    for (const line of copy.querySelectorAll(".reproduce")) line.remove();
    return copy;
  };

  const contentOf = (link) => {
    if (link.dataset.says) {
      const text = document.createElement("p");
      text.textContent = link.dataset.says;
      return text;
    }
    const name = decodeURIComponent(link.hash.slice(1));
    if (link.pathname === location.pathname) {
      const target = document.getElementById(name);
      if (target?.matches(".equation")) return equation(target);
      return target?.matches("figure") ? figure(target) : null;
    }
    const held = document.querySelector(`template[data-for="${CSS.escape(name)}"]`);
    return held && inert(held.content.cloneNode(true));
  };

  // Below the line of the link, or above it where there is more room.
  const place = () => {
    if (!shown) return;
    const [begins] = shown.getClientRects();
    const { top, bottom } = shown.getBoundingClientRect(); // of all its lines
    if (!begins || bottom < 0 || top > innerHeight) return hide();
    const room = document.documentElement.clientWidth - card.offsetWidth - GAP;
    const below = bottom + GAP;
    const above = top - GAP - card.offsetHeight;
    const fits = below + card.offsetHeight <= innerHeight - GAP || above < GAP;
    card.style.left = `${Math.max(GAP, Math.min(begins.left, room))}px`;
    card.style.top = `${fits ? below : above}px`;
  };

  const show = (link) => {
    clearTimeout(timer);
    if (link === shown) return;
    hide();
    const content = contentOf(link);
    if (!content) return;
    card.replaceChildren(content);
    if (!card.isConnected) document.querySelector("main").append(card);
    card.hidden = false;
    shown = link;
    link.setAttribute("aria-describedby", card.id);
    fit();
    place();
  };

  // A formula wider than the window is set smaller rather than cut.
  const fit = () => {
    const body = card.querySelector(".equation-body");
    if (body && body.scrollWidth > body.clientWidth) {
      body.style.fontSize = `${Math.max(0.5, body.clientWidth / body.scrollWidth) * 0.97}em`;
    }
  };

  const hide = () => {
    clearTimeout(timer);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
    card.replaceChildren();
  };

  // Only what hovers: the first tap of a finger follows the link, as it always did.
  const hovers = (event) => event.pointerType !== "touch";
  const linkOf = (event) => event.target.closest?.(LINKS);

  document.addEventListener("pointerover", (event) => {
    if (!hovers(event)) return;
    const link = linkOf(event);
    if (link) {
      clearTimeout(timer);
      timer = setTimeout(show, shown ? 0 : 120, link);
    } else if (event.target.closest?.("#card")) {
      clearTimeout(timer);
    } else if (document.activeElement !== shown) {
      clearTimeout(timer);
      timer = setTimeout(hide, 200);
    }
  });
  document.addEventListener("focusin", (event) => {
    const link = linkOf(event);
    if (link?.matches(":focus-visible")) show(link);
    else hide();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("click", hide);
  document.documentElement.addEventListener("pointerleave", hide);
  addEventListener("scroll", place, { passive: true, capture: true });
  addEventListener("resize", hide);
}
