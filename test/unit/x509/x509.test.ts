import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { certificatePem, createCertificateAuthority, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { CertificateChainError, dnsNames, verifyChain } from "../../../runtime/x509/chain.ts";
import { generateKeyPair } from "../../../runtime/x509/keys.ts";
import { CertificateBundleError, certificatesFromPem, derToPem } from "../../../runtime/x509/pem.ts";
import {
  createSigningRequest,
  parseSigningRequest,
  SigningRequestError,
} from "../../../runtime/x509/signing-request.ts";

const identity = "web.shop.serviceaccount.identity.weft.cluster.local";
const day = 86_400_000;
const lasting = (days: number) => ({
  notBefore: new Date(Date.now() - 20_000),
  notAfter: new Date(Date.now() + days * day),
});
const anchor = createCertificateAuthority({ commonName: "root.weft.cluster.local", ...lasting(3650) });
const issuer = createCertificateAuthority({
  commonName: "identity.weft.cluster.local",
  issuer: anchor,
  pathLength: 0,
  ...lasting(365),
});
const folder = mkdtempSync(join(tmpdir(), "weft-x509-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("certificates", () => {
  it("a leaf from a signing request satisfies OpenSSL's own verification", () => {
    const keys = generateKeyPair();
    const request = parseSigningRequest(createSigningRequest(identity, keys.privateKey));
    const leaf = issueLeaf(issuer, {
      publicKey: request.publicKey,
      commonName: identity,
      dnsNames: [identity],
      ...lasting(1),
    });
    const output = execFileSync(
      "openssl",
      [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        identity,
        "-CAfile",
        file("ca.crt", certificatePem(anchor.certificate)),
        "-untrusted",
        file("issuer.crt", certificatePem(issuer.certificate)),
        file("leaf.crt", certificatePem(leaf)),
      ],
      { encoding: "utf8" },
    );
    assert.match(output, /leaf\.crt: OK/);
    assert.deepEqual(dnsNames(leaf), [identity]);
  });

  it("a client certificate carries organizations and addresses", () => {
    const leaf = issueLeaf(anchor, {
      publicKey: generateKeyPair().publicKey,
      commonName: "admin",
      organizations: ["system:masters"],
      ipAddresses: ["127.0.0.1", "fd00::1"],
      dnsNames: ["localhost"],
      ...lasting(1),
    });
    assert.match(leaf.subject, /O=system:masters\nCN=admin/);
    assert.equal(leaf.checkIP("127.0.0.1"), "127.0.0.1");
    assert.match(leaf.subjectAltName ?? "", /FD00:0:0:0:0:0:0:1/);
  });

  it("dates from 2050 on are understood", () => {
    const late = createCertificateAuthority({
      commonName: "late",
      notBefore: new Date("2051-01-02T03:04:05Z"),
      notAfter: new Date("2060-01-01T00:00:00Z"),
    });
    assert.equal(late.certificate.validFromDate.toISOString(), "2051-01-02T03:04:05.000Z");
  });
});

describe("chains", () => {
  const leaf = issueLeaf(issuer, { publicKey: generateKeyPair().publicKey, dnsNames: [identity], ...lasting(1) });

  it("lead from the leaf through the issuer to the anchor", () => {
    assert.deepEqual(
      verifyChain(leaf, [issuer.certificate], [anchor.certificate]).map((c) => c.fingerprint256),
      [leaf, issuer.certificate, anchor.certificate].map((c) => c.fingerprint256),
    );
  });

  it("are refused without their issuer, with another anchor of the same name, and out of time", () => {
    assert.throws(() => verifyChain(leaf, [], [anchor.certificate]), CertificateChainError);
    const impostor = createCertificateAuthority({ commonName: "root.weft.cluster.local", ...lasting(3650) });
    assert.throws(() => verifyChain(leaf, [issuer.certificate], [impostor.certificate]), CertificateChainError);
    assert.throws(
      () => verifyChain(leaf, [issuer.certificate], [anchor.certificate], new Date(Date.now() + 2 * day)),
      /expired/,
    );
  });

  it("never pass through a leaf", () => {
    const keys = generateKeyPair();
    const middle = issueLeaf(issuer, {
      publicKey: keys.publicKey,
      commonName: "middle",
      dnsNames: ["middle"],
      ...lasting(1),
    });
    const forged = issueLeaf(
      { certificate: middle, privateKey: keys.privateKey },
      { publicKey: generateKeyPair().publicKey, dnsNames: [identity], ...lasting(1) },
    );
    assert.throws(() => verifyChain(forged, [middle, issuer.certificate], [anchor.certificate]), CertificateChainError);
  });
});

describe("signing requests", () => {
  const keys = generateKeyPair();

  it("agree with OpenSSL in both directions", () => {
    const request = file("request.der", createSigningRequest(identity, keys.privateKey));
    const text = execFileSync("openssl", ["req", "-inform", "DER", "-in", request, "-noout", "-text", "-verify"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    assert.match(text, new RegExp(`DNS:${identity}`));
    const key = file("key.pem", keys.privateKey.export({ type: "pkcs8", format: "pem" }));
    const theirs = execFileSync("openssl", [
      "req",
      "-new",
      "-key",
      key,
      "-subj",
      `/CN=${identity}`,
      "-addext",
      `subjectAltName=DNS:${identity},URI:spiffe://x/y`,
      "-outform",
      "DER",
    ]);
    const parsed = parseSigningRequest(theirs);
    assert.deepEqual(
      { commonName: parsed.commonName, dnsNames: parsed.dnsNames, otherNames: parsed.otherNames },
      { commonName: identity, dnsNames: [identity], otherNames: true },
    );
  });

  it("are refused when any byte of them was changed", () => {
    const good = createSigningRequest(identity, keys.privateKey);
    for (let index = 0; index < good.length; index += 1) {
      const bad = Buffer.from(good);
      bad[index] = (bad[index] ?? 0) ^ 0x01;
      assert.throws(() => parseSigningRequest(bad), SigningRequestError, `byte ${index}`);
    }
  });

  it("are refused for other keys than P-256", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = file("rsa.pem", rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
    const theirs = execFileSync("openssl", ["req", "-new", "-key", key, "-subj", "/CN=x", "-outform", "DER"]);
    assert.throws(() => parseSigningRequest(theirs), /ECDSA/);
    assert.throws(() => parseSigningRequest(Buffer.from("hello")), /DER/);
  });
});

describe("bundles", () => {
  it("keep the order and name what does not parse", () => {
    const pem = certificatePem(anchor.certificate) + certificatePem(issuer.certificate);
    assert.deepEqual(
      certificatesFromPem(pem).map((c) => c.subject),
      [anchor.certificate.subject, issuer.certificate.subject],
    );
    assert.throws(() => certificatesFromPem("nothing"), CertificateBundleError);
    assert.throws(
      () => certificatesFromPem(certificatePem(anchor.certificate) + derToPem("CERTIFICATE", Buffer.from("x"))),
      /certificate 2 of 2/,
    );
    assert.ok(new X509Certificate(certificatesFromPem(pem)[0]?.raw ?? ""));
  });
});
