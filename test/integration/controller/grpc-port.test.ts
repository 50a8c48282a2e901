import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { connect as http2Connect } from "node:http2";
import { after, describe, it } from "node:test";
import { createSecureContext, type SecureContext, connect as tlsConnect } from "node:tls";
import { ChannelCredentials, type ServerWritableStream, status } from "@grpc/grpc-js";
import {
  type DestinationProfile,
  type DestinationServer,
  DestinationService,
  type GetDestination,
  type Update,
} from "../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import { DestinationClient } from "../../../runtime/api/service-clients.ts";
import { createLog } from "../../../runtime/controller/config/log.ts";
import { GrpcPort } from "../../../runtime/controller/grpc/grpc-port.ts";
import { QUEUE_CAPACITY, UpdateStream } from "../../../runtime/controller/grpc/update-stream.ts";
import { createServingCertificate } from "../../../runtime/controller/pki/authorities.ts";
import type { TlsMaterial } from "../../../runtime/controller/pki/tls-secret.ts";

const NAME = "controller.test";
const PATH = "/io.linkerd.proxy.destination.Destination/Get";
const log = createLog("test", "error", () => {});

function contextOf({ certificate, privateKey }: TlsMaterial): SecureContext {
  return createSecureContext({ cert: certificate, key: privateKey, minVersion: "TLSv1.3" });
}

function update(label: string): Update {
  return { update: { $case: "add", value: { addrs: [], metricLabels: { label } } } };
}

