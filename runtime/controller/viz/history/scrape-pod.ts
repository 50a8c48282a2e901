/** GET of a proxy's metrics: plain HTTP to its admin port, which the redirect leaves alone. */
import { get, type IncomingMessage } from "node:http";
import { port } from "../../../model/ports.ts";
import { FAMILIES, Scrape } from "./scrape.ts";
import type { SeriesKeys } from "./series-key.ts";

/** More is no proxy's answer. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Proxies of Weft render only these families; others answer in full. */
const PATH = `/metrics?families=${FAMILIES.join(",")}`;

/** @throws Error with what went wrong: refused, timed out, no proxy's answer */
export async function scrapePod(
  ip: string,
  keys: SeriesKeys,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal; readonly port?: number },
): Promise<Scrape> {
  const scrape = new Scrape(keys);
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get({ host: ip, port: options.port ?? port.admin, path: PATH, agent: false, signal }, resolve);
    request.once("error", reject);
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`/metrics answered ${response.statusCode}`);
  }
  response.setEncoding("utf8");
  let bytes = 0;
  for await (const piece of response as AsyncIterable<string>) {
    bytes += piece.length;
    if (bytes > MAX_BYTES) {
      response.destroy();
      throw new Error(`/metrics answered more than ${MAX_BYTES} bytes`);
    }
    scrape.push(piece);
  }
  scrape.end();
  return scrape;
}
