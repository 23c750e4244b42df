// Both ports over TLS: what is encrypted, who is known by a certificate, and that new files are taken while calls go on.
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { connect as connectTls } from "node:tls";
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import { connectIdentity } from "../../../src/api/client.js";
import { createGrpcServer } from "../../../src/api/grpc-server.js";
import { createHttpServer } from "../../../src/api/http-server.js";
import { requireSafeAddress } from "../../../src/api/loopback.js";
import { createRouterService } from "../../../src/api/router-service.js";
import { TlsFiles, type TlsSettings } from "../../../src/api/tls-files.js";
import type { CertificateRules } from "../../../src/auth/certificate-rules.js";
import { callMetadata, channelCredentials, NO_CREDENTIALS, type CredentialSources } from "../../../src/wire/router-credentials.js";
import { Certificates, hasOpenssl, testWithOpenssl, type Certificate } from "./certificates.js";
import { FakeRouter } from "./fake-router.js";
import { callGrpc, serveGuarded, type Guarded } from "./guarded.js";
import { afterThisTest, ErrorLog } from "./serving.js";
import { eventually } from "../eventually.js";

const { list } = RouterService.method;
const certificates = new Certificates();
let ca: Certificate;
let server: Certificate;
let clients: Certificate;
let batch: Certificate;
let stranger: Certificate;
let forged: Certificate;
beforeAll(() => {
  if (!hasOpenssl) return;
  ca = certificates.authority("ca");
  clients = certificates.authority("clients");
  server = certificates.issue("server", ca, { alternatives: "IP:127.0.0.1,DNS:localhost" });
  batch = certificates.issue("batch", clients, { alternatives: "DNS:batch.example" });
  stranger = certificates.issue("stranger", clients);
  // The right name by an authority that nobody trusts.
  forged = certificates.issue("forged", certificates.authority("rogue"), { commonName: "batch", alternatives: "DNS:batch.example" });
});
afterAll(() => certificates.remove());

const RULES: CertificateRules = { "DNS:batch.example": { user: "batch", roles: ["user"], team: "night", nodeIds: [] } };

class TlsLog extends ErrorLog {
  readonly told: string[] = [];
  readonly info = (...entry: unknown[]): void => void this.told.push(String(entry[1]));
}

async function serveTls(more: Partial<TlsSettings> = {}, rules: CertificateRules = {}): Promise<Guarded & { readonly tls: TlsFiles; readonly tlsLog: TlsLog }> {
  const tlsLog = new TlsLog();
  const tls = new TlsFiles({ cert: server.cert, key: server.key, clientCa: "", requireClientCert: false, ...more }, tlsLog, 20);
  afterThisTest(() => tls.stop());
  return { ...(await serveGuarded({ authenticator: { certificates: rules }, grpc: { tls }, http: { tls } })), tls, tlsLog };
}

const trusting = (more: Partial<CredentialSources> = {}): CredentialSources => ({ ...NO_CREDENTIALS, ca: ca.cert, ...more });
const grpcCall = (served: Guarded, key: string, sources = trusting()) => callGrpc(served.grpc, list, {}, key === "" ? {} : { authorization: `Bearer ${key}` }, channelCredentials(sources));

/** List by Connect over HTTPS; the status, or the code of the error. */
function httpsCall(address: string, key: string, own?: Certificate): Promise<number | string> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const request = httpsRequest(
      {
        host,
        port,
        path: "/gpurouter.v1.RouterService/List",
        method: "POST",
        agent: false,
        ca: readFileSync(ca.cert),
        headers: { "content-type": "application/json", ...(key !== "" && { authorization: `Bearer ${key}` }) },
        ...(own && { cert: readFileSync(own.cert), key: readFileSync(own.key) }),
      },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    request.end("{}");
  });
}