describe("a gRPC port", () => {
  const closing: (() => unknown)[] = [];
  after(async () => {
    for (const close of closing.reverse()) await close();
  });

  async function start(
    context: () => SecureContext,
    get: (call: ServerWritableStream<GetDestination, Update>) => void,
  ): Promise<number> {
    const implementation: DestinationServer = {
      get,
      getProfile: (call: ServerWritableStream<GetDestination, DestinationProfile>) => call.end(),
    };
    const port = new GrpcPort({
      port: 0,
      host: "127.0.0.1",
      services: [{ definition: DestinationService, implementation }],
      context,
      requireClientCertificate: false,
      log,
    });
    const number = await port.listen();
    closing.push(() => port.drain(0));
    return number;
  }

  const request = { scheme: "k8s", path: "x", contextToken: "" };

  it("resumes no session: each connection's chain is checked anew", async () => {
    const material = createServingCertificate([NAME], new Date());
    const context = contextOf(material);
    const port = await start(
      () => context,
      (call) => call.end(),
    );
    /** Shakes hands, with a session of before where there is one. @returns whether it was resumed, and tickets it was given */
    const shakeHands = (session?: Buffer): Promise<{ reused: boolean; sessions: Buffer[] }> =>
      new Promise((resolve, reject) => {
        const sessions: Buffer[] = [];
        const socket = tlsConnect({
          port,
          host: "127.0.0.1",
          servername: NAME,
          ca: material.ca,
          ...(session === undefined ? {} : { session }),
        });
        socket.on("session", (ticket) => sessions.push(ticket));
        socket.on("error", reject);
        socket.on("secureConnect", () => {
          socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
        });
        // Tickets come behind the handshake, before anything else.
        socket.once("data", () => {
          resolve({ reused: socket.isSessionReused(), sessions });
          socket.destroy();
        });
      });
    const { sessions } = await shakeHands();
    for (const session of sessions) assert.equal((await shakeHands(session)).reused, false);
    assert.equal((await shakeHands()).reused, false);
  });

  it("shows a new certificate to new connections and keeps the streams of old ones", async () => {
    let material = createServingCertificate([NAME], new Date());
    const calls: UpdateStream<GetDestination, Update>[] = [];
    const port = await start(
      () => contextOf(material),
      (call) => void calls.push(new UpdateStream(call)),
    );
    const options = { "grpc.ssl_target_name_override": NAME };
    const credentials = ChannelCredentials.createFromSecureContext(createSecureContext({ ca: material.ca ?? "" }));
    const client = new DestinationClient(`127.0.0.1:${port}`, credentials, options);
    const stream = client.get(request);
    const heard: string[] = [];
    stream.on("data", (message: Update) => {
      if (message.update?.$case === "add") heard.push(message.update.value.metricLabels["label"] ?? "");
    });
    stream.on("error", () => {});
    while (calls.length === 0) await wait(5);
    calls[0]?.send(update("before"));

    material = createServingCertificate([NAME], new Date());
    const probe = tlsConnect({
      host: "127.0.0.1",
      port,
      servername: NAME,
      ca: material.ca ?? "",
      ALPNProtocols: ["h2"],
    });
    await new Promise((resolve, reject) => probe.once("secureConnect", resolve).once("error", reject));
    const shown = probe.getPeerX509Certificate();
    assert.equal(shown?.fingerprint256, new X509Certificate(material.certificate).fingerprint256);
    probe.destroy();

    calls[0]?.send(update("after"));
    while (heard.length < 2) await wait(5);
    assert.deepEqual(heard, ["before", "after"]);
    stream.cancel();
    client.close();
  });

  it("ends the stream of a client that does not read, having kept a bounded number of updates", async () => {
    const material = createServingCertificate([NAME], new Date());
    let overflowed = 0;
    let sent = 0;
    let stream: UpdateStream<GetDestination, Update> | undefined;
    let call: ServerWritableStream<GetDestination, Update> | undefined;
    const port = await start(
      () => contextOf(material),
      (incoming) => {
        call = incoming;
        stream = new UpdateStream(incoming, () => overflowed++);
      },
    );
    // A client of bare HTTP/2 that gives no more window than it has.
    const session = http2Connect(`https://127.0.0.1:${port}`, {
      ca: material.ca ?? "",
      servername: NAME,
      settings: { initialWindowSize: 1_000 },
    });
    closing.push(() => session.destroy());
    session.on("error", () => {});
    const exchange = session.request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    exchange.pause();
    exchange.on("error", () => {});
    exchange.end(Buffer.from([0, 0, 0, 0, 0]));
    while (stream === undefined) await wait(5);
    while (!stream.ended && sent < 10_000) {
      stream.send(update("x".repeat(200)));
      sent++;
      if (sent % 50 === 0) await wait(1);
    }
    assert.equal(overflowed, 1);
    assert.ok(sent <= QUEUE_CAPACITY + 200, `${sent} updates were taken`);
    assert.ok((call?.writableLength ?? 0) <= QUEUE_CAPACITY + 1);

    const trailers = new Promise<Record<string, unknown>>((resolve) => exchange.once("trailers", resolve));
    exchange.resume();
    assert.equal((await trailers)["grpc-status"], String(status.UNAVAILABLE));
  });

  it("forgets a stream whose client is gone", async () => {
    const material = createServingCertificate([NAME], new Date());
    let ended = 0;
    const port = await start(
      () => contextOf(material),
      (call) => {
        const stream = new UpdateStream(call);
        stream.onEnd(() => ended++);
        stream.send(update("hello"));
      },
    );
    const session = http2Connect(`https://127.0.0.1:${port}`, { ca: material.ca ?? "", servername: NAME });
    session.on("error", () => {});
    const exchange = session.request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    exchange.on("error", () => {});
    exchange.end(Buffer.from([0, 0, 0, 0, 0]));
    await new Promise((resolve) => exchange.once("data", resolve));
    session.destroy();
    const end = Date.now() + 5_000;
    while (ended === 0 && Date.now() < end) await wait(5);
    assert.equal(ended, 1);
  });

  it("refuses a client that names nobody", async () => {
    const material = createServingCertificate([NAME], new Date());
    const port = await start(
      () => contextOf(material),
      (call) => call.end(),
    );
    const client = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await assert.rejects(new Promise((resolve, reject) => client.once("secureConnect", resolve).once("error", reject)));
  });
});

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
