// A worker with Playwright for Node: `playwright_worker.mjs CDP_URL SITE_URL`; see tests/clients/README.md.
import { chromium } from "playwright-core";

const [cdpUrl, site] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

const browser = await chromium.connectOverCDP(cdpUrl);
const gone = new Promise((resolve) => browser.on("disconnected", resolve));
const page = await browser.contexts()[0].newPage();
await page.goto(`${site}/sign-in`);
await page.locator("input[name=user]").pressSequentially("playwright-core");
await page.click("button");
await page.waitForSelector("p");
say({ did: "signed in", page: await page.innerText("p") });
await page.goto(`${site}/attached`);
const [download] = await Promise.all([page.waitForEvent("download"), page.click("a")]);
say({ did: "downloaded", name: download.suggestedFilename() });
const acting = page.evaluate(() => new Promise(() => 0)).catch((error) => error);
await page.evaluate(() => 1);
say({ did: "acts" });
const error = await acting;
await gone;
say({ did: "ended", error: String(error.message) });
process.exit(0);
