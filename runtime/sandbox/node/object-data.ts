/** ConfigMaps and Secrets as bytes. */

import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import type { SandboxApi } from "../seam.ts";
import type { ObjectData } from "./environment.ts";

interface ConfigMap extends KubeObject {
  data?: Readonly<Record<string, string>>;
  binaryData?: Readonly<Record<string, string>>;
}

interface Secret extends KubeObject {
  data?: Readonly<Record<string, string>>;
}

/** @returns what is in `namespace` at the time of each call */
export function objectData(api: SandboxApi, namespace: string): ObjectData {
  return {
    configMap(name) {
      const object = api.get<ConfigMap>(resource.configMaps, name, namespace);
      return object && new Map([...bytes(object.data, "utf8"), ...bytes(object.binaryData, "base64")]);
    },
    configMapTexts(name) {
      const object = api.get<ConfigMap>(resource.configMaps, name, namespace);
      return object && new Map(bytes(object.data, "utf8"));
    },
    secret(name) {
      const object = api.get<Secret>(resource.secrets, name, namespace);
      return object && new Map(bytes(object.data, "base64"));
    },
  };
}

function bytes(data: Readonly<Record<string, string>> = {}, encoding: "utf8" | "base64"): [string, Buffer][] {
  return Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]);
}
