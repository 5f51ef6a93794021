// The picture of the first page: the same noise walked to the end by the whole model and by the
// broken one. It stands at the end until the reader moves it; without scripts the drawing stays.
// A plain deferred script, not a module: browsers load no modules from disk.

{
  const figure = document.querySelector('figure[data-experiment$="home/from_noise.py"]');
  if (figure) start(figure);
}

async function start(figure) {
  const drawing = figure.querySelector("img");
  const source = drawing.src.replace(/(\.dark)?\.svg.*$/, ".json");
  if (location.protocol === "file:") return; // nothing can be fetched from disk
  const answer = await fetch(source).catch(() => null);
  if (!answer?.ok) return;
  const { whole, broken, removed, columns, levels } = (await answer.json()).results;
  const last = whole[0].length - 1;

  const player = document.createElement("div");
  player.className = "player";
  player.innerHTML = `
    <p class="break-head"><span class="break-whole">Whole</span>
      <span class="break-removed"></span><span class="break-broken">Broken</span></p>
    <div class="player-sides"><canvas role="img"></canvas><canvas role="img"></canvas></div>
    <div class="player-controls"><button type="button">Play</button><span>noise</span>
      <input type="range" min="0" max="${last}" value="${last}" step="1"
        aria-label="Step of sampling, from noise to data"><span>data</span></div>`;
  player.querySelector(".break-removed").textContent = removed;
  const [left, right] = player.querySelectorAll("canvas");
  left.setAttribute("aria-label", "Samples of the whole model");
  right.setAttribute("aria-label", `Samples without ${removed}`);
  const button = player.querySelector("button");
  const slider = player.querySelector("input");

  const show = () => {
    sheet(left, whole, +slider.value, columns, levels);
    sheet(right, broken, +slider.value, columns, levels);
  };

  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  };
  const play = () => {
    if (+slider.value >= last) slider.value = 0;
    show();
    button.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = +slider.value + 1;
      show();
      if (+slider.value >= last) stop();
    }, 200);
  };
  button.addEventListener("click", () => (timer ? stop() : play()));
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) || stop()).observe(player);
  new MutationObserver(show).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });

  // It takes the room of the drawing, so that nothing moves when it comes.
  player.style.minHeight = `${drawing.parentElement.offsetHeight}px`;
  figure.prepend(player);
  figure.classList.add("has-player");
  show();
}

// One step of every image, in rows, in the color of the canvas on nothing.
function sheet(canvas, paths, step, columns, [low, high]) {
  const size = paths[0][step].length;
  const tile = size + 1;
  const rows = Math.ceil(paths.length / columns);
  canvas.width = columns * tile - 1;
  canvas.height = rows * tile - 1;
  const context = canvas.getContext("2d");
  const ink = pixel(getComputedStyle(canvas).color);
  const image = context.createImageData(canvas.width, canvas.height);
  paths.forEach((path, index) => {
    const top = Math.floor(index / columns) * tile;
    const left = (index % columns) * tile;
    path[step].forEach((row, y) =>
      row.forEach((value, x) => {
        const strength = Math.min(Math.max((value - low) / (high - low), 0), 1);
        image.data.set([...ink, 255 * (0.06 + 0.94 * strength)], 4 * ((top + y) * canvas.width + left + x));
      }),
    );
  });
  context.putImageData(image, 0, 0);
}

function pixel(color) {
  return color.match(/[\d.]+/g).slice(0, 3).map(Number);
}
