/** One sentence for why an API server could not be reached, with the next step. */

const CERTIFICATE_PROBLEMS: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by an authority that is not trusted here",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by an authority that is not trusted here",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed and not trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is signed by an authority that is not trusted here",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; compare the clocks",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
};

/** @param error as node's socket and TLS layers raise it */
export function explainConnectionFailure(server: string, error: NodeJS.ErrnoException): string {
  const code = error.code ?? "";
  const { hostname, host } = new URL(server);
  const certificate = CERTIFICATE_PROBLEMS[code];
  if (certificate !== undefined) {
    return `${server} is not trusted: ${certificate}. Check certificate-authority and tls-server-name of the cluster in the kubeconfig`;
  }
  switch (code) {
    case "ECONNREFUSED":
      return `${host} refused the connection: nothing listens there. Is the cluster running, and is its address in the kubeconfig right?`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name ${hostname} cannot be resolved. Check the address in the kubeconfig, the network and the VPN`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
      return `${host} cannot be reached. Check the network and the VPN`;
    case "ECONNRESET":
    case "EPIPE":
      return `${host} closed the connection without an answer`;
    default:
      return `${host} could not be asked: ${error.message || code}`;
  }
}
