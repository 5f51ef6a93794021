// Run in the document before it is printed. What is wider than its place gets the margin too, and
// what is wider than that is set smaller. Returns what still does not fit: Chromium would cut it
// off at the edge, or print the whole book smaller for its sake.
() => {
  const boxes = ".equation-body, .table-wrap, .md-typeset__scrollwrap";
  const over = (box) => box.scrollWidth > box.clientWidth + 1;
  for (const box of document.querySelectorAll(boxes)) {
    if (over(box)) (box.closest(".equation") ?? box).classList.add("reaching");
    for (let size = 95; over(box) && size >= 50; size -= 5) box.style.zoom = size / 100;
  }
  const edge = document.documentElement.clientWidth;
  const outside = (one) => {
    const { left, right, width } = one.getBoundingClientRect();
    return width > 0 && (right > edge + 1 || left < -1);
  };
  return [...document.body.querySelectorAll("*")]
    .filter((one) => outside(one) && ![...one.children].some(outside))
    .map((one) => `${one.closest("section")?.id}: ${one.outerHTML.slice(0, 80)}`);
}
