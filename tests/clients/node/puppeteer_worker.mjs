// A worker with Puppeteer: `puppeteer_worker.mjs CDP_URL SITE_URL`; see tests/clients/README.md.
import puppeteer from "puppeteer-core";

const [cdpUrl, site] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

const browser = await puppeteer.connect({ browserWSEndpoint: cdpUrl, defaultViewport: null });
const gone = new Promise((resolve) => browser.once("disconnected", resolve));
const page = await browser.newPage();
await page.goto(`${site}/sign-in`);
await page.type("input[name=user]", "puppeteer-core");
await Promise.all([page.waitForSelector("p"), page.click("button")]);
say({ did: "signed in", page: await page.$eval("p", (each) => each.textContent) });
await page.goto(`${site}/attached`);
const client = await page.createCDPSession();
await client.send("Page.enable");
const downloading = new Promise((resolve) => client.once("Page.downloadWillBegin", resolve));
await page.click("a");
say({ did: "downloaded", name: (await downloading).suggestedFilename });
const acting = page.evaluate(() => new Promise(() => 0)).catch((error) => error);
await page.evaluate(() => 1);
say({ did: "acts" });
const error = await acting;
await gone;
say({ did: "ended", error: String(error.message) });
process.exit(0);
