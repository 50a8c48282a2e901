import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAllDocuments } from "yaml";
import { resource, resourceOf, resourcePath } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { definitions } from "./support/crds.ts";
import { connectCluster } from "./support/mesh.ts";
import { readSnippets } from "./support/snippet-text.ts";

const FIELD_MANAGER = "weft-tests";
const ESTABLISHED_MS = 30_000;

interface Definition extends KubeObject {
  status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** The judge is an API server with the kinds' schemas, in its strictest mode: it refuses fields that it does not know. */
describe("snippets", () => {
  let client: KubeClient;
  const made: string[] = [];

  before(async () => {
    client = await connectCluster();
    for (const definition of definitions) {
      const { name } = definition.metadata;
      if ((await client.find(resource.customResourceDefinitions, name)) !== undefined) continue;
      made.push(name);
      await client.create(resource.customResourceDefinitions, definition);
      await established(client, name);
    }
  });

  after(async () => {
    for (const name of made) await client.delete(resource.customResourceDefinitions, name);
    client.transport.close();
  });

  const snippets = readSnippets();

  it("are three", () => {
    assert.equal(snippets.length, 3);
  });

  for (const { title, text } of snippets) {
    it(`${title}: every object is accepted as it stands`, async () => {
      const documents = parseAllDocuments(text);
      assert.ok(Array.isArray(documents) && documents.length > 0);
      for (const document of documents) {
        assert.deepEqual(document.errors, []);
        await dryRun(client, document.toJS() as KubeObject);
      }
    });
  }

  it("a field that nobody knows would be refused", async () => {
    const [document] = parseAllDocuments(snippets[0]?.text ?? "");
    const object = document?.toJS() as KubeObject;
    await assert.rejects(
      dryRun(client, { ...object, spec: { ...(object["spec"] as object), replcias: 1 } }),
      /replcias/,
    );
  });
});

async function dryRun(client: KubeClient, object: KubeObject): Promise<void> {
  const namespace = object.metadata.namespace ?? "default";
  const answer = await client.json<KubeObject>({
    method: "POST",
    path: resourcePath(resourceOf(object), namespace),
    query: { dryRun: "All", fieldValidation: "Strict", fieldManager: FIELD_MANAGER },
    body: object,
  });
  assert.equal(answer.metadata.name, object.metadata.name);
}

async function established(client: KubeClient, name: string): Promise<void> {
  const until = Date.now() + ESTABLISHED_MS;
  while (Date.now() < until) {
    const { status } = await client.get<Definition>(resource.customResourceDefinitions, name);
    if (status?.conditions?.some(({ type, status: is }) => type === "Established" && is === "True") === true) return;
    await sleep(200);
  }
  throw new Error(`${name} is not established after ${ESTABLISHED_MS / 1000} s`);
}
