/** Exim speaks first: curl's mail through two proxies and mTLS, on a port that is marked opaque. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { noise, Pair, SERVICE, sha256 } from "./support/pair.ts";

const PORT = 25;
/** A proxy that waited for the client's first byte would find nothing for ten seconds. */
const SOON_MS = 3_000;
/** Exim delivers what it has taken when it has said so. */
const DELIVERED_WITHIN_MS = 5_000;

describe("SMTP", () => {
  const pair = new Pair({ [PORT]: "opaque" });
  const file = (name: string): string => join(pair.folder, name);
  let server: ChildProcess | undefined;

  before(async () => {
    await pair.start();
    for (const name of ["spool", "mail"]) {
      mkdirSync(file(name));
      // Exim delivers as a user of its own.
      chmodSync(file(name), 0o777);
    }
    writeFileSync(file("exim.conf"), eximConfig(pair.folder));
    server = await pair.serve(PORT, "exim4", ["-bdf", "-C", file("exim.conf"), "-oX", String(PORT)]);
  });
  after(async () => {
    await pair.end(server, "SIGTERM");
    await pair.remove();
  });

  test("its greeting comes at once, to a client that says nothing", async () => {
    const script = `require("node:net").connect(${PORT}, "${SERVICE}").once("data", (data) => { console.log(String(data).trim()); process.exit(0); });`;
    const began = performance.now();
    assert.match(await pair.client.pod.run(process.execPath, ["-e", script]), /^220 mail\.test ESMTP Exim/);
    assert.ok(performance.now() - began < SOON_MS);
  });

  test("mail arrives as it was sent, small and large", async () => {
    for (const [name, bytes] of [
      ["small", 1_000],
      ["large", 3_000_000],
    ] as const) {
      const body = noise(bytes, name).toString("base64").replaceAll(/.{76}/g, "$&\r\n");
      writeFileSync(file(name), `Subject: ${name}\r\n\r\n${body}\r\n`);
      const to = `--mail-from client@test --mail-rcpt ${name}@test`;
      await pair.atClient(
        `curl -sS --max-time 20 smtp://${SERVICE}:${PORT}/client.test ${to} --upload-file ${file(name)}`,
      );
      const expected = sha256(body.replaceAll("\r\n", "\n").trimEnd());
      const until = performance.now() + DELIVERED_WITHIN_MS;
      while (sha256(delivered(name)) !== expected && performance.now() < until) await sleep(50);
      assert.equal(sha256(delivered(name)), expected);
    }
  });

  test("every connection ended well", async () => assert.deepEqual(await pair.unclean("none"), []));

  /** The body of the mail of that subject, as far as it is in the box. */
  function delivered(name: string): string {
    const box = existsSync(file("mail/box")) ? readFileSync(file("mail/box"), "latin1") : "";
    const mail = box.split(/^Received: /m).find((one) => one.includes(`Subject: ${name}\n`)) ?? "";
    return (
      mail
        .slice(mail.indexOf("\n\n") + 2)
        .split(/\nFrom |\n\n/)[0]
        ?.trimEnd() ?? ""
    );
  }
});

/** Takes everything, and puts it into one file. */
function eximConfig(folder: string): string {
  return `primary_hostname = mail.test
spool_directory = ${folder}/spool
log_file_path = ${folder}/mail/%slog
tls_advertise_hosts =
rfc1413_query_timeout = 0s
message_size_limit = 50M
acl_smtp_rcpt = all
acl_smtp_data = all
begin acl
all:
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = ${folder}/mail/box
  user = Debian-exim
`;
}
