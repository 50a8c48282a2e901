/** Tells the API server whom to trust when it calls the webhook and the aggregated APIs. */
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../../kube/types.ts";
import { apiServiceNames, INJECTOR_WEBHOOK } from "../../model/control-plane-rbac.ts";
import { CONTROLLER_FIELD_MANAGER } from "../../model/names.ts";
import { type Log, messageOf } from "../config/log.ts";

export type CaBundleTarget = "webhook" | "tapApi" | "statsApi";

interface WebhookConfiguration extends KubeObject {
  webhooks?: {
    readonly name: string;
    readonly clientConfig?: { readonly caBundle?: string; readonly service?: { readonly namespace?: string } };
  }[];
}

interface ApiService extends KubeObject {
  spec?: { readonly caBundle?: string; readonly service?: { readonly namespace?: string } };
}

/**
 * Sets one caBundle by server-side apply, and only that field: the rest is the installer's.
 * @param namespace the control plane's: an object that leads to a Service elsewhere is another mesh's
 * @param namespace of this control plane: an object that points at another one is that one's
 * @returns whether it changed; false as well where the object does not exist (the installer makes it)
 */
export async function publishCaBundle(
  client: KubeClient,
  namespace: string,
  target: CaBundleTarget,
  ca: string,
): Promise<boolean> {
  const caBundle = Buffer.from(ca).toString("base64");
  const options = { fieldManager: CONTROLLER_FIELD_MANAGER, force: true };
  if (target === "webhook") {
    const { configuration, webhook } = INJECTOR_WEBHOOK;
    const kind = resource.mutatingWebhookConfigurations;
    const found = await client.find<WebhookConfiguration>(kind, configuration);
    const entry = found?.webhooks?.find(({ name }) => name === webhook);
    const config = entry?.clientConfig;
    if (config?.service?.namespace !== namespace || config.caBundle === caBundle) return false;
    await client.apply<WebhookConfiguration>(
      kind,
      {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: kind.kind,
        metadata: { name: configuration },
        webhooks: [{ name: webhook, clientConfig: { caBundle } }],
      },
      options,
    );
    return true;
  }
  const name = apiServiceNames[target === "tapApi" ? 0 : 1] ?? "";
  const found = await client.find<ApiService>(resource.apiServices, name);
  if (found?.spec?.service?.namespace !== namespace || found.spec.caBundle === caBundle) return false;
  await client.apply<ApiService>(
    resource.apiServices,
    { apiVersion: "apiregistration.k8s.io/v1", kind: "APIService", metadata: { name }, spec: { caBundle } },
    options,
  );
  return true;
}

/** Calls `onChange` when one of the objects appears or changes. @returns stop */
export function watchCaBundleTargets(client: KubeClient, log: Log, onChange: () => void): () => void {
  const targets: readonly [Resource, string][] = [
    [resource.mutatingWebhookConfigurations, INJECTOR_WEBHOOK.configuration],
    ...apiServiceNames.map((name): [Resource, string] => [resource.apiServices, name]),
  ];
  const informers = targets.map(([kind, name]) => {
    const informer = startInformer<KubeObject>(client, kind, {
      fieldSelector: `metadata.name=${name}`,
      onError: (error) => log.warn(`cannot watch ${kind.kind} ${name}`, { reason: messageOf(error) }),
    });
    informer.subscribe(onChange);
    return informer;
  });
  return () => {
    for (const informer of informers) informer.stop();
  };
}
