/** Kinds that are questions: created, answered, never stored. */
import { resource } from "../../kube/resources.ts";
import type { Resource } from "../../kube/types.ts";
import type { Access, User } from "./access.ts";
import { type Fields, fieldsAt, isFields, stringAt } from "./object.ts";
import type { Rbac } from "./rbac.ts";
import { badRequest } from "./status.ts";
import { API_AUDIENCE, TokenError, type Tokens } from "./tokens.ts";

export interface ReviewContext {
  readonly user: User;
  readonly namespace: string | undefined;
  readonly rbac: Rbac;
  readonly tokens: Tokens;
}

export interface ReviewKind extends Resource {
  readonly answer: (body: Fields, context: ReviewContext) => Fields;
}

const localSubjectAccessReviews: Resource = {
  ...resource.subjectAccessReviews,
  plural: "localsubjectaccessreviews",
  kind: "LocalSubjectAccessReview",
  namespaced: true,
};

export const reviews: readonly ReviewKind[] = [
  { ...resource.tokenReviews, answer: (body, context) => tokenReview(body, context) },
  { ...resource.selfSubjectReviews, answer: (_body, { user }) => ({ userInfo: userInfo(user) }) },
  { ...resource.subjectAccessReviews, answer: (body, context) => subjectAccessReview(body, context) },
  { ...localSubjectAccessReviews, answer: (body, context) => subjectAccessReview(body, context) },
  {
    ...resource.selfSubjectAccessReviews,
    answer: (body, { user, rbac }) => decision(rbac, user, accessOf(fieldsAt(body, "spec"))),
  },
  {
    ...resource.selfSubjectRulesReviews,
    answer: (body, { user, rbac }) => {
      const namespace = stringAt(body, "spec", "namespace") ?? "";
      if (namespace === "") throw badRequest("no namespace on request");
      const rules = rbac.rulesFor(user, namespace);
      return {
        resourceRules: rules
          .filter((rule) => (rule.resources ?? []).length > 0)
          .map(({ verbs, apiGroups, resources, resourceNames }) => ({
            verbs,
            apiGroups,
            resources,
            ...(resourceNames === undefined ? {} : { resourceNames }),
          })),
        nonResourceRules: rules
          .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
          .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
        incomplete: false,
      };
    },
  },
];

export function userInfo(user: User): Fields {
  return {
    username: user.name,
    ...(user.uid === "" ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
  };
}

function tokenReview(body: Fields, { tokens }: ReviewContext): Fields {
  const token = stringAt(body, "spec", "token") ?? "";
  const asked = fieldsAt(body, "spec")["audiences"];
  const audiences = Array.isArray(asked) && asked.length > 0 ? (asked as string[]) : [API_AUDIENCE];
  if (token === "") throw badRequest("token is required for TokenReview in authentication");
  try {
    const verified = tokens.verify(token, audiences);
    return { authenticated: true, user: userInfo(verified.user), audiences: verified.audiences };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { authenticated: false, user: {}, error: `[invalid bearer token, ${error.message}]` };
  }
}

function subjectAccessReview(body: Fields, { rbac, namespace }: ReviewContext): Fields {
  const spec = fieldsAt(body, "spec");
  const access = accessOf(spec);
  const name = stringAt(spec, "user") ?? "";
  const groups = Array.isArray(spec["groups"]) ? (spec["groups"] as string[]) : [];
  if (name === "" && groups.length === 0)
    throw badRequest('spec.user: Invalid value: "": at least one of user or group must be specified');
  if (namespace !== undefined && "namespace" in access && access.namespace !== namespace) {
    throw badRequest(`spec.resourceAttributes.namespace must match metadata.namespace "${namespace}"`);
  }
  const extra = fieldsAt(spec, "extra") as Record<string, string[]>;
  return decision(rbac, { name, uid: stringAt(spec, "uid") ?? "", groups, extra }, access);
}

function decision(rbac: Rbac, user: User, access: Access): Fields {
  const { allowed, reason } = rbac.decide(user, access);
  return { allowed, ...(reason === "" ? {} : { reason }) };
}

function accessOf(spec: Fields): Access {
  const attributes = spec["resourceAttributes"];
  const paths = spec["nonResourceAttributes"];
  if (isFields(attributes) === isFields(paths)) {
    throw badRequest(
      "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  }
  const text = (fields: unknown, name: string): string => stringAt(fields, name) ?? "";
  if (isFields(paths)) return { verb: text(paths, "verb").toLowerCase(), path: text(paths, "path") };
  return {
    verb: text(attributes, "verb"),
    group: text(attributes, "group"),
    version: text(attributes, "version"),
    resource: text(attributes, "resource"),
    subresource: text(attributes, "subresource"),
    namespace: text(attributes, "namespace"),
    name: text(attributes, "name"),
  };
}
