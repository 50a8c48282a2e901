/** Runs a credential plugin (client.authentication.k8s.io v1, v1beta1): one process at a time, its answer kept until it expires. */
import { CredentialPluginError } from "./credential-plugin-error.ts";
import { type ExecOptions, runPlugin } from "./exec-process.ts";
import type { ExecConfig, KubeconfigCluster } from "./kubeconfig.ts";
import { asRecord, asText } from "./yaml-fields.ts";

const API_VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/** A credential is renewed this long before it expires, at most a tenth of its life. */
const EXPIRY_SKEW_MS = 60_000;
/** A login that failed or was ignored is not asked for again at once by whoever polls. */
const FAILURE_PAUSE_MS = { first: 10_000, cap: 300_000 };
/** A credential younger than this that is rejected will not get better by asking again. */
const FRESH_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 300_000;

export interface ExecCredential {
  readonly token?: string;
  /** PEM. */
  readonly clientCertificate?: string;
  readonly clientKey?: string;
}

interface Held {
  readonly credential: ExecCredential;
  readonly obtainedAt: number;
  /** Milliseconds since the epoch; infinite where the plugin named no time. */
  readonly renewAt: number;
}

/** One for all connections of a user to a cluster: {@link execCredentials} keeps them. */
export class ExecCredentials {
  readonly #exec: ExecConfig;
  readonly #cluster: KubeconfigCluster;
  #held: Held | undefined;
  #running: { readonly result: Promise<Held>; readonly abort: AbortController; waiters: number } | undefined;
  #failure: { readonly error: unknown; readonly until: number; readonly pause: number } | undefined;

  constructor(exec: ExecConfig, cluster: KubeconfigCluster) {
    this.#exec = exec;
    this.#cluster = cluster;
  }

  /**
   * @throws CredentialPluginError; the signal's reason when aborted. The plugin is ended once nobody waits for it.
   */
  async get(options: ExecOptions, signal?: AbortSignal): Promise<ExecCredential> {
    signal?.throwIfAborted();
    if (this.#held !== undefined && Date.now() < this.#held.renewAt) return this.#held.credential;
    if (this.#failure !== undefined && Date.now() < this.#failure.until) throw this.#failure.error;
    this.#running ??= this.#start(options);
    const running = this.#running;
    running.waiters++;
    try {
      const held = await abortable(running.result, signal);
      return held.credential;
    } finally {
      running.waiters--;
      if (running.waiters === 0) running.abort.abort();
    }
  }

  /** Forgets a credential the server rejected. @returns whether asking again may help */
  invalidate(rejected: ExecCredential): boolean {
    if (this.#held === undefined || this.#held.credential !== rejected) return true;
    if (Date.now() - this.#held.obtainedAt < FRESH_MS) return false;
    this.#held = undefined;
    return true;
  }

  /** A person asks for a new try: an earlier failure no longer counts. */
  forgetFailure(): void {
    this.#failure = undefined;
  }

  #start(options: ExecOptions) {
    const abort = new AbortController();
    const result = this.#run(options, abort.signal).then(
      (held) => {
        this.#held = held;
        this.#failure = undefined;
        this.#running = undefined;
        return held;
      },
      (error: unknown) => {
        if (!abort.signal.aborted) {
          const pause = Math.min(FAILURE_PAUSE_MS.cap, (this.#failure?.pause ?? FAILURE_PAUSE_MS.first / 2) * 2);
          this.#failure = { error, until: Date.now() + pause, pause };
        }
        this.#running = undefined;
        throw error;
      },
    );
    result.catch(() => {});
    return { result, abort, waiters: 0 };
  }

  async #run(options: ExecOptions, signal: AbortSignal): Promise<Held> {
    const { apiVersion, command, interactiveMode } = this.#exec;
    const { server } = this.#cluster;
    const shown = [command, ...this.#exec.args].join(" ");
    if (!API_VERSIONS.includes(apiVersion)) {
      const message = `the credential plugin ${command} is configured for "${apiVersion}"; known are ${API_VERSIONS.join(", ")}`;
      throw new CredentialPluginError("invalid-answer", server, shown, message);
    }
    const interactive = options.interactive === true && interactiveMode !== "Never";
    if (interactiveMode === "Always" && !interactive) {
      const message = `the credential plugin ${command} must ask in a terminal. Run "${shown}" in one, then try again`;
      throw new CredentialPluginError("needs-terminal", server, shown, message);
    }
    const spec = { ...(this.#exec.provideClusterInfo ? { cluster: clusterInfo(this.#cluster) } : {}), interactive };
    const output = await runPlugin(server, this.#exec, {
      ...options,
      interactive,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      execInfo: JSON.stringify({ apiVersion, kind: "ExecCredential", spec }),
      signal,
    });
    return readAnswer(server, shown, apiVersion, output);
  }
}

const shared = new Map<string, ExecCredentials>();

/** The one instance for this user and cluster: eight requests and three views run the plugin once. */
export function execCredentials(
  file: string,
  user: string,
  exec: ExecConfig,
  cluster: KubeconfigCluster,
): ExecCredentials {
  const key = JSON.stringify([file, user, exec, cluster]);
  let found = shared.get(key);
  if (found === undefined) {
    found = new ExecCredentials(exec, cluster);
    shared.set(key, found);
  }
  return found;
}

function readAnswer(server: string, command: string, apiVersion: string, output: string): Held {
  const invalid = (what: string, cause?: unknown) =>
    new CredentialPluginError("invalid-answer", server, command, `the credential plugin "${command}" ${what}`, {
      cause,
    });
  let answer: ReturnType<typeof asRecord>;
  try {
    answer = asRecord(JSON.parse(output));
  } catch (cause) {
    throw invalid("wrote no JSON to its standard output", cause);
  }
  if (answer?.["kind"] !== "ExecCredential") throw invalid("answered with something that is no ExecCredential");
  if (answer["apiVersion"] !== apiVersion) {
    throw invalid(`answered in ${String(answer["apiVersion"])}, but the kubeconfig asks for ${apiVersion}`);
  }
  const status = asRecord(answer["status"]) ?? {};
  const token = asText(status["token"]);
  const clientCertificate = asText(status["clientCertificateData"]);
  const clientKey = asText(status["clientKeyData"]);
  if ((clientCertificate === undefined) !== (clientKey === undefined)) {
    throw invalid("gave only one of clientCertificateData and clientKeyData");
  }
  if (token === undefined && clientCertificate === undefined) throw invalid("gave neither a token nor a certificate");
  const now = Date.now();
  const expiry = Date.parse(asText(status["expirationTimestamp"]) ?? "");
  const skew = Math.min(EXPIRY_SKEW_MS, Math.max(0, (expiry - now) / 10));
  return {
    credential: {
      ...(token === undefined ? {} : { token }),
      ...(clientCertificate === undefined || clientKey === undefined ? {} : { clientCertificate, clientKey }),
    },
    obtainedAt: now,
    renewAt: Number.isNaN(expiry) ? Number.POSITIVE_INFINITY : expiry - skew,
  };
}

/** `spec.cluster` of KUBERNETES_EXEC_INFO. */
function clusterInfo(cluster: KubeconfigCluster): Record<string, unknown> {
  return {
    server: cluster.server,
    "tls-server-name": cluster.tlsServerName,
    "insecure-skip-tls-verify": cluster.insecureSkipTlsVerify || undefined,
    "certificate-authority-data": cluster.certificateAuthorityData,
    "proxy-url": cluster.proxyUrl,
    config: cluster.execExtension,
  };
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
