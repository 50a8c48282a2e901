/** Chromium as the window of VS Code. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { install, PreflightError } from "../../../scripts/support/preflight.ts";

const CANDIDATES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome-stable",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** @throws PreflightError naming the command that installs one, unless this process is root on Debian: it does it then */
export function findChromium(log: (line: string) => void = console.log): string {
  const named = process.env["WEFT_CHROMIUM"];
  const found = [...(named === undefined ? [] : [named]), ...CANDIDATES].find((path) => existsSync(path));
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    log("installing chromium");
    install(["chromium"]);
    return "/usr/bin/chromium";
  }
  throw new PreflightError("No Chromium: sudo apt-get install chromium, or name one in WEFT_CHROMIUM");
}

export async function launchBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: findChromium(),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "--force-color-profile=srgb",
      "--font-render-hinting=none",
    ],
  });
}
