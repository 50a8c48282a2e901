/** Whose service-account token is this? Asked of the API server (reference 5.4). */
import type { KubeClient } from "../../kube/types.ts";
import { IDENTITY_AUDIENCE } from "../../model/names.ts";

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

/** The API server does not vouch for the token, or not for the mesh's audience. */
export class TokenRefusedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TokenRefusedError";
  }
}

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string };
    readonly audiences?: readonly string[];
    readonly error?: string;
  };
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * Linkerd falls back to tokens without an audience where the API server knows none; every supported one does, and a
 * token stolen from any other use must not buy an identity.
 * @throws TokenRefusedError, KubeError, KubeConnectionError
 */
export async function reviewToken(client: KubeClient, token: string): Promise<ServiceAccount> {
  const review = await client.json<TokenReview>({
    method: "POST",
    path: "/apis/authentication.k8s.io/v1/tokenreviews",
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [IDENTITY_AUDIENCE] },
    },
    timeoutMs: 5_000,
  });
  const { authenticated, user, audiences, error } = review.status ?? {};
  if (authenticated !== true) throw new TokenRefusedError(`the token was refused: ${error || "not authenticated"}`);
  // An authenticator that knows nothing of audiences answers without them (TokenReview's contract).
  if (audiences?.includes(IDENTITY_AUDIENCE) !== true) {
    throw new TokenRefusedError(`the token is not for audience ${IDENTITY_AUDIENCE}`);
  }
  const match = SERVICE_ACCOUNT.exec(user?.username ?? "");
  if (match === null) throw new TokenRefusedError(`"${user?.username ?? ""}" is no service account`);
  return { namespace: match[1] ?? "", name: match[2] ?? "" };
}
