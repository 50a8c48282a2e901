/** Service accounts' tokens: JWT, ES256 (RFC 7515, 7518), bound to the account and to a pod as TokenRequest does (KEP-1205). */
import { randomUUID, sign, verify } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { MintedToken, TokenOptions } from "../seam.ts";
import { serviceAccountUser, type User } from "./access.ts";
import { type Fields, fieldsAt, isFields, numberAt, stringAt } from "./object.ts";
import type { Pki } from "./pki.ts";
import { notFound } from "./status.ts";
import type { ObjectStore } from "./store.ts";

export const ISSUER = "https://kubernetes.default.svc.cluster.local";
/** The audience of the API server itself. */
export const API_AUDIENCE = ISSUER;

export interface VerifiedToken {
  readonly user: User;
  readonly audiences: readonly string[];
}

/** Why a token is not taken, for TokenReview's status.error. */
export class TokenError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TokenError";
  }
}

export class Tokens {
  readonly #keys: Pki["tokenKeys"];
  readonly #store: ObjectStore;

  constructor(keys: Pki["tokenKeys"], store: ObjectStore) {
    this.#keys = keys;
    this.#store = store;
  }

  /** @throws StatusError 404 where the account is not there */
  mint(options: TokenOptions): MintedToken {
    const { namespace, serviceAccount, pod } = options;
    const account = this.#store.get(resource.serviceAccounts, namespace, serviceAccount);
    if (account === undefined) throw notFound(resource.serviceAccounts, serviceAccount);
    const nodeName =
      pod === undefined ? undefined : stringAt(this.#store.get(resource.pods, namespace, pod.name), "spec", "nodeName");
    const node = nodeName === undefined ? undefined : this.#store.get(resource.nodes, undefined, nodeName);
    const now = Math.floor(Date.now() / 1000);
    const expires = now + (options.expirationSeconds ?? 3600);
    const audiences = options.audiences ?? [];
    const claims = {
      aud: audiences.length === 0 ? [API_AUDIENCE] : audiences,
      exp: expires,
      iat: now,
      nbf: now,
      iss: ISSUER,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace,
        serviceaccount: { name: serviceAccount, uid: account.metadata.uid },
        ...(pod === undefined ? {} : { pod: { name: pod.name, uid: pod.uid } }),
        ...(node === undefined ? {} : { node: { name: node.metadata.name, uid: node.metadata.uid } }),
      },
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
    };
    const head = `${encode({ alg: "ES256", kid: "weft-sandbox" })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(head), { key: this.#keys.privateKey, dsaEncoding: "ieee-p1363" });
    return { token: `${head}.${signature.toString("base64url")}`, expiresAt: new Date(expires * 1000) };
  }

  /**
   * @param audiences of which the token must name one
   * @throws TokenError
   */
  verify(token: string, audiences: readonly string[]): VerifiedToken {
    const claims = this.#claims(token);
    const now = Date.now() / 1000;
    if ((numberAt(claims, "exp") ?? 0) <= now) throw new TokenError("token has expired");
    if ((numberAt(claims, "nbf") ?? 0) > now + 10) throw new TokenError("token is not valid yet");
    const named = Array.isArray(claims["aud"]) ? (claims["aud"] as string[]) : [String(claims["aud"])];
    const shared = named.filter((audience) => audiences.includes(audience));
    if (shared.length === 0) {
      throw new TokenError(
        `token audiences ${JSON.stringify(named)} is invalid for the target audiences ${JSON.stringify(audiences)}`,
      );
    }
    const bound = fieldsAt(claims, "kubernetes.io");
    const namespace = stringAt(bound, "namespace") ?? "";
    const name = stringAt(bound, "serviceaccount", "name") ?? "";
    const uid = stringAt(bound, "serviceaccount", "uid") ?? "";
    const account = this.#store.get(resource.serviceAccounts, namespace, name);
    if (account === undefined || account.metadata.uid !== uid)
      throw new TokenError("service account token has been invalidated");
    const extra: Record<string, string[]> = {
      "authentication.kubernetes.io/credential-id": [`JTI=${stringAt(claims, "jti") ?? ""}`],
    };
    const pod = bound["pod"];
    if (isFields(pod)) {
      this.#checkPod(namespace, pod);
      extra["authentication.kubernetes.io/pod-name"] = [String(pod["name"])];
      extra["authentication.kubernetes.io/pod-uid"] = [String(pod["uid"])];
    }
    const node = bound["node"];
    if (isFields(node)) {
      extra["authentication.kubernetes.io/node-name"] = [String(node["name"])];
      extra["authentication.kubernetes.io/node-uid"] = [String(node["uid"])];
    }
    return { user: serviceAccountUser(namespace, name, { uid, extra }), audiences: shared };
  }

  #checkPod(namespace: string, bound: Fields): void {
    const pod = this.#store.get(resource.pods, namespace, String(bound["name"]));
    if (pod === undefined || pod.metadata.uid !== bound["uid"]) {
      throw new TokenError("service account token has been invalidated: its pod is gone");
    }
  }

  #claims(token: string): Fields {
    const [header = "", payload = "", signature = "", ...more] = token.split(".");
    let claims: unknown;
    let algorithm: unknown;
    try {
      algorithm = (JSON.parse(Buffer.from(header, "base64url").toString("utf8")) as Fields)["alg"];
      claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    } catch {
      throw new TokenError("token is no JWT");
    }
    const genuine =
      more.length === 0 &&
      algorithm === "ES256" &&
      verify(
        "sha256",
        Buffer.from(`${header}.${payload}`),
        { key: this.#keys.publicKey, dsaEncoding: "ieee-p1363" },
        Buffer.from(signature, "base64url"),
      );
    if (!genuine || !isFields(claims)) throw new TokenError("invalid bearer token: its signature is not this server's");
    return claims;
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
