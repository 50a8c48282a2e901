/**
 * A small system of agents that answers questions: gateway → planner → tools, with a store for what was said before.
 * Agents find each other by Service name; addresses can be set by environment for runs outside a cluster.
 */
import { call } from "./call.ts";
import { type RunningService, serve } from "./service.ts";
import { StoreClient, serveStore } from "./store.ts";

const HTTP_PORT = 8080;
const STORE_PORT = 7070;

/** Share of lookups that fail on purpose, so that there is a failure to find. */
const SEARCH_FAILURE_RATE = 0.05;

const address = (variable: string, fallback: string): string => process.env[variable] ?? fallback;
const listenPort = (fallback: number): number => Number(process.env["PORT"] ?? fallback);

/** Entry of every question. POST /ask {question} → {answer, steps} */
export async function gateway(): Promise<RunningService> {
  const planner = address("PLANNER_URL", `http://planner:${HTTP_PORT}`);
  return await serve("gateway", listenPort(HTTP_PORT), async ({ method, path, body }) => {
    if (method !== "POST" || path !== "/ask") return { status: 404, body: { error: "POST /ask {question}" } };
    return { status: 200, body: await call("POST", `${planner}/plan`, JSON.parse(body || "{}")) };
  });
}

/** Splits a question into steps for the tools and joins what they say. POST /plan {question} */
export async function planner(): Promise<RunningService> {
  const search = address("SEARCH_URL", `http://search-tool:${HTTP_PORT}`);
  const calculator = address("CALCULATOR_URL", `http://calculator-tool:${HTTP_PORT}`);
  const [storeHost = "store", storePort = STORE_PORT] = address("STORE_ADDRESS", `store:${STORE_PORT}`).split(":");
  const store = new StoreClient(storeHost, Number(storePort));
  const service = await serve("planner", listenPort(HTTP_PORT), async ({ method, path, body }) => {
    if (method !== "POST" || path !== "/plan") return { status: 404, body: { error: "POST /plan {question}" } };
    const { question = "" } = JSON.parse(body || "{}") as { question?: string };
    const key = Buffer.from(question).toString("base64url").slice(0, 64) || "nothing";
    const before = await store.recall(key);
    const [found, sum] = await Promise.all([
      // An answer without the lookup is better than none: only the tool itself shows its failures.
      call("GET", `${search}/search?q=${encodeURIComponent(question)}`).catch(() => "the search tool is not well"),
      call("POST", `${calculator}/evaluate`, { numbers: [...question].map((letter) => letter.charCodeAt(0)) }),
    ]);
    const answer = { question, found, sum, askedBefore: before !== undefined };
    await store.remember(key, new Date().toISOString());
    return { status: 200, body: answer };
  });
  return {
    port: service.port,
    drain: async () => {
      await service.drain();
      store.close();
    },
  };
}

/** Looks things up; fails 5 % of its requests. GET /search?q= */
export async function searchTool(): Promise<RunningService> {
  return await serve("search-tool", listenPort(HTTP_PORT), async ({ path, query }) => {
    if (path !== "/search") return { status: 404, body: { error: "GET /search?q=" } };
    if (Math.random() < SEARCH_FAILURE_RATE) return { status: 503, body: { error: "the index is being rebuilt" } };
    const words = (query.get("q") ?? "").split(/\s+/).filter((word) => word !== "");
    return {
      status: 200,
      body: { words: words.length, longest: words.reduce((a, b) => (b.length > a.length ? b : a), "") },
    };
  });
}

/** Adds numbers. POST /evaluate {numbers} */
export async function calculatorTool(): Promise<RunningService> {
  return await serve("calculator-tool", listenPort(HTTP_PORT), async ({ method, path, body }) => {
    if (method !== "POST" || path !== "/evaluate") return { status: 404, body: { error: "POST /evaluate {numbers}" } };
    const { numbers = [] } = JSON.parse(body || "{}") as { numbers?: number[] };
    return { status: 200, body: { sum: numbers.reduce((total, number) => total + number, 0) } };
  });
}

export async function store(): Promise<RunningService> {
  return await serveStore(listenPort(STORE_PORT));
}