/** The serial number of what a port shows now. */
async function serialAt(address: string): Promise<string> {
  const [host = "", port] = address.split(":");
  const socket = connectTls({ host, port: Number(port), ca: readFileSync(ca.cert), ALPNProtocols: ["h2", "http/1.1"] });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

describe("encryption", () => {
  testWithOpenssl("both ports serve those who trust the authority, and nobody in plain text", async () => {
    const served = await serveTls();
    expect((await grpcCall(served, served.keys.user)).code).toBe(status.OK);
    expect(await httpsCall(served.http, served.keys.user)).toBe(200);
    expect((await grpcCall(served, "")).code).toBe(status.UNAUTHENTICATED);
    expect(await httpsCall(served.http, "")).toBe(401);
    expect((await callGrpc(served.grpc, list, {}, {})).code).toBe(status.UNAVAILABLE);
    await expect(fetch(`http://${served.http}/health`)).rejects.toThrow();
    expect((await grpcCall(served, served.keys.user, trusting({ ca: clients.cert }))).code).toBe(status.UNAVAILABLE);
  });

  testWithOpenssl("old versions of TLS are refused", async () => {
    const served = await serveTls();
    for (const address of [served.grpc, served.http]) {
      const [host = "", port] = address.split(":");
      const socket = connectTls({ host, port: Number(port), ca: readFileSync(ca.cert), minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" });
      const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
      expect(error.code).toMatch(/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|ECONNRESET/);
    }
  });

  testWithOpenssl("the command line's client speaks it, with a key from its options", async () => {
    const served = await serveTls();
    const client = connectIdentity(served.grpc, trusting({ key: served.keys.reader }));
    afterThisTest(() => client.close());
    expect(await client.whoAmI({})).toMatchObject({ userId: "reader", via: "key" });
  });
});

describe("client certificates", () => {
  testWithOpenssl("say who calls on both ports, without a header", async () => {
    const served = await serveTls({ clientCa: clients.cert }, RULES);
    const client = connectIdentity(served.grpc, trusting({ cert: batch.cert, certKey: batch.key }));
    afterThisTest(() => client.close());
    for (let call = 0; call < 2; call += 1) expect(await client.whoAmI({})).toMatchObject({ userId: "batch", team: "night", via: "certificate", credential: "certificate DNS:batch.example" });
    expect(await httpsCall(served.http, "", batch)).toBe(200);
  });

  testWithOpenssl("of names that the table lacks, by other authorities, or none at all let nobody in; a key still does", async () => {
    const served = await serveTls({ clientCa: clients.cert }, RULES);
    for (const own of [stranger, forged]) {
      expect((await grpcCall(served, "", trusting({ cert: own.cert, certKey: own.key }))).code).toBe(status.UNAUTHENTICATED);
      expect(await httpsCall(served.http, "", own)).toBe(401);
    }
    expect((await grpcCall(served, "")).code).toBe(status.UNAUTHENTICATED);
    expect(await httpsCall(served.http, "")).toBe(401);
    expect((await grpcCall(served, served.keys.user)).code).toBe(status.OK);
    expect(await httpsCall(served.http, served.keys.user)).toBe(200);
  });

  testWithOpenssl("a wrong key is not forgiven for a right certificate", async () => {
    const served = await serveTls({ clientCa: clients.cert }, RULES);
    expect((await grpcCall(served, "gr_wrong", trusting({ cert: batch.cert, certKey: batch.key }))).code).toBe(status.UNAUTHENTICATED);
    expect(await httpsCall(served.http, "gr_wrong", batch)).toBe(401);
  });

  testWithOpenssl("where they are required, a connection without a genuine one does not come about", async () => {
    const served = await serveTls({ clientCa: clients.cert, requireClientCert: true }, RULES);
    expect((await grpcCall(served, served.keys.user)).code).toBe(status.UNAVAILABLE);
    expect(typeof (await httpsCall(served.http, served.keys.user))).toBe("string");
    expect((await grpcCall(served, served.keys.user, trusting({ cert: forged.cert, certKey: forged.key }))).code).toBe(status.UNAVAILABLE);
    expect((await grpcCall(served, "", trusting({ cert: batch.cert, certKey: batch.key }))).code).toBe(status.OK);
  });
});

describe("new files", () => {
  testWithOpenssl("are shown to new connections on both ports, while old ones go on", async () => {
    const files = certificates.issue("rolling", ca, { alternatives: "IP:127.0.0.1" });
    const next = certificates.issue("next", ca, { alternatives: "IP:127.0.0.1" });
    const served = await serveTls(files);
    const client = connectIdentity(served.grpc, trusting({ key: served.keys.user }));
    afterThisTest(() => client.close());
    await client.whoAmI({});
    const before = await serialAt(served.grpc);
    expect(await serialAt(served.http)).toBe(before);

    certificates.exchange(files, next);
    const { serialNumber } = new X509Certificate(readFileSync(next.cert));
    expect(serialNumber).not.toBe(before);
    await eventually(async () => (await serialAt(served.grpc)) === serialNumber && (await serialAt(served.http)) === serialNumber);
    expect(await client.whoAmI({})).toMatchObject({ userId: "user" });
    expect(served.tlsLog.told).toContain("new certificate in use");
  });

  testWithOpenssl("of authorities decide about client certificates on both ports from then on", async () => {
    const next = certificates.authority("next-clients");
    const rolled = certificates.issue("rolled", next, { commonName: "batch", alternatives: "DNS:batch.example" });
    const trusted = certificates.file("trusted-clients.crt");
    writeFileSync(trusted, readFileSync(clients.cert));
    const served = await serveTls({ clientCa: trusted }, RULES);
    const letIn = async (own: Certificate) => [(await grpcCall(served, "", trusting({ cert: own.cert, certKey: own.key }))).code, await httpsCall(served.http, "", own)];
    expect([await letIn(batch), await letIn(rolled)]).toEqual([[status.OK, 200], [status.UNAUTHENTICATED, 401]]);
    writeFileSync(trusted, readFileSync(next.cert));
    await eventually(() => served.tlsLog.told.length > 0);
    expect([await letIn(batch), await letIn(rolled)]).toEqual([[status.UNAUTHENTICATED, 401], [status.OK, 200]]);
  });

  testWithOpenssl("that do not fit together are left, with one complaint, until they do", async () => {
    const files = certificates.issue("half", ca, { alternatives: "IP:127.0.0.1" });
    const next = certificates.issue("half-next", ca, { alternatives: "IP:127.0.0.1" });
    const served = await serveTls(files);
    const before = await serialAt(served.grpc);
    writeFileSync(files.cert, readFileSync(next.cert));
    await eventually(() => served.tlsLog.entries.length > 0);
    expect(await serialAt(served.grpc)).toBe(before);
    writeFileSync(files.key, readFileSync(next.key));
    await eventually(async () => (await serialAt(served.grpc)) !== before);
    // It looked many times meanwhile.
    expect(served.tlsLog.entries).toHaveLength(1);
  });

  testWithOpenssl("at the start must be there and fit together, or it says which is wrong", () => {
    const settings = { cert: server.cert, key: server.key, clientCa: "", requireClientCert: false };
    const log = new TlsLog();
    expect(() => new TlsFiles({ ...settings, key: "/nowhere/router.key" }, log)).toThrow(/^tls\.key: .*\/nowhere\/router\.key/);
    expect(() => new TlsFiles({ ...settings, key: batch.key }, log)).toThrow(/cannot be used together/);
    expect(() => new TlsFiles({ ...settings, clientCa: "/nowhere/ca.crt" }, log)).toThrow(/^tls\.client_ca: /);
  });
});

describe("where a router may listen", () => {
  test.each([
    [false, false, false],
    [false, true, false],
    [true, false, false],
    [true, true, true],
  ])("elsewhere than on loopback with authentication %p and encryption %p: %p", (authenticated, encrypted, may) => {
    for (const host of ["0.0.0.0", "::", "gpu-router.example", "10.0.0.1"]) {
      const listen = (): void => requireSafeAddress(host, { authenticated, encrypted });
      if (may) expect(listen).not.toThrow();
      else expect(listen).toThrow(authenticated ? /plain text.*tls\.cert/ : /authentication is not configured/);
    }
    for (const host of ["127.0.0.1", "localhost", "::1"]) expect(() => requireSafeAddress(host, { authenticated, encrypted })).not.toThrow();
    expect(() => requireSafeAddress("", { authenticated, encrypted })).toThrow();
  });

  test("behind a proxy that speaks TLS it may, with authentication", async () => {
    const { guard } = await serveGuarded();
    const router = new FakeRouter();
    const options = { host: "0.0.0.0", port: 0, router: createRouterService(router), guard, log: new ErrorLog() };
    expect(() => createGrpcServer(options)).toThrow(/plain text/);
    expect(() => createHttpServer({ ...options, results: router })).toThrow(/plain text/);
    expect(() => createGrpcServer({ ...options, encryptedByProxy: true })).not.toThrow();
    expect(() => createHttpServer({ ...options, results: router, encryptedByProxy: true })).not.toThrow();
  });
});

describe("a key", () => {
  const sources = (more: Partial<CredentialSources>): CredentialSources => ({ ...NO_CREDENTIALS, key: "gr_x", ...more });

  test.each(["127.0.0.1:50051", "localhost:1", "[::1]:50051", "unix:/run/router.sock"])("goes to %s in plain text: that is this machine", (address) => {
    expect(callMetadata(sources({}), address).get("authorization")).toEqual(["Bearer gr_x"]);
  });

  test.each(["10.0.0.1:50051", "gpu-router.example:50051", "127.0.0.1.example:50051", "localhost.example:1", "[::2]:1"])("does not go to %s in plain text", (address) => {
    expect(() => callMetadata(sources({}), address)).toThrow(/in plain text/);
    expect(callMetadata(sources({ ca: "system" }), address).get("authorization")).toEqual(["Bearer gr_x"]);
    expect(callMetadata(NO_CREDENTIALS, address).get("authorization")).toEqual([]);
  });

  test("that could not be a header is refused in words that do not hold it", () => {
    for (const key of ["gr_a\nb", "gr_ü", "gr_a b"]) {
      expect(() => callMetadata(sources({ key }), "localhost:1")).toThrow(expect.objectContaining({ message: expect.not.stringContaining("gr_") }));
    }
  });

  test("may come from a file, whose last line break does not count", () => {
    const file = certificates.file("agent.key");
    writeFileSync(file, "gr_from_file\n");
    expect(callMetadata({ ...NO_CREDENTIALS, keyFile: file }, "localhost:1").get("authorization")).toEqual(["Bearer gr_from_file"]);
    expect(() => callMetadata({ ...NO_CREDENTIALS, keyFile: "/nowhere/key" }, "localhost:1")).toThrow(/cannot read \/nowhere\/key/);
  });
});
