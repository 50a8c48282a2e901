/** What grpc-js sees of the application's gRPC. Run as: grpc-scenario.ts host:port; prints it as JSON. */
import { once } from "node:events";
import { Client, credentials } from "@grpc/grpc-js";

const client = new Client(process.argv[2] as string, credentials.createInsecure(), { "grpc.enable_retries": 0 });
const same = (message: Buffer): Buffer => message;

function call(method: string, message: Buffer): Promise<Buffer | string> {
  return new Promise((resolve) =>
    client.makeUnaryRequest(method, same, same, message, (error, answer) =>
      resolve(error === null ? (answer ?? Buffer.alloc(0)) : `${error.code} ${error.details}`),
    ),
  );
}

/** 200 messages there and back. */
async function stream(): Promise<number> {
  const duplex = client.makeBidiStreamRequest("/test.Echo/Stream", same, same);
  let messages = 0;
  duplex.on("data", () => messages++);
  for (let index = 0; index < 200; index++) if (!duplex.write(Buffer.alloc(1_000, index))) await once(duplex, "drain");
  duplex.end();
  await once(duplex, "status");
  return messages;
}

/** @returns the status of a stream that does not end by itself */
function ended(options: { deadline?: number }, how: (duplex: { cancel(): void }) => void): Promise<number> {
  const duplex = client.makeBidiStreamRequest("/test.Echo/Stream", same, same, options);
  duplex.on("error", () => undefined);
  duplex.on("data", () => how(duplex));
  duplex.write(Buffer.from("one"));
  return new Promise((resolve) => duplex.on("status", ({ code }) => resolve(code)));
}

console.log(
  JSON.stringify({
    unary: String(await call("/test.Echo/Unary", Buffer.from("hello"))),
    large: (await call("/test.Echo/Unary", Buffer.alloc(3_000_000, 1))).length,
    failed: await call("/test.Echo/Fail", Buffer.from("7")),
    stream: await stream(),
    late: await ended({ deadline: Date.now() + 300 }, () => undefined),
    cancelled: await ended({}, (duplex) => duplex.cancel()),
  }),
);
client.close();
