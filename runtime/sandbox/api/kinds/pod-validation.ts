/** Validation of pod specs: what a manifest most often gets wrong, in the API server's words (core/validation). */

import { quantity } from "../../quantity.ts";
import {
  checkAnnotations,
  checkLabels,
  checkName,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  required,
  unsupported,
} from "../field-errors.ts";
import { type Fields, fieldsAt, isFields, listAt, stringAt } from "../object.ts";
import type { FieldError } from "../status.ts";

export function validateTemplate(template: unknown, field: string): FieldError[] {
  const metadata = fieldsAt(template, "metadata");
  return [
    ...checkLabels(`${field}.labels`, metadata["labels"]),
    ...checkAnnotations(`${field}.annotations`, metadata["annotations"]),
    ...validatePodSpec(fieldsAt(template, "spec"), `${field}.spec`),
  ];
}

export function validatePodSpec(spec: Fields, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set<string>();
  listAt(spec, "volumes").forEach((volume, index) => {
    const at = `${field}.volumes[${index}]`;
    errors.push(...validateVolume(volume, at));
    const name = String(volume["name"]);
    if (volumes.has(name)) errors.push(duplicate(`${at}.name`, name));
    volumes.add(name);
  });
  const containers = listAt(spec, "containers");
  if (containers.length === 0) errors.push(required(`${field}.containers`));
  const names = new Set<string>();
  const each = (list: readonly Fields[], at: string, init: boolean): void =>
    list.forEach((container, index) => {
      errors.push(...validateContainer(container, `${at}[${index}]`, volumes, init));
      const name = String(container["name"]);
      if (names.has(name)) errors.push(duplicate(`${at}[${index}].name`, name));
      names.add(name);
    });
  each(containers, `${field}.containers`, false);
  each(listAt(spec, "initContainers"), `${field}.initContainers`, true);
  const restartPolicy = stringAt(spec, "restartPolicy");
  if (restartPolicy !== undefined && !["Always", "OnFailure", "Never"].includes(restartPolicy)) {
    errors.push(unsupported(`${field}.restartPolicy`, restartPolicy, ["Always", "OnFailure", "Never"]));
  }
  const account = stringAt(spec, "serviceAccountName");
  if (account !== undefined) errors.push(...checkName(`${field}.serviceAccountName`, account, "subdomain"));
  const grace = spec["terminationGracePeriodSeconds"];
  if (typeof grace === "number" && grace < 0) {
    errors.push(invalidValue(`${field}.terminationGracePeriodSeconds`, grace, "must be greater than or equal to 0"));
  }
  return errors;
}

function validateContainer(
  container: Fields,
  field: string,
  volumes: ReadonlySet<string>,
  init: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const name = stringAt(container, "name") ?? "";
  if (name === "") errors.push(required(`${field}.name`));
  else errors.push(...checkName(`${field}.name`, name, "label"));
  if ((stringAt(container, "image") ?? "") === "") errors.push(required(`${field}.image`));
  const ports = new Set<string>();
  listAt(container, "ports").forEach((port, index) => {
    const at = `${field}.ports[${index}]`;
    // 0 is what an absent one is in Go.
    errors.push(
      ...validatePort(port["containerPort"] === 0 ? undefined : port["containerPort"], `${at}.containerPort`),
    );
    const portName = stringAt(port, "name");
    if (portName !== undefined && portName !== "") {
      if (portName.length > 15) errors.push(invalidValue(`${at}.name`, portName, "must be no more than 15 characters"));
      else if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(portName)) {
        errors.push(
          invalidValue(
            `${at}.name`,
            portName,
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
          ),
        );
      }
      if (ports.has(portName)) errors.push(duplicate(`${at}.name`, portName));
      ports.add(portName);
    }
    if (!["TCP", "UDP", "SCTP"].includes(String(port["protocol"]))) {
      errors.push(unsupported(`${at}.protocol`, port["protocol"], ["SCTP", "TCP", "UDP"]));
    }
  });
  listAt(container, "env").forEach((variable, index) => {
    const at = `${field}.env[${index}]`;
    if ((stringAt(variable, "name") ?? "") === "") errors.push(required(`${at}.name`));
    if (variable["valueFrom"] !== undefined && (stringAt(variable, "value") ?? "") !== "") {
      errors.push(invalidValue(`${at}.valueFrom`, "", "may not be specified when `value` is not empty"));
    }
  });
  const paths = new Set<string>();
  listAt(container, "volumeMounts").forEach((mount, index) => {
    const at = `${field}.volumeMounts[${index}]`;
    const volume = stringAt(mount, "name") ?? "";
    const path = stringAt(mount, "mountPath") ?? "";
    if (volume === "") errors.push(required(`${at}.name`));
    else if (!volumes.has(volume)) errors.push(fieldNotFound(`${at}.name`, volume));
    if (path === "") errors.push(required(`${at}.mountPath`));
    else if (paths.has(path)) errors.push(invalidValue(`${at}.mountPath`, path, "must be unique"));
    paths.add(path);
  });
  errors.push(...validateResources(fieldsAt(container, "resources"), `${field}.resources`));
  const sidecar = init && container["restartPolicy"] === "Always";
  if (container["restartPolicy"] !== undefined && !sidecar && container["restartPolicy"] !== "Always") {
    errors.push(unsupported(`${field}.restartPolicy`, container["restartPolicy"], ["Always"]));
  }
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const value = container[probe];
    if (!isFields(value)) continue;
    if (init && !sidecar)
      errors.push(
        forbiddenField(`${field}.${probe}`, "may not be set for init containers without restartPolicy=Always"),
      );
    errors.push(...validateProbe(value, `${field}.${probe}`, probe));
  }
  if (init && !sidecar && container["lifecycle"] !== undefined) {
    errors.push(
      forbiddenField(`${field}.lifecycle`, "may not be set for init containers without restartPolicy=Always"),
    );
  }
  return errors;
}

