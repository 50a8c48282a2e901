import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import { type Answer, applyHeaders, type Cluster, connect, eventually, type Json } from "./support/cluster.ts";

const GROUP = "custom.contract.weft.dev";
const NAME = `gadgets.${GROUP}`;

describe("custom resources", () => {
  let cluster: Cluster;
  let gadgets: string;

  before(async () => {
    cluster = await connect();
    gadgets = `/apis/${GROUP}/v1/namespaces/${cluster.namespace}/gadgets`;
    await cluster.client.create(resource.customResourceDefinitions, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: NAME },
      spec: {
        group: GROUP,
        scope: "Namespaced",
        names: { kind: "Gadget", plural: "gadgets", shortNames: ["gg"] },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            subresources: { status: {} },
            additionalPrinterColumns: [{ name: "Port", type: "integer", jsonPath: ".spec.port" }],
            schema: {
              openAPIV3Schema: {
                type: "object",
                required: ["spec"],
                properties: {
                  spec: {
                    type: "object",
                    required: ["port"],
                    properties: {
                      port: { type: "integer", minimum: 1, maximum: 65535 },
                      target: { "x-kubernetes-int-or-string": true },
                      mode: { type: "string", enum: ["fast", "slow"], default: "slow" },
                      name: { type: "string", pattern: "^[a-z]+$", maxLength: 5 },
                      labels: { type: "object", additionalProperties: { type: "string" } },
                      parts: {
                        type: "array",
                        maxItems: 2,
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["id"],
                        items: {
                          type: "object",
                          required: ["id"],
                          properties: { id: { type: "string" }, size: { type: "integer" } },
                        },
                      },
                      free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
                    },
                  },
                  status: { type: "object", properties: { ready: { type: "boolean" } } },
                },
              },
            },
          },
        ],
      },
    });
    await eventually("the definition to be established", async () => {
      const { body } = await cluster.ask("GET", `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${NAME}`);
      const conditions = (body.status?.conditions ?? []) as Json[];
      return ["Established", "NamesAccepted"].every((type) =>
        conditions.some((entry) => entry["type"] === type && entry["status"] === "True"),
      );
    });
    await eventually("it to be served", async () => (await cluster.ask("GET", gadgets)).status === 200);
  });
  after(async () => {
    await cluster.client.delete(resource.customResourceDefinitions, NAME);
    await cluster.close();
  });

  const gadget = (name: string, spec: Json, more: Json = {}): Json => ({
    apiVersion: `${GROUP}/v1`,
    kind: "Gadget",
    metadata: { name, namespace: cluster.namespace },
    spec,
    ...more,
  });
  const create = (name: string, spec: Json, query: Record<string, string> = {}): Promise<Answer> =>
    cluster.ask("POST", gadgets, { query, body: gadget(name, spec) });

  it("are stored with their defaults, without what their schema does not know", async () => {
    const made = await create("a", { port: 80, more: 1, labels: {}, free: { x: { y: 1 } } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual(made.body.spec, { port: 80, mode: "slow", labels: {}, free: { x: { y: 1 } } });
    assert.equal(made.body.metadata.generation, 1);
    assert.match(made.headers["warning"] ?? "", /unknown field \\"spec.more\\"/);
    const strict = await create("b", { port: 80, more: 1 }, { fieldValidation: "Strict" });
    assert.equal(strict.status, 400);
    assert.match(strict.body.message, /strict decoding error: unknown field "spec.more"/);
    const list = await cluster.ask("GET", gadgets);
    assert.equal(list.body.kind, "GadgetList");
    assert.equal(list.body.items[0].kind, "Gadget");
  });

  it("are held to their schema", async () => {
    const causes = async (spec: Json): Promise<string[]> => {
      const { status, body } = await create("bad", spec);
      assert.equal(status, 422, JSON.stringify(body));
      return (body.details.causes as Json[]).map(({ field, reason }) => `${String(field)} ${String(reason)}`).sort();
    };
    assert.deepEqual(await causes({}), ["spec.port FieldValueRequired"]);
    assert.deepEqual(await causes({ port: 0 }), ["spec.port FieldValueInvalid"]);
    assert.deepEqual(await causes({ port: "x" }), ["spec.port FieldValueTypeInvalid"]);
    assert.deepEqual(await causes({ port: 1, mode: "other" }), ["spec.mode FieldValueNotSupported"]);
    assert.deepEqual(await causes({ port: 1, name: "ABC" }), ["spec.name FieldValueInvalid"]);
    assert.deepEqual(await causes({ port: 1, parts: [{ size: 1 }] }), ["spec.parts[0].id FieldValueRequired"]);
    const { body } = await create("bad", { port: "x" });
    assert.equal(
      body.message,
      `Gadget.${GROUP} "bad" is invalid: spec.port: Invalid value: "string": spec.port in body must be of type integer: "string"`,
    );
  });

  it("have a status of their own", async () => {
    await create("s", { port: 1 });
    const headers = { "content-type": "application/merge-patch+json" };
    const ignored = await cluster.ask("PATCH", `${gadgets}/s`, { headers, body: { status: { ready: true } } });
    assert.equal(ignored.body.status, undefined);
    const written = await cluster.ask("PATCH", `${gadgets}/s/status`, {
      headers,
      body: { status: { ready: true }, spec: { port: 2 } },
    });
    assert.deepEqual(written.body.status, { ready: true });
    assert.equal(written.body.spec.port, 1);
    assert.equal(written.body.metadata.generation, 1);
  });

  it("are applied by the keys of their lists", async () => {
    const apply = (manager: string, spec: Json): Promise<Answer> =>
      cluster.ask("PATCH", `${gadgets}/l`, {
        headers: applyHeaders,
        query: { fieldManager: manager },
        body: gadget("l", spec),
      });
    assert.equal((await apply("one", { port: 1, parts: [{ id: "x", size: 1 }] })).status, 201);
    const merged = await apply("two", { parts: [{ id: "y", size: 2 }], port: 1 });
    assert.equal(merged.status, 200, JSON.stringify(merged.body));
    assert.deepEqual(merged.body.spec.parts.map(({ id }: Json) => id).sort(), ["x", "y"]);
    const conflict = await apply("two", { parts: [{ id: "x", size: 3 }], port: 1 });
    assert.equal(conflict.body.message, 'Apply failed with 1 conflict: conflict with "one": .spec.parts[id="x"].size');
    const strategic = await cluster.ask("PATCH", `${gadgets}/l`, {
      headers: { "content-type": "application/strategic-merge-patch+json" },
      body: {},
    });
    assert.equal(strategic.status, 415);
  });

  it("are discovered, and shown in their columns", async () => {
    const { body } = await cluster.ask("GET", `/apis/${GROUP}/v1`);
    const entry = body.resources.find(({ name }: Json) => name === "gadgets");
    assert.equal(entry.kind, "Gadget");
    assert.deepEqual(entry.shortNames, ["gg"]);
    const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
    const table = await cluster.ask("GET", gadgets, { headers, query: { fieldSelector: "metadata.name=a" } });
    assert.deepEqual(
      table.body.columnDefinitions.map(({ name }: Json) => name),
      ["Name", "Port"],
    );
    assert.equal(String(table.body.rows[0].cells[1]), "80");
  });
});
