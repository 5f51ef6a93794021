// Opens widgets of the served site in Firefox, by its own protocol (WebDriver BiDi). Reads
// {firefox, pages: [[address, widget]]} as JSON; writes what each said, showed and complained of.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const PATIENCE = 90_000; // milliseconds; some widgets load networks, perhaps on a busy machine
const { firefox, pages } = JSON.parse(readFileSync(0, "utf-8"));
const browser = await puppeteer.launch({ browser: "firefox", executablePath: firefox, headless: true });
const found = [];
for (const [address, name] of pages) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  const problems = [];
  page.on("console", (said) => said.type() === "error" && problems.push(`console: ${said.text()}`));
  page.on("pageerror", (error) => problems.push(`error: ${error}`));
  await page.goto(address, { waitUntil: "load" });
  const selector = `figure[data-widget="${name}"]`;
  await (await page.$(`${selector} .widget-open`)).click();
  let ready = true;
  try {
    await page.waitForSelector(`${selector} .widget:not([aria-busy])`, { timeout: PATIENCE });
  } catch {
    ready = false;
  }
  found.push({
    name,
    ready,
    problems,
    ...(await page.$eval(selector, (figure) => ({
      says: figure.querySelector(".widget-says")?.textContent ?? "",
      trouble: figure.querySelector(".widget-trouble:not([hidden])")?.textContent ?? "",
      // Share of the pixels that are not empty, over all canvases.
      painted: [...figure.querySelectorAll(".widget canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, at) => at % 4 === 3 && value > 0).length / (data.length / 4);
      }),
      isDrawingHidden: getComputedStyle(figure.querySelector(".drawing")).display === "none",
    }))),
  });
  await page.close();
}
await browser.close();
process.stdout.write(JSON.stringify(found));