export function validatePort(port: unknown, field: string): FieldError[] {
  if (port === undefined) return [required(field)];
  const valid = typeof port === "number" && port >= 1 && port <= 65535;
  return valid ? [] : [invalidValue(field, port, "must be between 1 and 65535, inclusive")];
}

const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc"];

function validateProbe(probe: Fields, field: string, name: string): FieldError[] {
  const errors: FieldError[] = [];
  const handlers = HANDLERS.filter((handler) => probe[handler] !== undefined);
  if (handlers.length === 0) errors.push(required(field, "must specify a handler type"));
  for (const handler of handlers.slice(1)) {
    errors.push(forbiddenField(`${field}.${handler}`, "may not specify more than 1 handler type"));
  }
  for (const handler of ["httpGet", "tcpSocket"]) {
    const action = probe[handler];
    if (!isFields(action)) continue;
    const port = action["port"];
    if (typeof port === "string") {
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(port) || port.length > 15) {
        errors.push(
          invalidValue(
            `${field}.${handler}.port`,
            port,
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
          ),
        );
      }
    } else errors.push(...validatePort(port, `${field}.${handler}.port`));
  }
  if (name !== "readinessProbe" && probe["successThreshold"] !== undefined && probe["successThreshold"] !== 1) {
    errors.push(invalidValue(`${field}.successThreshold`, probe["successThreshold"], "must be 1"));
  }
  return errors;
}

function validateResources(resources: Fields, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const limits = fieldsAt(resources, "limits");
  for (const [name, request] of Object.entries(fieldsAt(resources, "requests"))) {
    const limit = limits[name];
    if (limit !== undefined && quantity(String(request)) > quantity(String(limit))) {
      errors.push(
        invalidValue(`${field}.requests`, request, `must be less than or equal to ${name} limit of ${String(limit)}`),
      );
    }
  }
  return errors;
}

function validateVolume(volume: Fields, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = stringAt(volume, "name") ?? "";
  if (name === "") errors.push(required(`${field}.name`));
  else errors.push(...checkName(`${field}.name`, name, "label"));
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) errors.push(required(field, "must specify a volume type"));
  for (const source of sources.slice(1)) {
    errors.push(forbiddenField(`${field}.${source}`, "may not specify more than 1 volume type"));
  }
  if (isFields(volume["secret"]) && (stringAt(volume, "secret", "secretName") ?? "") === "") {
    errors.push(required(`${field}.secret.secretName`));
  }
  if (isFields(volume["configMap"]) && (stringAt(volume, "configMap", "name") ?? "") === "") {
    errors.push(required(`${field}.configMap.name`));
  }
  listAt(volume, "projected", "sources").forEach((source, index) => {
    const token = source["serviceAccountToken"];
    if (!isFields(token)) return;
    const at = `${field}.projected.sources[${index}].serviceAccountToken`;
    if (typeof token["expirationSeconds"] === "number" && token["expirationSeconds"] < 600) {
      errors.push(
        invalidValue(
          `${at}.expirationSeconds`,
          token["expirationSeconds"],
          "may not specify a duration less than 10 minutes",
        ),
      );
    }
    if ((stringAt(token, "path") ?? "") === "") errors.push(required(`${at}.path`));
  });
  return errors;
}
