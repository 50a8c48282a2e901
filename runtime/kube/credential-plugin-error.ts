import { KubeConnectionError } from "./errors.ts";

/** The plugin gave no credential. `kind` says what a person can do about it. */
export class CredentialPluginError extends KubeConnectionError {
  readonly kind: "not-found" | "needs-terminal" | "failed" | "timeout" | "invalid-answer";
  /** As one would type it. */
  readonly command: string;
  /** What it wrote for a person to read. */
  readonly stderr: string;

  constructor(
    kind: CredentialPluginError["kind"],
    server: string,
    command: string,
    message: string,
    details: { stderr?: string; cause?: unknown } = {},
  ) {
    super(server, message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = "CredentialPluginError";
    this.kind = kind;
    this.command = command;
    this.stderr = details.stderr ?? "";
  }
}
