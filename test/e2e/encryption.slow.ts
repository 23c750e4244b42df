// Encryption at rest with real processes: what callers sent and got survives a kill -9, and none of it can be read in the data directory.
import { randomBytes } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { connectedTo, eventually, runCommand, serveProcess, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";

const MARK = "marked-0815";
/** Nobody listens there: what is sent to it stays in the outbox. */
const NOWHERE = `http://127.0.0.1:9/${MARK}`;

/** The files of a data directory in which the mark can be read. */
function readableIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => readFileSync(path.join(folder, name)).includes(MARK)).sort();
}

function keyFile(folder: string, name: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
  return file;
}

const resultOf = async ({ httpUrl }: RouterProcess, id: string): Promise<string> => (await fetch(`${httpUrl}/api/v1/requests/${id}/result`)).text();

/** The lives of three requests, marked all over: one ended with a small result, one with a large one, one that waits. Kills the router, and starts it again. */
async function liveAndDie(start: Parameters<typeof startRouter>[0]): Promise<RouterProcess> {
  const router = await startRouter(start);
  const agent = await startAgent({ nodeId: "node-1", router: router.grpcAddress, gpus: 1, runners: { simulated: false, exec: [{ name: "echo", argv: ["/bin/cat"] }] } });
  const small = JSON.stringify({ prompt: MARK });
  const large = JSON.stringify({ prompt: `${MARK} `.repeat(2_000) });
  const route = (requestId: string, modelId: string, payloadJson: string) =>
    router.client.route({ requestId, userId: `${MARK}-user`, modelId, type: "inference", priority: 3, callbackUrl: NOWHERE, idempotent: true, payload: { case: "payloadBytes", value: Buffer.from(payloadJson) } });
  await route(`${MARK}-small`, "echo", small);
  await route(`${MARK}-large`, "echo", large);
  for (const id of ["small", "large"]) {
    await eventually(`the end of ${id}`, async () => (await router.client.status({ requestId: `${MARK}-${id}` })).request?.state === RequestState.COMPLETED);
  }
  await agent.kill();
  await route(`${MARK}-waits`, "echo", small);
  await router.process.kill();

  const again = await router.restart();
  expect(await resultOf(again, `${MARK}-small`)).toBe(small);
  expect(await resultOf(again, `${MARK}-large`)).toBe(large);
  expect((await again.client.status({ requestId: `${MARK}-waits` })).request).toMatchObject({ userId: `${MARK}-user` });
  // The payload of the one that waits is there too: it runs now.
  const next = await startAgent({ nodeId: "node-1", router: again.grpcAddress, gpus: 1, runners: { simulated: false, exec: [{ name: "echo", argv: ["/bin/cat"] }] } });
  await connectedTo(next, again.epoch);
  await eventually("the end of the one that waits", async () => (await again.client.status({ requestId: `${MARK}-waits` })).request?.state === RequestState.COMPLETED);
  expect(await resultOf(again, `${MARK}-waits`)).toBe(small);
  return again;
}

const CONFIG = { callbacks: { allow: ["127.0.0.1"], ports: [9] } };

test("with a key, payloads, results, users, ids and callbacks outlive a kill -9 and are nowhere to be read; a clean stop, which writes a snapshot, changes nothing about that", async () => {
  const folder = await temporaryFolder();
  const encryption_key_file = keyFile(folder, "data.key");
  const router = await liveAndDie({ data: path.join(folder, "data"), config: { ...CONFIG, journal: { encryption_key_file } } });
  expect(readableIn(router.data)).toEqual([]);
  await router.process.stop();
  expect(readableIn(router.data)).toEqual([]);
  expect(router.process.stdout + router.process.stderr).not.toContain(readFileSync(encryption_key_file, "utf8").trim());

  // Without it, with another, and with one that lies open: what to do, and nothing is touched.
  const serve = async (journal: object): Promise<string> => {
    const failed = await serveProcess({ data: router.data, config: { ...CONFIG, journal } });
    expect(await failed.ended).toBe(1);
    return failed.stderr;
  };
  expect(await serve({})).toMatch(/journal\.mdb is encrypted, with key [0-9a-f]{16}: name the file that holds it in journal\.encryption_key_file/);
  expect(await serve({ encryption_key_file: keyFile(folder, "other.key") })).toMatch(/is encrypted with key [0-9a-f]{16}, and .*other\.key holds key [0-9a-f]{16}: name the right file/);
  chmodSync(encryption_key_file, 0o644);
  expect(await serve({ encryption_key_file })).toMatch(/others may read or write it \(mode 0644\)\. Do: chmod 600 /);
  chmodSync(encryption_key_file, 0o600);
  const again = await router.restart();
  expect((await again.client.status({ requestId: `${MARK}-small` })).request).toMatchObject({ state: RequestState.COMPLETED });
});

test("without a key all of that can be read; a copy under a key takes everything along", async () => {
  const folder = await temporaryFolder();
  const data = path.join(folder, "data");
  const router = await liveAndDie({ data, config: CONFIG });
  expect(readableIn(data)).toEqual(["journal.mdb"]);
  await router.process.stop();
  const encryption_key_file = keyFile(folder, "data.key");
  const refused = await serveProcess({ data, config: { journal: { encryption_key_file } } });
  expect(await refused.ended).toBe(1);
  expect(refused.stderr).toContain("journal.mdb is not encrypted, and journal.encryption_key_file asks for that. Make an encrypted copy of the directory (gpu-router rekey --help)");
  const copy = path.join(folder, "copy");
  expect(await runCommand(["rekey", "--data", data, "--to", copy, "--new-key-file", encryption_key_file])).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/copy is a copy of .*data, encrypted with key [0-9a-f]{16}\.\n$/) });
  expect(readableIn(copy)).toEqual([]);
  // A key for the identity of an encrypted folder, made while its router is stopped, goes by the same configuration.
  const configFile = path.join(folder, "router.yaml");
  writeFileSync(configFile, `journal: { encryption_key_file: ${encryption_key_file} }\n`);
  expect(await runCommand(["keys", "create", "--role", "admin", "--data", copy])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("identity.mdb is encrypted, with key") });
  const { exitCode, stdout } = await runCommand(["keys", "create", "--role", "admin", "--data", copy, "--config", configFile]);
  expect(exitCode).toBe(0);
  const again = await startRouter({ data: copy, config: { ...CONFIG, journal: { encryption_key_file } } });
  const answer = await fetch(`${again.httpUrl}/api/v1/requests/${MARK}-small/result`, { headers: { authorization: `Bearer ${stdout.trim()}` } });
  expect(await answer.text()).toBe(JSON.stringify({ prompt: MARK }));
});
