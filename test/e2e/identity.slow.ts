// Real processes that want to know who calls: a whole life with keys, passwords, tokens and certificates, and no secret in any log.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { connectIdentity, connectRouter } from "../../src/api/client.js";
import { NO_CREDENTIALS, type CredentialSources } from "../../src/wire/router-credentials.js";
import { Certificates, testWithOpenssl } from "../unit/api/certificates.js";
import { afterThisTest, agentProcess, connectedTo, eventually, runCommand, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";

const certificates = new Certificates();
afterAll(() => certificates.remove());

const withKey = (key: string): CredentialSources => ({ ...NO_CREDENTIALS, key });

async function offlineKey(data: string, ...options: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(["keys", "create", "--data", data, ...options]);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
}

function clientOf({ grpcAddress }: Pick<RouterProcess, "grpcAddress">, sources: CredentialSources) {
  const client = connectRouter(grpcAddress, sources);
  afterThisTest(() => client.close());
  return client;
}

const codeOf = (call: Promise<unknown>): Promise<number> => call.then(() => status.OK, (error: { code: number }) => error.code);

test("a whole life with every way to say who one is leaves no secret in any log, and the right people in the audit log", async () => {
  const folder = await temporaryFolder();
  const data = path.join(folder, "data");
  const PASSWORD = "hunter2 and then some";
  const PAYLOAD = "what-alice-asked-0815";
  const issuer = await generateKeyPair("ES256", { extractable: true });
  const jwks = path.join(folder, "jwks.json");
  writeFileSync(jwks, JSON.stringify({ keys: [{ ...(await exportJWK(issuer.publicKey)), kid: "k", alg: "ES256" }] }));
  const admin = await offlineKey(data, "--role", "admin");
  const agentKey = await offlineKey(data, "--role", "agent", "--node", "node-1");
  const alice = await offlineKey(data, "--role", "user", "--user", "alice");
  const token = await new SignJWT({ sub: "tess" }).setProtectedHeader({ alg: "ES256", kid: "k" }).setIssuer("https://issuer.example").setAudience("gpus").setExpirationTime("1h").sign(issuer.privateKey);

  const router = await startRouter({ data, config: { log_level: "trace", auth: { jwt: { issuer: "https://issuer.example", audience: "gpus", jwks } } } });
  const agent = await startAgent({ nodeId: "node-1", router: router.grpcAddress, speed: 50, env: { GPU_ROUTER_API_KEY: agentKey } });

  // With a key, by the command line.
  const routed = await runCommand(["route", "--router", router.grpcAddress, "--model", "m", "--id", "job-1", "--payload", JSON.stringify({ prompt: PAYLOAD }), "--wait"], { GPU_ROUTER_API_KEY: alice });
  expect(routed).toMatchObject({ exitCode: 0 });
  expect((await clientOf(router, withKey(alice)).status({ requestId: "job-1" })).request).toMatchObject({ userId: "alice", state: RequestState.COMPLETED });
  // With a password, over HTTP.
  writeFileSync(path.join(folder, "password"), PASSWORD);
  const put = await runCommand(["users", "put", "bob", "--role", "user", "--router", router.grpcAddress, "--password-file", path.join(folder, "password")], { GPU_ROUTER_API_KEY: admin });
  expect(put).toMatchObject({ exitCode: 0 });
  const post = (authorization: string) => fetch(`${router.httpUrl}/gpurouter.v1.IdentityService/WhoAmI`, { method: "POST", headers: { "content-type": "application/json", authorization }, body: "{}" });
  expect(await (await post(`Basic ${Buffer.from(`bob:${PASSWORD}`).toString("base64")}`)).json()).toMatchObject({ userId: "bob", via: "password" });
  // With a token.
  expect(await (await post(`Bearer ${token}`)).json()).toMatchObject({ userId: "tess", via: "token", roles: ["ROLE_USER"] });
  // Wrongly, in every way.
  const wrongs = [`Bearer ${admin.slice(0, -1)}`, `Bearer ${admin.slice(0, 16)}${alice.slice(16)}`, `Basic ${Buffer.from(`bob:${PASSWORD}!`).toString("base64")}`, `Bearer ${token.slice(0, -4)}AAAA`, `Token ${alice}`];
  for (const wrong of wrongs) expect((await post(wrong)).status).toBe(401);
  // Another's request, another's node.
  const bob = await offlineKeyOf(router, admin, "bob");
  expect(await codeOf(clientOf(router, withKey(bob)).status({ requestId: "job-1" }))).toBe(status.NOT_FOUND);
  expect((await fetch(`${router.httpUrl}/api/v1/requests/job-1/result`, { headers: { authorization: `Bearer ${bob}` } })).status).toBe(404);
  const impostor = await agentProcess({ nodeId: "node-2", router: router.grpcAddress, env: { GPU_ROUTER_API_KEY: agentKey } });
  await impostor.line("that it is refused", (line) => /not for node node-2/.test(String(line["trouble"])));
  await impostor.kill();

  const audit = await runCommand(["audit", "--json", "--router", router.grpcAddress, "--limit", "1000"], { GPU_ROUTER_API_KEY: admin });
  const { entries } = JSON.parse(audit.stdout) as { entries: { act: string; user_id: string; outcome: string }[] };
  const acts = entries.map(({ act, user_id: who, outcome }) => `${act} ${who} ${outcome}`);
  expect(acts).toEqual(expect.arrayContaining(["key_new_address alice noted", "user_created admin done", "sign_in  refused", "key_created admin done"]));
  expect(acts.filter((act) => act === "sign_in  refused").length).toBeGreaterThanOrEqual(wrongs.length);

  await agent.stop();
  await router.process.stop();
  const logs = [router.process, agent, impostor].map(({ stdout, stderr }) => stdout + stderr).join("\n");
  expect(logs).toContain("agent connected");
  const secrets = [admin, agentKey, alice, bob].map((key) => key.slice(16));
  for (const secret of [...secrets, PASSWORD, "hunter2", Buffer.from(`bob:${PASSWORD}`).toString("base64"), token, token.split(".")[2] ?? token, PAYLOAD]) expect(logs).not.toContain(secret);
  // Nor in what it keeps of users and keys, nor in what the audit showed.
  const stored = readFileSync(path.join(data, "identity.mdb"), "latin1");
  for (const secret of [...secrets, PASSWORD, token, PAYLOAD]) expect([stored.includes(secret), audit.stdout.includes(secret)]).toEqual([false, false]);
});

async function offlineKeyOf(router: RouterProcess, admin: string, user: string): Promise<string> {
  const identity = connectIdentity(router.grpcAddress, withKey(admin));
  afterThisTest(() => identity.close());
  return (await identity.createKey({ roles: [1], userId: user })).text;
}

test("an agent whose key is revoked is cut off at once, and comes back with a new key in its file without a restart", async () => {
  const folder = await temporaryFolder();
  const data = path.join(folder, "data");
  const admin = await offlineKey(data, "--role", "admin");
  const first = await offlineKey(data, "--role", "agent", "--node", "node-1");
  const second = await offlineKey(data, "--role", "agent", "--node", "node-1");
  const keyFile = path.join(folder, "agent.key");
  writeFileSync(keyFile, `${first}\n`);
  const router = await startRouter({ data });
  const agent = await startAgent({ nodeId: "node-1", router: router.grpcAddress, config: { router: { key_file: keyFile } } });
  const identity = connectIdentity(router.grpcAddress, withKey(admin));
  afterThisTest(() => identity.close());
  await identity.revokeKey({ keyId: first.slice(0, 15) });
  await agent.line("that its key was taken away", (line) => /revoked/.test(String(line["trouble"])));
  const nodes = async (): Promise<unknown> => ((await (await fetch(`${router.httpUrl}/health`)).json()) as { connected_nodes: number }).connected_nodes;
  await eventually("the node is gone", async () => (await nodes()) === 0);
  writeFileSync(keyFile, `${second}\n`);
  await eventually("the node is back", async () => (await nodes()) === 1);
});

test("the first key of a router that runs turns identity on at once: who watched as nobody is cut off, and the next start remembers", async () => {
  const router = await startRouter();
  const before = connectRouter(router.grpcAddress);
  afterThisTest(() => before.close());
  const watch = before.watchGpus({})[Symbol.asyncIterator]();
  await watch.next();
  const made = await runCommand(["keys", "create", "--role", "admin", "--router", router.grpcAddress]);
  expect(made).toMatchObject({ exitCode: 0 });
  await expect(
    (async () => {
      for (;;) if ((await watch.next()).done) return;
    })(),
  ).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  expect(await codeOf(before.list({}))).toBe(status.UNAUTHENTICATED);
  expect(await codeOf(clientOf(router, withKey(made.stdout.trim())).list({}))).toBe(status.OK);
  await router.process.kill();
  const again = await router.restart();
  expect(await codeOf(before.list({}))).toBe(status.UNAUTHENTICATED);
  expect(await codeOf(clientOf(again, withKey(made.stdout.trim())).list({}))).toBe(status.OK);
});

describe("over TLS", () => {
  testWithOpenssl("router, agent with a certificate and command line speak it end to end, on an address that others reach", async () => {
    const ca = certificates.authority("ca");
    const server = certificates.issue("server", ca, { alternatives: "IP:127.0.0.1" });
    const node = certificates.issue("node", ca, { alternatives: "DNS:node-1.gpu.example" });
    const data = path.join(await temporaryFolder(), "data");
    const admin = await offlineKey(data, "--role", "admin");
    const config = {
      api: { host: "0.0.0.0" },
      auth: { client_certificates: { "DNS:*.gpu.example": { roles: ["agent"], nodes: ["node-1"] } } },
      tls: { cert: server.cert, key: server.key, client_ca: ca.cert },
    };
    const router = await startRouter({ data, config });
    const address = router.grpcAddress.replace("0.0.0.0", "127.0.0.1");
    const agent = await agentProcess({ nodeId: "node-1", router: address, speed: 50, config: { router: { ca_file: ca.cert, cert_file: node.cert, cert_key_file: node.key } } });
    await connectedTo(agent, 1);
    const routed = await runCommand(["route", "--router", address, "--ca", ca.cert, "--model", "m", "--wait"], { GPU_ROUTER_API_KEY: admin });
    expect(routed).toMatchObject({ exitCode: 0 });
    const plain = await runCommand(["gpus", "--router", address], { GPU_ROUTER_API_KEY: admin });
    expect(plain.exitCode).toBe(1);
    const stranger = await runCommand(["gpus", "--router", address, "--ca", node.cert], { GPU_ROUTER_API_KEY: admin });
    expect(stranger).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("do not agree on TLS") });
  });

  test("without it or without identity a router refuses such an address, and says what to do", async () => {
    const data = path.join(await temporaryFolder(), "data");
    const refused = async () => (await runCommand(["serve", "--data", data, "--grpc-port", "0", "--http-port", "0"], { API_HOST: "0.0.0.0" })).stderr;
    expect(await refused()).toMatch(/authentication is not configured.*keys create --role admin --data DIR/s);
    await offlineKey(data, "--role", "admin");
    expect(await refused()).toMatch(/plain text.*tls\.cert.*tls\.terminated_by_proxy/s);
  });
});
