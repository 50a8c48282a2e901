import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { decode, encode, type Packet, type RecordType } from "dns-packet";
import fc from "fast-check";
import { resource } from "../../../../runtime/kube/resources.ts";
import { clusterNames, type DnsRecord } from "../../../../runtime/sandbox/node/dns-records.ts";
import { DnsServer } from "../../../../runtime/sandbox/node/dns-server.ts";
import type { EndpointSlice, Service } from "../../../../runtime/sandbox/node/pod-types.ts";
import { StoreApi } from "../../../integration/sandbox-node/store-api.ts";

const api = new StoreApi();
const lookup = clusterNames(api, "cluster.local");
const addresses = (name: string, type = "A"): string[] | undefined =>
  lookup(name, type)?.map((record: DnsRecord) =>
    record.type === "A" ? record.address : `${record.target}:${record.port}`,
  );

function service(name: string, spec: Service["spec"]): void {
  api.create<Service>(resource.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "team" },
    ...(spec && { spec }),
  });
}

function slice(name: string, endpoints: EndpointSlice["endpoints"]): void {
  api.create<EndpointSlice>(resource.endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace: "team", labels: { "kubernetes.io/service-name": name } },
    ...(endpoints && { endpoints }),
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  });
}

before(() => {
  api.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "team" } });
  service("web", { clusterIP: "10.0.128.5", ports: [{ name: "http", port: 80 }] });
  service("db", { clusterIP: "None", ports: [{ name: "http", port: 80 }] });
  slice("db", [
    { addresses: ["10.0.1.2"], hostname: "db-0", conditions: { ready: true } },
    { addresses: ["10.0.1.3"], conditions: { ready: true } },
    { addresses: ["10.0.1.4"], conditions: { ready: false } },
  ]);
  service("early", { clusterIP: "None", publishNotReadyAddresses: true });
  slice("early", [{ addresses: ["10.0.1.5"], conditions: { ready: false } }]);
  service("idle", { clusterIP: "None" });
  service("many", { clusterIP: "None" });
  slice(
    "many",
    Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.0.2.${index}`], conditions: { ready: true } })),
  );
});

describe("names of the cluster", () => {
  test("a Service's address, in any case; of another type: nothing, but the name is there", () => {
    assert.deepEqual(addresses("web.team.svc.cluster.local"), ["10.0.128.5"]);
    assert.deepEqual(addresses("WEB.team.SVC.cluster.local"), ["10.0.128.5"]);
    assert.deepEqual(addresses("web.team.svc.cluster.local", "AAAA"), []);
    assert.deepEqual(addresses("web.team.svc.cluster.local", "TXT"), []);
  });

  test("a headless Service's ready endpoints, by name and all together", () => {
    assert.deepEqual(addresses("db.team.svc.cluster.local"), ["10.0.1.2", "10.0.1.3"]);
    assert.deepEqual(addresses("db-0.db.team.svc.cluster.local"), ["10.0.1.2"]);
    assert.deepEqual(addresses("10-0-1-3.db.team.svc.cluster.local"), ["10.0.1.3"]);
    assert.equal(addresses("10-0-1-4.db.team.svc.cluster.local"), undefined);
    assert.deepEqual(addresses("early.team.svc.cluster.local"), ["10.0.1.5"]);
    assert.equal(addresses("idle.team.svc.cluster.local"), undefined);
  });

  test("ports", () => {
    assert.deepEqual(addresses("_http._tcp.web.team.svc.cluster.local", "SRV"), ["web.team.svc.cluster.local:80"]);
    assert.deepEqual(addresses("web.team.svc.cluster.local", "SRV"), ["web.team.svc.cluster.local:80"]);
    assert.deepEqual(addresses("_http._tcp.db.team.svc.cluster.local", "SRV"), [
      "db-0.db.team.svc.cluster.local:8080",
      "10-0-1-3.db.team.svc.cluster.local:8080",
    ]);
    assert.equal(addresses("_http._udp.web.team.svc.cluster.local", "SRV"), undefined);
    assert.equal(addresses("_grpc._tcp.web.team.svc.cluster.local", "SRV"), undefined);
  });

  test("pods by their addresses", () => {
    assert.deepEqual(addresses("10-0-1-2.team.pod.cluster.local"), ["10.0.1.2"]);
    assert.equal(addresses("pod-a.team.pod.cluster.local"), undefined);
  });

  test("parts of names exist without records", () => {
    for (const name of ["team.svc.cluster.local", "team.pod.cluster.local", "svc.cluster.local", "cluster.local"]) {
      assert.deepEqual(addresses(name), [], name);
    }
  });

  test("what is not there", () => {
    for (const name of [
      "absent.team.svc.cluster.local",
      "x.web.team.svc.cluster.local",
      "web.team.cluster.local",
      "other.svc.cluster.local",
      "10-0-1-2.other.pod.cluster.local",
      "example.com",
      "example.com.team.svc.cluster.local",
      "local",
    ]) {
      assert.equal(addresses(name), undefined, name);
    }
  });
});

describe("the DNS server", () => {
  const server = new DnsServer(lookup, "cluster.local");
  let port = 0;
  before(async () => {
    port = await server.start("127.0.0.1");
  });
  after(() => server.stop());

  const query = (name: string, type: RecordType, more: Partial<Packet> = {}): Buffer =>
    encode({ type: "query", id: 7, flags: 0x0100, questions: [{ name, type, class: "IN" }], ...more });

  async function udp(message: Buffer): Promise<Packet & { rcode?: string; flag_tc?: boolean }> {
    const socket = createSocket("udp4");
    socket.send(message, port, "127.0.0.1");
    const [answer] = (await once(socket, "message")) as [Buffer];
    socket.close();
    return decode(answer);
  }

  test("answers with the question's id and the records", async () => {
    const answer = await udp(query("web.team.svc.cluster.local", "A"));
    assert.equal(answer.id, 7);
    assert.equal(answer.rcode, "NOERROR");
    assert.deepEqual(
      answer.answers?.map((record) => "data" in record && record.data),
      ["10.0.128.5"],
    );
  });

  test("NXDOMAIN carries how long to remember it", async () => {
    const answer = await udp(query("example.com", "A"));
    assert.equal(answer.rcode, "NXDOMAIN");
    assert.equal(answer.authorities?.[0]?.type, "SOA");
  });

  test("what does not fit a datagram is cut, fits with EDNS, and comes whole over TCP", async () => {
    const name = "many.team.svc.cluster.local";
    const cut = await udp(query(name, "A"));
    assert.equal(cut.flag_tc, true);
    assert.equal(cut.answers?.length, 0);
    const edns = await udp(
      query(name, "A", {
        additionals: [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: 4096,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ],
      }),
    );
    assert.equal(edns.answers?.length, 60);

    const socket = connect(port, "127.0.0.1");
    const message = query(name, "A");
    const head = Buffer.alloc(2);
    head.writeUInt16BE(message.length);
    // In two pieces, and two questions on one connection.
    socket.write(head.subarray(0, 1));
    await new Promise((done) => setTimeout(done, 20));
    socket.write(Buffer.concat([head.subarray(1), message, head, message]));
    let bytes = Buffer.alloc(0);
    let answers = 0;
    for await (const chunk of socket) {
      bytes = Buffer.concat([bytes, chunk as Buffer]);
      while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
        const length = bytes.readUInt16BE(0);
        assert.equal(decode(bytes.subarray(2, 2 + length)).answers?.length, 60);
        bytes = bytes.subarray(2 + length);
        answers++;
      }
      if (answers === 2) break;
    }
    assert.equal(answers, 2);
  });

  test("rubbish is not answered and does no harm", async () => {
    const socket = createSocket("udp4");
    for (const rubbish of [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(12, 0xff), Buffer.alloc(600, 7)]) {
      socket.send(rubbish, port, "127.0.0.1");
    }
    // A question whose type and class have no name: answered or not, never the end of the server.
    const strange = query("web.team.svc.cluster.local", "A");
    strange.writeUInt16BE(65_500, strange.length - 4);
    strange.writeUInt16BE(4_660, strange.length - 2);
    socket.send(strange, port, "127.0.0.1");
    fc.assert(
      fc.property(fc.integer({ min: 0, max: strange.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const spoiled = query("web.team.svc.cluster.local", "A");
        spoiled[at] = byte;
        socket.send(spoiled, port, "127.0.0.1");
      }),
      { numRuns: 200 },
    );
    assert.equal((await udp(query("web.team.svc.cluster.local", "A"))).answers?.length, 1);
    socket.close();
  });
});
