/** Checks of what the API server calls: the webhook and the aggregated APIs. */
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { apiServiceNames, INJECTOR_WEBHOOK } from "../../model/control-plane-rbac.ts";
import { type ApiService, apiServiceProblem } from "../detect.ts";
import { probeWebhook } from "../webhook-probe.ts";
import { type Check, type CheckCategory, failure, success } from "./check.ts";
import { servingCertificates } from "./identity.ts";

const TRIAL_NAMESPACE = "default";
const REACH = "The API server must reach port 10250 of the control plane's pods: check network policies and firewalls.";

interface Webhook extends KubeObject {
  readonly webhooks?: readonly { readonly clientConfig?: { readonly caBundle?: string } }[];
}

export const webhooksAndApis: CheckCategory = {
  name: "weft-webhooks-and-apisvc-tls",
  checks: [
    ...servingCertificates,
    {
      description: "proxy-injector webhook is registered, with its caBundle",
      async run({ client }) {
        const { configuration } = INJECTOR_WEBHOOK;
        const found = await client.find<Webhook>(resource.mutatingWebhookConfigurations, configuration);
        if (found === undefined) {
          return failure(`MutatingWebhookConfiguration ${configuration} is missing`, "weft install puts it back.");
        }
        if (found.webhooks?.[0]?.clientConfig?.caBundle) return success;
        return failure(
          "its field caBundle is empty",
          "The controller sets it: see the log of its container controller.",
        );
      },
    },
    {
      description: "proxy-injector webhook answers",
      async run({ client }) {
        const result = await probeWebhook(client, TRIAL_NAMESPACE);
        if (result.kind === "injected") return success;
        if (result.kind === "untouched") return failure("a pod for trial came back without a proxy", REACH);
        return failure(`a pod for trial was refused: ${result.error.message}`, REACH);
      },
    },
    ...apiServiceNames.map(
      (name): Check => ({
        description: `APIService ${name} is available`,
        async run({ client }) {
          const problem = apiServiceProblem(await client.find<ApiService>(resource.apiServices, name));
          if (problem === undefined) return success;
          return failure(`APIService ${name} ${problem}`, `${REACH} While it is so, no namespace can be deleted.`);
        },
      }),
    ),
  ],
};
