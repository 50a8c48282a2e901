/** Who sent a request: a client certificate, or a service account's token. There is no anonymous access. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { type User, user } from "./access.ts";
import { unauthorized } from "./status.ts";
import { API_AUDIENCE, TokenError, type Tokens } from "./tokens.ts";

/** @throws StatusError 401 */
export function authenticate(request: IncomingMessage, tokens: Tokens): User {
  const fromCertificate = certificateUser(request.socket as TLSSocket);
  if (fromCertificate !== undefined) return fromCertificate;
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (bearer === undefined) throw unauthorized();
  try {
    return tokens.verify(bearer.trim(), [API_AUDIENCE]).user;
  } catch (error) {
    if (error instanceof TokenError) throw unauthorized();
    throw error;
  }
}

/** CN is the name, each O a group. */
function certificateUser(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  const name = one(subject?.CN);
  if (name === undefined) return undefined;
  const organizations = subject.O as string | string[] | undefined;
  return user(name, organizations === undefined ? [] : [organizations].flat());
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
