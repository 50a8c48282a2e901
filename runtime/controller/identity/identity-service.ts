/** io.linkerd.proxy.identity.Identity: a leaf for whoever proves its service account and its key (reference 5.4). */
import { type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import type { CertifyRequest, CertifyResponse, IdentityServer } from "../../api/gen/io/linkerd/proxy/identity.ts";
import { KubeConnectionError } from "../../kube/errors.ts";
import type { KubeClient } from "../../kube/types.ts";
import { type IdentityScope, workloadIdentity } from "../../model/identity.ts";
import { parseSigningRequest, type SigningRequest, SigningRequestError } from "../../x509/signing-request.ts";
import { type Log, messageOf } from "../config/log.ts";
import { GrpcError, toServiceError } from "../grpc/errors.ts";
import type { LivePki } from "../pki/live-pki.ts";
import { issue } from "./leaf.ts";
import { reviewToken, type ServiceAccount, TokenRefusedError } from "./token-review.ts";

export interface IdentityOptions {
  readonly client: KubeClient;
  readonly pki: Pick<LivePki, "issuer">;
  readonly scope: IdentityScope;
  readonly log: Log;
  /** Told of each answer, for metrics; `code` is the gRPC status. */
  readonly onAnswer?: (code: number) => void;
}

/** A service-account token is a signed JWT: three base64url parts. Anything else need not trouble the API server. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export function identityService(options: IdentityOptions): IdentityServer {
  return {
    certify(call: ServerUnaryCall<CertifyRequest, CertifyResponse>, callback: sendUnaryData<CertifyResponse>) {
      certify(options, call.request).then(
        (response) => {
          options.onAnswer?.(status.OK);
          callback(null, response);
        },
        (error: unknown) => {
          const answer = toServiceError(error);
          options.onAnswer?.(answer.code);
          options.log.warn("certificate refused", {
            identity: call.request.identity,
            peer: call.getPeer(),
            code: status[answer.code],
            reason: messageOf(error),
          });
          callback(answer);
        },
      );
    },
  };
}

/**
 * @throws GrpcError INVALID_ARGUMENT (empty or malformed fields), FAILED_PRECONDITION (token, request or identity do not
 * fit together), UNAVAILABLE (no issuer, API server not reachable)
 */
export async function certify(options: IdentityOptions, request: CertifyRequest): Promise<CertifyResponse> {
  const { identity } = request;
  const token = Buffer.from(request.token).toString("utf8").trim();
  if (identity === "") throw new GrpcError(status.INVALID_ARGUMENT, "identity is empty");
  if (request.certificateSigningRequest.length === 0) {
    throw new GrpcError(status.INVALID_ARGUMENT, "certificate_signing_request is empty");
  }
  if (!JWT.test(token)) throw new GrpcError(status.INVALID_ARGUMENT, "token is empty or no JWT");
  const signing = readRequest(request.certificateSigningRequest);
  checkNames(signing, identity);
  const account = await askForOwner(options.client, token);
  const owned = workloadIdentity(options.scope, account.namespace, account.name);
  if (owned !== identity) {
    throw new GrpcError(status.FAILED_PRECONDITION, `the token belongs to "${owned}", not to "${identity}"`);
  }
  const { issuer } = options.pki;
  const now = new Date();
  if (issuer === undefined || issuer.notAfter <= now) {
    throw new GrpcError(status.UNAVAILABLE, issuer === undefined ? "there is no issuer yet" : "the issuer has expired");
  }
  const leaf = issue(issuer, identity, signing.publicKey, now);
  options.log.info("certificate issued", { identity, notAfter: leaf.validToDate.toISOString() });
  return {
    leafCertificate: leaf.raw,
    intermediateCertificates: issuer.intermediates.map((certificate) => certificate.raw),
    validUntil: leaf.validToDate,
  };
}

function readRequest(der: Uint8Array): SigningRequest {
  try {
    return parseSigningRequest(der);
  } catch (cause) {
    if (!(cause instanceof SigningRequestError)) throw cause;
    throw new GrpcError(status.INVALID_ARGUMENT, cause.message, { cause });
  }
}

function checkNames(request: SigningRequest, identity: string): void {
  const [name, ...others] = request.dnsNames;
  const sole = others.length === 0 && !request.otherNames && name === identity;
  if (!sole || (request.commonName !== undefined && request.commonName !== identity)) {
    throw new GrpcError(
      status.FAILED_PRECONDITION,
      `the signing request must name "${identity}" and nothing else, not "${request.commonName ?? ""}" and [${request.dnsNames.join(", ")}]`,
    );
  }
}

async function askForOwner(client: KubeClient, token: string): Promise<ServiceAccount> {
  try {
    return await reviewToken(client, token);
  } catch (cause) {
    if (cause instanceof TokenRefusedError) throw new GrpcError(status.FAILED_PRECONDITION, cause.message, { cause });
    if (cause instanceof KubeConnectionError) {
      throw new GrpcError(status.UNAVAILABLE, "the API server cannot be asked about the token", { cause });
    }
    throw new GrpcError(status.INTERNAL, "the API server did not review the token", { cause });
  }
}
