/** Calls mutating and validating webhooks (admissionregistration.k8s.io/v1, admission.k8s.io/v1 AdmissionReview). */
import { randomUUID } from "node:crypto";
import { resource } from "../../../kube/resources.ts";
import type { SandboxNode } from "../../seam.ts";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import {
  type Fields,
  fieldsAt,
  isFields,
  listAt,
  numberAt,
  type StoredMeta,
  type StoredObject,
  same,
  stringAt,
} from "../object.ts";
import { jsonPatch } from "../patch.ts";
import { userInfo } from "../reviews.ts";
import { connectTls, exchange, resolveService, type TlsTarget } from "../service-call.ts";
import { internalError, StatusError } from "../status.ts";
import type { ObjectStore } from "../store.ts";
import { webhookMatches } from "./webhook-matching.ts";

const MAX_ANSWER_BYTES = 3 * 1024 * 1024;

/** Why a call brought no verdict: failurePolicy says what follows. */
class CallError extends Error {}

export function webhookAdmission(
  store: ObjectStore,
  dial: SandboxNode["dial"],
  report: (error: unknown) => void,
): AdmissionPlugin {
  /** Configurations in the order of their names. */
  function matching(
    of: "mutatingWebhookConfigurations" | "validatingWebhookConfigurations",
    request: AdmissionRequest,
  ): Fields[] {
    // What governs admission is not itself governed: a broken webhook could never be removed.
    if (request.kind.group === "admissionregistration.k8s.io") return [];
    return store
      .snapshot(resource[of])
      .objects.flatMap((configuration) => listAt(configuration, "webhooks"))
      .filter((webhook) => webhookMatches(webhook, request, store));
  }

  return {
    async mutate(request) {
      const webhooks = matching("mutatingWebhookConfigurations", request);
      const called = new Map<Fields, StoredObject | undefined>();
      for (const webhook of webhooks) {
        await mutateBy(webhook, request);
        called.set(webhook, request.object);
      }
      // One more turn for those who asked to see what others changed after them.
      for (const [webhook, seen] of called) {
        if (webhook["reinvocationPolicy"] === "IfNeeded" && !same(seen, request.object))
          await mutateBy(webhook, request);
      }
    },
    async validate(request) {
      await Promise.all(
        matching("validatingWebhookConfigurations", request).map(async (webhook) => {
          const response = await verdict(webhook, request);
          if (response !== undefined) checkAllowed(webhook, response);
        }),
      );
    },
  };

  async function mutateBy(webhook: Fields, request: AdmissionRequest): Promise<void> {
    const response = await verdict(webhook, request);
    if (response === undefined) return;
    checkAllowed(webhook, response);
    const patch = stringAt(response, "patch");
    if (patch === undefined || request.object === undefined) return;
    const before = request.object;
    try {
      if (response["patchType"] !== "JSONPatch") throw new CallError("unsupported patch type, only JSONPatch is");
      const operations: unknown = JSON.parse(Buffer.from(patch, "base64").toString("utf8"));
      const patched = jsonPatch(before, operations);
      if (!isFields(patched)) throw new CallError("the patch leaves no object");
      request.object = {
        ...patched,
        apiVersion: before.apiVersion,
        kind: before.kind,
        metadata: patched["metadata"] as StoredMeta,
      };
    } catch (error) {
      throw internalError(
        `failed to apply the patch of webhook "${String(webhook["name"])}": ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** The response; undefined where the call failed and its failurePolicy ignores that. @throws StatusError */
  async function verdict(webhook: Fields, request: AdmissionRequest): Promise<Fields | undefined> {
    const name = String(webhook["name"]);
    try {
      const response = await call(webhook, request);
      for (const warning of (response["warnings"] as string[] | undefined) ?? []) request.warnings.push(warning);
      return response;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (webhook["failurePolicy"] === "Ignore") {
        report(`webhook "${name}" failed and is passed over: ${message}`);
        return undefined;
      }
      throw internalError(`failed calling webhook "${name}": ${message}`);
    }
  }

  async function call(webhook: Fields, request: AdmissionRequest): Promise<Fields> {
    const seconds = numberAt(webhook, "timeoutSeconds") ?? 10;
    const { target, path, url } = targetOf(webhook, seconds);
    const uid = randomUUID();
    const body = Buffer.from(JSON.stringify(reviewOf(request, uid)));
    const timeout = AbortSignal.timeout(seconds * 1000);
    try {
      const secure = await connectTls(dial, target, timeout);
      try {
        const headers = {
          host: target.servername,
          "content-type": "application/json",
          accept: "application/json",
          "content-length": String(body.length),
        };
        const answer = await exchange(secure, { method: "POST", path, headers }, body);
        const chunks: Buffer[] = [];
        let size = 0;
        for await (const chunk of answer) {
          chunks.push(chunk as Buffer);
          size += (chunk as Buffer).length;
          if (size > MAX_ANSWER_BYTES) throw new CallError("its answer is longer than 3 MiB");
        }
        const text = Buffer.concat(chunks).toString("utf8");
        if (answer.statusCode !== 200) throw new CallError(`it answered ${answer.statusCode}: ${text.slice(0, 200)}`);
        return responseOf(text, uid);
      } finally {
        secure.destroy();
      }
    } catch (error) {
      const why = timeout.aborted
        ? "context deadline exceeded"
        : error instanceof Error
          ? error.message
          : String(error);
      throw new CallError(`failed to call webhook: Post "${url}": ${why}`);
    }
  }

  function targetOf(webhook: Fields, seconds: number): { target: TlsTarget; path: string; url: string } {
    const client = fieldsAt(webhook, "clientConfig");
    const bundle = stringAt(client, "caBundle");
    const ca = bundle === undefined || bundle === "" ? undefined : Buffer.from(bundle, "base64").toString("utf8");
    const service = client["service"];
    const query = `timeout=${seconds}s`;
    if (isFields(service)) {
      const found = resolveService(store, {
        namespace: String(service["namespace"]),
        name: String(service["name"]),
        port: numberAt(service, "port") ?? 443,
      });
      const path = `/${(stringAt(service, "path") ?? "/").replace(/^\//, "")}?${query}`;
      return { target: { ...found, ca }, path, url: `https://${found.servername}:${found.port}${path}` };
    }
    const url = new URL(String(client["url"]));
    url.searchParams.set("timeout", `${seconds}s`);
    const port = url.port === "" ? 443 : Number(url.port);
    const address = url.hostname.replace(/^\[|\]$/g, "");
    return { target: { address, port, servername: address, ca }, path: `${url.pathname}${url.search}`, url: url.href };
  }
}

function responseOf(text: string, uid: string): Fields {
  const review: unknown = JSON.parse(text);
  const response = fieldsAt(review, "response");
  if (Object.keys(response).length === 0) throw new CallError("its answer has no response");
  if (stringAt(review, "apiVersion") !== "admission.k8s.io/v1" || stringAt(review, "kind") !== "AdmissionReview") {
    throw new CallError(
      `expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${stringAt(review, "apiVersion")}, Kind=${stringAt(review, "kind")}`,
    );
  }
  if (response["uid"] !== uid) throw new CallError(`expected response.uid="${uid}", got "${String(response["uid"])}"`);
  if (response["patch"] !== undefined && response["patchType"] === undefined)
    throw new CallError("response.patchType is missing beside response.patch");
  return response;
}

function checkAllowed(webhook: Fields, response: Fields): void {
  if (response["allowed"] === true) return;
  const status = fieldsAt(response, "status");
  const by = `admission webhook "${String(webhook["name"])}" denied the request`;
  const message = stringAt(status, "message") ?? "";
  const reason = stringAt(status, "reason") ?? "";
  const told = message !== "" ? `${by}: ${message}` : reason !== "" ? `${by}: ${reason}` : `${by} without explanation`;
  const code = numberAt(status, "code") ?? 0;
  throw new StatusError(Math.max(code, 400), reason, told, fieldsAt(status, "details"));
}

function reviewOf(request: AdmissionRequest, uid: string): Fields {
  const { kind, namespace, name, operation, subresource, dryRun, options, object, oldObject, user } = request;
  const { group, version, plural } = kind;
  const gvk = { group, version, kind: kind.kind };
  const gvr = { group, version, resource: plural };
  return {
    kind: "AdmissionReview",
    apiVersion: "admission.k8s.io/v1",
    request: {
      uid,
      kind: gvk,
      resource: gvr,
      ...(subresource === "" ? {} : { subResource: subresource }),
      requestKind: gvk,
      requestResource: gvr,
      ...(subresource === "" ? {} : { requestSubResource: subresource }),
      ...(name === "" ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      operation,
      userInfo: userInfo(user),
      object: object ?? null,
      oldObject: oldObject ?? null,
      dryRun,
      options,
    },
  };
}
