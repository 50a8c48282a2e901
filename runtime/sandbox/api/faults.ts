/** Faults that tests ask for by POST /sandbox/faults: what a real API server does on a bad day. Only cluster administrators may. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Fields, numberAt, stringAt } from "./object.ts";
import type { RequestInfo } from "./request-info.ts";
import { badRequest, expired, StatusError } from "./status.ts";

export const FAULTS_PATH = "/sandbox/faults";

/** One rule; the first that matches a request acts. */
interface Fault {
  /** Milliseconds to wait first. */
  readonly delayMs: number;
  /** 0: none; 429 or 410. */
  readonly status: number;
  /** Requests it still acts on. */
  left: number;
  /** Plural that it is limited to; "" for all. */
  readonly resource: string;
  readonly verb: string;
}

export class Faults {
  #rules: Fault[] = [];
  readonly #actions: { readonly dropWatches: () => void; readonly compact: () => void };

  constructor(actions: { dropWatches: () => void; compact: () => void }) {
    this.#actions = actions;
  }

  /**
   * `{"action": "drop-watches" | "compact" | "clear"}` acts at once (compact: every watch and continued list that comes back gets 410);
   * `{"status": 429 | 410, "delayMs": 500, "count": 3, "resource": "pods", "verb": "list"}` acts on the next `count` requests.
   * @throws StatusError 400
   */
  set(body: Fields): Fields {
    const action = stringAt(body, "action");
    if (action === "drop-watches") this.#actions.dropWatches();
    else if (action === "compact") this.#actions.compact();
    else if (action === "clear") this.#rules = [];
    else if (action !== undefined)
      throw badRequest(`no such fault: ${action} (there are drop-watches, compact, clear)`);
    else {
      const status = numberAt(body, "status") ?? 0;
      if (status !== 0 && status !== 429 && status !== 410) throw badRequest("status of a fault is 429 or 410");
      this.#rules.push({
        status,
        delayMs: numberAt(body, "delayMs") ?? 0,
        left: numberAt(body, "count") ?? 1,
        resource: stringAt(body, "resource") ?? "",
        verb: stringAt(body, "verb") ?? "",
      });
    }
    return { rules: this.#rules.length };
  }

  /** @throws StatusError where this request is to fail */
  async apply(info: RequestInfo): Promise<void> {
    const verb = info.resource?.verb ?? info.method.toLowerCase();
    const rule = this.#rules.find(
      (entry) =>
        (entry.resource === "" || entry.resource === info.resource?.resource) &&
        (entry.verb === "" || entry.verb === verb),
    );
    if (rule === undefined) return;
    rule.left--;
    if (rule.left <= 0) this.#rules = this.#rules.filter((entry) => entry !== rule);
    if (rule.delayMs > 0) await sleep(rule.delayMs);
    if (rule.status === 429) {
      throw new StatusError(429, "TooManyRequests", "too many requests, please try again later", {
        retryAfterSeconds: 1,
      });
    }
    if (rule.status === 410) throw expired("The resourceVersion for the provided list or watch is too old.");
  }
}
