/** Reads kubeconfig files by kubectl's rules (Kubernetes docs, "Organizing Cluster Access Using kubeconfig Files"). Never writes one. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { parse } from "yaml";
import { asList, asRecord, asText, type Fields } from "./yaml-fields.ts";

export interface KubeconfigCluster {
  readonly name: string;
  /** The file that defines it. */
  readonly file: string;
  readonly server: string;
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify: boolean;
  /** Absolute path. */
  readonly certificateAuthority?: string;
  /** Base64; beats the file, as for kubectl. */
  readonly certificateAuthorityData?: string;
  /** http, https or socks5. */
  readonly proxyUrl?: string;
  /** What a credential plugin gets to see as `spec.cluster.config`. */
  readonly execExtension?: unknown;
}

/** A credential plugin (client.authentication.k8s.io). */
export interface ExecConfig {
  readonly apiVersion: string;
  /** Absolute where the file names it with a path. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly installHint?: string;
  readonly provideClusterInfo: boolean;
  readonly interactiveMode: "Never" | "IfAvailable" | "Always";
}

export interface Impersonation {
  readonly user?: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface KubeconfigUser {
  readonly name: string;
  readonly file: string;
  readonly token?: string;
  /** Absolute path; beats `token`, as for client-go. */
  readonly tokenFile?: string;
  readonly clientCertificate?: string;
  readonly clientCertificateData?: string;
  readonly clientKey?: string;
  readonly clientKeyData?: string;
  readonly username?: string;
  readonly password?: string;
  readonly exec?: ExecConfig;
  /** The old plugins (oidc, gcp, azure): name and config as they stand in the file. */
  readonly authProvider?: Fields;
  readonly impersonate?: Impersonation;
}

export interface KubeconfigContext {
  readonly name: string;
  readonly file: string;
  readonly cluster: string;
  readonly user: string;
  readonly namespace?: string;
}

/** All files as one: the first to define a name wins, the first to set the current context wins. */
export interface Kubeconfig {
  readonly files: readonly string[];
  readonly clusters: ReadonlyMap<string, KubeconfigCluster>;
  readonly users: ReadonlyMap<string, KubeconfigUser>;
  readonly contexts: ReadonlyMap<string, KubeconfigContext>;
  readonly currentContext?: string;
  /** Files that could not be read, each with its name; the others' contexts are there all the same. */
  readonly problems: readonly KubeconfigError[];
}

export class KubeconfigError extends Error {
  readonly file: string;

  constructor(file: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeconfigError";
    this.file = file;
  }
}

export interface KubeconfigOptions {
  /** Only this file, which must exist (kubectl's --kubeconfig). */
  readonly path?: string;
  /** Default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default the user's. */
  readonly home?: string;
}

/** The files that {@link loadKubeconfig} reads, in order; what an editor watches. They need not exist. */
export function kubeconfigFiles(options: KubeconfigOptions = {}): string[] {
  if (options.path !== undefined && options.path !== "") return [resolve(options.path)];
  const list = (options.env ?? process.env)["KUBECONFIG"] ?? "";
  const named = list.split(delimiter).filter((path) => path !== "");
  if (named.length > 0) return [...new Set(named.map((path) => resolve(path)))];
  return [join(options.home ?? homedir(), ".kube", "config")];
}

/** @throws KubeconfigError where `options.path` names a file that is not there */
export async function loadKubeconfig(options: KubeconfigOptions = {}): Promise<Kubeconfig> {
  const files = kubeconfigFiles(options);
  const clusters = new Map<string, KubeconfigCluster>();
  const users = new Map<string, KubeconfigUser>();
  const contexts = new Map<string, KubeconfigContext>();
  const problems: KubeconfigError[] = [];
  let currentContext: string | undefined;
  for (const file of files) {
    try {
      const text = await readIfThere(file);
      if (text === undefined) {
        if (options.path !== undefined) throw new KubeconfigError(file, `${file} does not exist`);
        continue;
      }
      const content = parseFile(file, text);
      for (const entry of content.clusters) if (!clusters.has(entry.name)) clusters.set(entry.name, entry);
      for (const entry of content.users) if (!users.has(entry.name)) users.set(entry.name, entry);
      for (const entry of content.contexts) if (!contexts.has(entry.name)) contexts.set(entry.name, entry);
      currentContext ??= content.currentContext;
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      if (options.path !== undefined) throw error;
      problems.push(error);
    }
  }
  return { files, clusters, users, contexts, problems, ...(currentContext === undefined ? {} : { currentContext }) };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new KubeconfigError(file, `${file} cannot be read: ${code ?? message}`, { cause: error });
  }
}

interface FileContent {
  readonly clusters: KubeconfigCluster[];
  readonly users: KubeconfigUser[];
  readonly contexts: KubeconfigContext[];
  readonly currentContext: string | undefined;
}

