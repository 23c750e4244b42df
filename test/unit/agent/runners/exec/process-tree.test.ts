// What the tests of the exec runner cannot bring about: a stop within the tick of the start, and a zombie.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, test } from "@jest/globals";
import { groupRuns, signalGroup } from "../../../../../src/agent/runners/exec/process-group.js";
import { ProcessTree } from "../../../../../src/agent/runners/exec/process-tree.js";
import { NO_GUARD } from "../fixtures.js";
import { eventually } from "../../../eventually.js";

const nothing = (): void => {};

describe("ProcessTree", () => {
  test("a stop before the process is there reaches it as soon as it is", async () => {
    const tree = new ProcessTree({
      argv: ["sleep", "60"],
      cwd: tmpdir(),
      env: { PATH: process.env["PATH"] ?? "" },
      stdin: new Uint8Array(),
      killGraceMs: 60_000,
      guard: NO_GUARD,
      endsWithLease: false,
      onSpawn: nothing,
      onStdout: nothing,
      onStderr: nothing,
    });
    tree.stop();
    tree.stop();
    expect(await tree.ended).toEqual({ kind: "signalled", signal: "SIGTERM", stopped: true });
  });
});

describe("groupRuns", () => {
  if (process.platform !== "linux") {
    if (process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") test("needs Linux", () => expect(process.platform).toBe("linux"));
    else {
      console.warn("SKIPPED: zombies can only be told apart on Linux");
      test.skip("a zombie does not run", nothing);
    }
    return;
  }

  test("a zombie does not run, and neither does a group that is gone", async () => {
    // A parent that never returns to its event loop reaps nobody.
    const script = `
      const child = require("node:child_process").spawn("true", { detached: true });
      require("node:fs").writeSync(1, String(child.pid) + "\\n");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    `;
    const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const zombie = Number(await new Promise<string>((resolve) => parent.stdout.once("data", (data: Buffer) => resolve(data.toString()))));
      await eventually(() => / Z /.test(readFileSync(`/proc/${zombie}/stat`, "latin1")), "the zombie");
      expect(signalGroup(zombie, 0)).toBe(true);
      expect(await groupRuns(zombie)).toBe(false);
      parent.kill("SIGKILL");
      await eventually(() => !signalGroup(zombie, 0), "the end of the zombie");
      expect(await groupRuns(zombie)).toBe(false);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("a group runs while any of it does, whoever leads it", async () => {
    const leader = spawn("sh", ["-c", "sleep 60 & exit 0"], { detached: true, stdio: "ignore" });
    await new Promise((resolve) => leader.once("exit", resolve));
    const group = leader.pid ?? 0;
    expect(await groupRuns(group)).toBe(true);
    signalGroup(group, "SIGKILL");
    await eventually(async () => !(await groupRuns(group)), "the end of the group");
  });
});
