// What it costs to know who calls and to hold him to his quotas: Route with a key, and with a key and one of each kind of limit, against
// Route of nobody in particular, three routers side by side, in turn; and the check of a known key alone.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { AuditLog } from "../../dist/src/auth/audit-log.js";
import { Authenticator } from "../../dist/src/auth/authenticator.js";
import { IdentityBook } from "../../dist/src/auth/identity-book.js";
import { compareRouters } from "./side-by-side.mjs";

const run = promisify(execFile);

async function gpuRouter(args, key = "") {
  return (await run(process.execPath, ["dist/src/cli/main.js", ...args], { env: { ...process.env, GPU_ROUTER_API_KEY: key } })).stdout.trim();
}

async function makeKeys(data) {
  const create = (...args) => gpuRouter(["keys", "create", "--data", data, ...args]);
  return {
    admin: await create("--role", "admin"),
    agent: await create("--role", "agent", "--node", "*", "--user", "bench"),
    user: await create("--role", "user", "--user", "bench"),
  };
}

/** One of each kind, for the user and for the team above it, none of which is ever reached: every one is looked at, and nothing waits for it. */
const LIMITS = {
  concurrent: 10_000_000, priority: 10_000_000, gpus: 1_000_000, model: "llama-2-70b=10000000", "gpu-time": 1_000_000_000,
  "per-minute": 10_000_000, "per-day": 1_000_000_000, queued: 10_000_000, "queued-bytes": 1_000_000_000_000,
};

async function setQuotas(router, { admin }) {
  const limits = Object.entries(LIMITS).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  for (const subject of [["benches", "--team"], ["bench", "--in-team", "benches"]]) await gpuRouter(["quota", "set", ...subject, ...limits, "--router", router], admin);
}

/** What is compared, the yardstick first. */
const VARIANTS = { without: {}, withKey: { keys: makeKeys }, withQuotas: { keys: makeKeys, config: ["user_quota_manager: { mode: enforce }"], prepare: setQuotas } };

/** What knowing who calls, and quotas beside that, leave of Route; as `compareRouters` has it. */
export function benchAuth(options) {
  return compareRouters(VARIANTS, options);
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