function parseFile(file: string, text: string): FileContent {
  let document: unknown;
  try {
    // YAML 1.1's merge keys occur in hand-written files. A byte-order mark comes from Windows editors.
    document = parse(text.replace(/^\uFEFF/, ""), { merge: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new KubeconfigError(file, `${file} is no valid YAML: ${reason}`, { cause: error });
  }
  if (document === null || document === undefined)
    return { clusters: [], users: [], contexts: [], currentContext: undefined };
  const root = asRecord(document);
  if (root === undefined) throw new KubeconfigError(file, `${file} is no kubeconfig: it holds no mapping`);
  if (root["kind"] !== undefined && root["kind"] !== "Config") {
    throw new KubeconfigError(file, `${file} is no kubeconfig: its kind is ${String(root["kind"])}, not Config`);
  }
  const folder = dirname(file);
  return {
    clusters: named(file, root, "clusters", "cluster").map(([name, fields]) => toCluster(file, folder, name, fields)),
    users: named(file, root, "users", "user").map(([name, fields]) => toUser(file, folder, name, fields)),
    contexts: named(file, root, "contexts", "context").map(([name, fields]) => toContext(file, name, fields)),
    currentContext: asText(root["current-context"]),
  };
}

/** `clusters: [{name, cluster: {…}}]` as pairs. */
function named(file: string, root: Fields, list: string, key: string): [string, Fields][] {
  const value = root[list];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new KubeconfigError(file, `${file}: "${list}" is no list`);
  return value.map((element, index) => {
    const entry = asRecord(element);
    const name = asText(entry?.["name"]);
    if (entry === undefined || name === undefined)
      throw new KubeconfigError(file, `${file}: ${list}[${index}] has no name`);
    return [name, asRecord(entry[key]) ?? {}];
  });
}

function toCluster(file: string, folder: string, name: string, fields: Fields): KubeconfigCluster {
  const extension = asList(fields["extensions"])
    .map(asRecord)
    .find((entry) => entry?.["name"] === "client.authentication.k8s.io/exec");
  return compact({
    name,
    file,
    server: asText(fields["server"]) ?? "",
    tlsServerName: asText(fields["tls-server-name"]),
    insecureSkipTlsVerify: fields["insecure-skip-tls-verify"] === true,
    certificateAuthority: relativeTo(folder, fields["certificate-authority"]),
    certificateAuthorityData: asText(fields["certificate-authority-data"]),
    proxyUrl: asText(fields["proxy-url"]),
    execExtension: extension?.["extension"],
  });
}

function toUser(file: string, folder: string, name: string, fields: Fields): KubeconfigUser {
  return compact({
    name,
    file,
    token: asText(fields["token"]),
    tokenFile: relativeTo(folder, fields["tokenFile"]),
    clientCertificate: relativeTo(folder, fields["client-certificate"]),
    clientCertificateData: asText(fields["client-certificate-data"]),
    clientKey: relativeTo(folder, fields["client-key"]),
    clientKeyData: asText(fields["client-key-data"]),
    username: asText(fields["username"]),
    password: asText(fields["password"]),
    exec: toExec(folder, asRecord(fields["exec"])),
    authProvider: asRecord(fields["auth-provider"]),
    impersonate: toImpersonation(fields),
  });
}

function toExec(folder: string, fields: Fields | undefined): ExecConfig | undefined {
  if (fields === undefined) return undefined;
  const command = asText(fields["command"]) ?? "";
  const env = asList(fields["env"]).flatMap((entry) => {
    const variable = asRecord(entry);
    const name = asText(variable?.["name"]);
    return name === undefined ? [] : [[name, asText(variable?.["value"]) ?? ""] as const];
  });
  const mode = asText(fields["interactiveMode"]);
  return compact({
    apiVersion: asText(fields["apiVersion"]) ?? "",
    // A bare name is looked up in PATH; a path is relative to the file that has it.
    command: /[/\\]/.test(command) ? resolve(folder, command) : command,
    args: asList(fields["args"]).map((argument) => asText(argument) ?? ""),
    env: Object.fromEntries(env),
    installHint: asText(fields["installHint"])?.trim(),
    provideClusterInfo: fields["provideClusterInfo"] === true,
    interactiveMode: mode === "Never" || mode === "Always" ? mode : "IfAvailable",
  });
}

function toImpersonation(fields: Fields): Impersonation | undefined {
  const groups = asList(fields["as-groups"]).map((group) => asText(group) ?? "");
  const extra = Object.entries(asRecord(fields["as-user-extra"]) ?? {}).map(
    ([key, values]) => [key, asList(values).map((value) => asText(value) ?? "")] as const,
  );
  const user = asText(fields["as"]);
  const uid = asText(fields["as-uid"]);
  if (user === undefined && uid === undefined && groups.length === 0 && extra.length === 0) return undefined;
  return compact({ user, uid, groups, extra: Object.fromEntries(extra) });
}

function toContext(file: string, name: string, fields: Fields): KubeconfigContext {
  return compact({
    name,
    file,
    cluster: asText(fields["cluster"]) ?? "",
    user: asText(fields["user"]) ?? "",
    namespace: asText(fields["namespace"]),
  });
}

function relativeTo(folder: string, value: unknown): string | undefined {
  const path = asText(value);
  return path === undefined || isAbsolute(path) ? path : join(folder, path);
}

/** Without the fields that are undefined. */
function compact<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
