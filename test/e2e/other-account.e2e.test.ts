// The work of an exec runner under another account of the operating system, with real processes: it has what it needs and no more, it can be
// cancelled, what goes wrong is told to the caller, and it dies with its agent.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect } from "@jest/globals";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { afterThisTest, agentProcess, eventually, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";
import { testWith } from "./requirement.js";

const asRoot = testWith(process.platform === "linux" && process.geteuid?.() === 0, "only root may start commands under another account");

/** What the command finds out about itself, and tries. */
const SPY = `
exec 2>/dev/null
echo "uid $(id -u) groups $(id -G)"
echo "gpus $CUDA_VISIBLE_DEVICES"
echo "key $(cat "$KEY_FILE" || echo closed)"
echo "environment $(cat /proc/$AGENT_PID/environ | tr -d '\\0' || true)"
echo "files $(ulimit -n)"
echo "payload $(cat)"
`;

function workSubmitter({ client }: RouterProcess) {
  return (requestId: string, modelId: string) =>
    client.route({ requestId, userId: "u", modelId, type: "training", priority: 3, idempotent: false, payload: { case: "payloadBytes", value: Buffer.from("hello") } });
}

asRoot("work under another account has its ids, its GPUs, its payload and its limits; can be cancelled; and is told apart when it comes up against a limit", async () => {
  const folder = await temporaryFolder();
  const keyFile = path.join(folder, "agent.key");
  writeFileSync(keyFile, "gr_secret", { mode: 0o600 });
  chmodSync(folder, 0o755);
  // Open, as /tmp is: where private directories lie.
  const parent = mkdtempSync(path.join(tmpdir(), "gpu-router-account-"));
  chmodSync(parent, 0o1777);
  afterThisTest(() => rmSync(parent, { recursive: true, force: true }));
  const router = await startRouter();
  const env = { KEY_FILE: keyFile };
  const agent = await startAgent({
    nodeId: "node-1",
    router: router.grpcAddress,
    env: { TMPDIR: parent, AGENT_SECRET: "nobody may know" },
    runners: {
      simulated: false,
      exec_defaults: { run_as: "nobody", limits: { open_files: 77 } },
      exec: [
        { name: "spy", argv: ["/bin/sh", "-c", `AGENT_PID=$(awk '/^PPid/{print $2}' /proc/$$/status)\n${SPY}`], env },
        { name: "as-agent", run_as: null, argv: ["/bin/sh", "-c", `AGENT_PID=$(awk '/^PPid/{print $2}' /proc/$$/status)\n${SPY}`], env },
        { name: "sleeps", argv: ["/bin/sh", "-c", "sleep 300 & echo $$; wait"] },
        { name: "writes", argv: ["/bin/sh", "-c", "head -c 3000000 /dev/zero > large"], limits: { file_size_mib: 1 } },
      ],
    },
  });
  const route = workSubmitter(router);
  const stateOf = async (requestId: string) => (await router.client.status({ requestId })).request;
  const resultOf = async (id: string) => (await fetch(`${router.httpUrl}/api/v1/requests/${id}/result`)).text();
  const ended = (id: string) => eventually(`the end of ${id}`, async () => ([RequestState.COMPLETED, RequestState.FAILED, RequestState.CANCELLED].includes((await stateOf(id))?.state ?? 0) ? stateOf(id) : null));

  await route("spied", "spy");
  expect(await ended("spied")).toMatchObject({ state: RequestState.COMPLETED });
  const lines = await resultOf("spied");
  expect(lines).toMatch(/^uid 65534 groups \d+\ngpus sim-node-1-\d\nkey closed\nenvironment \nfiles 77\npayload hello\n$/);
  // As the agent itself it finds all of it: the test can fail.
  await route("as-agent", "as-agent");
  await ended("as-agent");
  expect(await resultOf("as-agent")).toMatch(/^uid 0 [^]*key gr_secret\nenvironment [^]*AGENT_SECRET=nobody may know[^]*files 77\n/);

  await route("too-much", "writes");
  expect((await ended("too-much"))?.error?.message).toContain("The command came up against a limit of this node: limits.file_size_mib is 1");

  await route("cancelled", "sleeps");
  const pid = await runningPid(router, "cancelled");
  await router.client.cancel({ requestId: "cancelled", reason: "enough" });
  expect(await ended("cancelled")).toMatchObject({ state: RequestState.CANCELLED });
  await eventually("the end of what was cancelled", () => !alive(pid));

  // Nobody is left to end it but the guard.
  await route("orphan", "sleeps");
  const orphan = await runningPid(router, "orphan");
  expect(readFileSync(`/proc/${orphan}/status`, "utf8")).toMatch(/^Uid:\s+65534/m);
  const family = groupOf(orphan);
  expect(family.length).toBeGreaterThan(1);
  await agent.kill();
  await eventually("the end of all that the agent has left", () => family.every((member) => !alive(member)));
});

asRoot("an agent that cannot do what its configuration says of accounts does not start, and says what to do", async () => {
  const refused = async (exec_defaults: object) => {
    const agent = await agentProcess({ nodeId: "node-1", router: "127.0.0.1:9", runners: { exec_defaults, exec: [{ name: "train", argv: ["/bin/true"] }] } });
    expect(await agent.ended).not.toBe(0);
    return agent.stderr;
  };
  expect(await refused({ run_as: "nobody-at-all" })).toContain('runners.exec "train" cannot be run as configured: there is no user nobody-at-all on this machine.');
  expect(await refused({ run_as: { user: 0 } })).toContain("run_as is there to take root away: name another user");
  expect(await refused({ limits: { address_space_mib: 1 } })).toContain("Look at its run_as and limits");
});

/** The process id that a command prints first. */
async function runningPid({ client }: RouterProcess, requestId: string): Promise<number> {
  for await (const { event } of client.watch({ requestId }, { deadlineMs: 20_000 })) if (event.case === "output") return Number(Buffer.from(event.value.data).toString().trim());
  throw new Error("It printed nothing.");
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function groupOf(group: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/stat`, "latin1");
        return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[2]) === group;
      } catch {
        return false;
      }
    });
}
