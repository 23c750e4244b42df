// What it costs to know who calls: Route with a key against Route of nobody in particular, two routers side by side, in turn; and the
// check of a known key alone.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { AuditLog } from "../../dist/src/auth/audit-log.js";
import { Authenticator } from "../../dist/src/auth/authenticator.js";
import { IdentityBook } from "../../dist/src/auth/identity-book.js";
import { h2load } from "./load.mjs";
import { GPUS, METHOD, routeBody, withRouter } from "./route.mjs";

const run = promisify(execFile);

async function makeKeys(data) {
  const create = async (...args) => (await run(process.execPath, ["dist/src/cli/main.js", "keys", "create", "--data", data, ...args])).stdout.trim();
  await create("--role", "admin");
  return { agent: await create("--role", "agent", "--node", "*", "--user", "bench"), user: await create("--role", "user", "--user", "bench") };
}

/** CPU time that a process has used, ms. Of Linux; 0 elsewhere. Unlike a rate it hardly moves with what else the machine does. */
function cpuMs(pid) {
  if (process.platform !== "linux") return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/**
 * Calls per second of both, and what knowing leaves of one: `ratio` is with a key over without, which is measured before and after.
 * `cpuRatio` is the CPU time of a call without over that of one with.
 */
export async function benchAuth({ requests, rounds, agents, onRound = () => {} }) {
  const body = routeBody();
  const scenario = { agents, mode: "hold", slots: 1 };
  const samples = [];
  await withRouter(scenario, (open) =>
    withRouter({ ...scenario, keys: makeKeys }, async (guarded) => {
      const call = async ({ port, headers, pid }, count = requests) => {
        const before = cpuMs(pid);
        const rate = await h2load({ port, method: METHOD, body, requests: count, headers });
        return { rate, cpu: cpuMs(pid) - before };
      };
      // Every slot is taken, and both are warm, before anything is measured.
      for (const router of [open, guarded]) await call(router, Math.max(GPUS + 128, requests));
      for (let round = 0; round < rounds; round += 1) {
        const before = await call(open);
        const withKey = await call(guarded);
        const after = await call(open);
        const without = (before.rate + after.rate) / 2;
        const sample = { withKey: withKey.rate, without, ratio: withKey.rate / without, cpuRatio: (before.cpu + after.cpu) / 2 / withKey.cpu };
        samples.push(sample);
        onRound({ round, ...sample });
      }
    }),
  );
  return samples;
}

/** Microseconds to find out who calls by a key that was seen before, one of `keys` that call in turn. */
export async function benchKnownKey({ keys, calls = 200_000, rounds = 9 }) {
  const store = { load: () => ({ keys: [], users: [], on: false }), write: async () => {}, lastAudit: () => 0, audit: () => [], purgeAudit: async () => 0, close: async () => {} };
  const failed = (error) => { throw error; };
  const audit = new AuditLog(store, { keepForMs: 1e9, keepAtMost: 1e6 }, failed);
  const book = new IdentityBook(store, audit, { failed });
  const authenticator = new Authenticator({ book, audit, tokens: null, certificates: {}, required: true });
  const actor = { principal: { name: "bench", roles: ["admin"], credential: "" }, address: "" };
  const headers = [];
  for (let index = 0; index < keys; index += 1) {
    const { text } = await book.createKey({ user: `user-${index}`, roles: ["admin"], nodeIds: [], label: "", expiresAtMs: 0 }, actor);
    headers.push(Buffer.from(`Bearer ${text}`));
  }
  const samples = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    // A string of its own for each call, as a header is.
    for (let call = 0; call < calls; call += 1) {
      const verdict = authenticator.authenticate({ authorization: headers[call % keys].latin1Slice(), doubled: false, address: "127.0.0.1", certificate: () => null });
      if (verdict.kind !== "granted") throw new Error(`refused: ${JSON.stringify(verdict)}`);
    }
    // CPU time, in microseconds: this process does nothing else.
    const { user, system } = process.cpuUsage(before);
    samples.push((user + system) / calls);
  }
  audit.stop();
  await book.stop();
  return samples;
}
