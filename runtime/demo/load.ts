/** People who ask: a steady stream of questions to the gateway, at RATE a second. Prints one line each ten seconds. */
import { CallError, call } from "./call.ts";
import type { RunningService } from "./service.ts";

const QUESTIONS = [
  "what is the tallest tree in the park",
  "how long does tea keep",
  "which bridge was built first",
  "who wrote the longest letter",
  "where do swifts sleep",
];

const REPORT_MS = 10_000;
const MAX_IN_FLIGHT = 64;

/** Tallies by outcome: `ok`, a status, or `no answer`. */
export async function load(): Promise<RunningService> {
  const gateway = process.env["GATEWAY_URL"] ?? "http://gateway:8080";
  const rate = Number(process.env["RATE"] ?? 10);
  const outcomes = new Map<string, number>();
  let inFlight = 0;
  let sent = 0;
  const count = (outcome: string): void => {
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  };
  const ask = async (): Promise<void> => {
    inFlight++;
    try {
      await call("POST", `${gateway}/ask`, { question: QUESTIONS[sent++ % QUESTIONS.length] });
      count("ok");
    } catch (error) {
      const status = error instanceof CallError ? error.status : undefined;
      count(status === undefined ? "no answer" : String(status));
      if (status === undefined) console.error(`load: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      inFlight--;
    }
  };
  const asking = setInterval(() => {
    if (inFlight < MAX_IN_FLIGHT) void ask();
    else count("held back");
  }, 1000 / rate);
  const reporting = setInterval(() => {
    console.log(`load: ${JSON.stringify(Object.fromEntries([...outcomes].sort()))}`);
  }, REPORT_MS);
  console.log(`load: ${rate} questions a second to ${gateway}`);
  return {
    port: 0,
    drain: async () => {
      clearInterval(asking);
      clearInterval(reporting);
      while (inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(`load: ${JSON.stringify(Object.fromEntries([...outcomes].sort()))}`);
    },
  };
}
