/** Refusals, as the API server words them (apimachinery's api/errors): every one is a meta/v1 Status on the wire. */
import { KubeError, type StatusDetails } from "../../kube/errors.ts";
import type { Resource } from "../../kube/types.ts";

export class StatusError extends KubeError {
  /** Retry-After, seconds. */
  readonly retryAfter: number | undefined;

  constructor(code: number, reason: string, message: string, details: StatusDetails = {}) {
    super({ kind: "Status", code, reason, message, details });
    this.name = "StatusError";
    this.retryAfter = details.retryAfterSeconds;
  }
}

/** One wrong field: `spec.replicas`, `Invalid value`, … */
export interface FieldError {
  readonly reason:
    | "FieldValueInvalid"
    | "FieldValueRequired"
    | "FieldValueForbidden"
    | "FieldValueNotSupported"
    | "FieldValueDuplicate"
    | "FieldValueNotFound"
    | "FieldValueTypeInvalid";
  readonly field: string;
  readonly message: string;
}

type Kind = Pick<Resource, "group" | "plural" | "kind">;

/** `pods "a"`, `deployments.apps "a"`. */
function named(resource: Pick<Resource, "group" | "plural">, name: string): string {
  return `${qualified(resource)} "${name}"`;
}

/** `deployments.apps` */
export function qualified(resource: Pick<Resource, "group" | "plural">): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

function details(resource: Pick<Resource, "group" | "plural">, name: string): StatusDetails {
  return {
    ...(name === "" ? {} : { name }),
    kind: resource.plural,
    ...(resource.group === "" ? {} : { group: resource.group }),
  };
}

export function notFound(resource: Pick<Resource, "group" | "plural">, name: string): StatusError {
  return new StatusError(404, "NotFound", `${named(resource, name)} not found`, details(resource, name));
}

/** A path that leads nowhere. */
export function noSuchPath(): StatusError {
  return new StatusError(404, "NotFound", "the server could not find the requested resource");
}

export function alreadyExists(resource: Pick<Resource, "group" | "plural">, name: string): StatusError {
  return new StatusError(409, "AlreadyExists", `${named(resource, name)} already exists`, details(resource, name));
}

export function conflict(resource: Pick<Resource, "group" | "plural">, name: string, why: string): StatusError {
  return new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${named(resource, name)}: ${why}`,
    details(resource, name),
  );
}

/** Somebody else wrote in between. */
export function modified(resource: Pick<Resource, "group" | "plural">, name: string): StatusError {
  return conflict(
    resource,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

export function invalid(resource: Kind, name: string, errors: readonly FieldError[]): StatusError {
  const list = errors.map((error) => `${error.field}: ${error.message}`);
  const shown = list.length === 1 ? list[0] : `[${list.join(", ")}]`;
  const kind = resource.group === "" ? resource.kind : `${resource.kind}.${resource.group}`;
  return new StatusError(422, "Invalid", `${kind} "${name}" is invalid: ${shown}`, {
    name,
    kind: resource.kind,
    ...(resource.group === "" ? {} : { group: resource.group }),
    causes: errors,
  });
}

export function forbidden(
  resource: Pick<Resource, "group" | "plural"> | undefined,
  name: string,
  why: string,
): StatusError {
  if (resource === undefined) return new StatusError(403, "Forbidden", `forbidden: ${why}`);
  const what = name === "" ? qualified(resource) : named(resource, name);
  return new StatusError(403, "Forbidden", `${what} is forbidden: ${why}`, details(resource, name));
}

export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

export function expired(message: string): StatusError {
  return new StatusError(410, "Expired", message);
}

export function methodNotAllowed(): StatusError {
  return new StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

export function unsupportedMediaType(message: string): StatusError {
  return new StatusError(415, "UnsupportedMediaType", message);
}

export function unavailable(message: string): StatusError {
  return new StatusError(503, "ServiceUnavailable", message);
}

export function internalError(message: string): StatusError {
  return new StatusError(500, "InternalError", `Internal error occurred: ${message}`);
}

/** What Kubernetes can and this sandbox cannot. */
export function notImplemented(what: string): StatusError {
  return new StatusError(
    501,
    "NotImplemented",
    `the sandbox does not serve ${what}: use a real cluster, e.g. of kind or minikube`,
  );
}

/** Wrong options of a write: `CreateOptions`, `PatchOptions`, … */
export function invalidOptions(kind: string, error: FieldError): StatusError {
  return new StatusError(422, "Invalid", `${kind}.meta.k8s.io "" is invalid: ${error.field}: ${error.message}`, {
    kind,
    group: "meta.k8s.io",
    causes: [error],
  });
}
