import { afterAll, describe, expect, test } from "@jest/globals";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { missingProgram } from "../../../../../src/agent/runners/exec/missing-program.js";
import { createRunners } from "../../../../../src/agent/runners/index.js";

const folder = mkdtempSync(path.join(tmpdir(), "gpu-router-programs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(path.join(folder, "train"), "#!/bin/sh\n", { mode: 0o755 });
writeFileSync(path.join(folder, "notes"), "", { mode: 0o644 });
mkdirSync(path.join(folder, "sub"));

describe("the program of a command", () => {
  test.each([
    ["by its path", path.join(folder, "train")],
    ["by its name", "train"],
    ["relative to where it will run", "./anything"],
  ])("that is there, %s, is no trouble", (_how, program) => {
    expect(missingProgram(program, `/nowhere:${folder}`)).toBe("");
  });

  test.each([
    ["that is not there", "trian"],
    ["that may not be executed", "notes"],
    ["that is a folder", "sub"],
    ["whose path leads nowhere", path.join(folder, "gone")],
  ])("%s is told with where it was looked for", (_what, program) => {
    const trouble = missingProgram(program, folder);
    expect(trouble).toContain(`there is no program ${program}`);
    expect(trouble).toContain(program.includes("/") ? "requests for this command fail" : `PATH is ${folder}`);
  });

  test("is looked for when the agent starts, in the PATH that the command will have", async () => {
    const command = { types: [], cwd: "", gpuIds: [], killGraceMs: 0, maxOutputBytes: 1024, runAs: null, limits: null };
    const exec = [
      { ...command, name: "good", argv: ["train"] as [string], env: { PATH: folder } },
      { ...command, name: "bad", argv: ["train"] as [string], env: {} },
    ];
    const troubles: string[] = [];
    const made = createRunners({ probe: { simulated: { kind: "T4", speed: 1 } }, runners: { openai: [], exec, simulated: null } }, undefined, { env: { PATH: "/nowhere" }, onTrouble: (name, trouble) => troubles.push(`${name}: ${trouble}`) });
    await Promise.all(made.map((runner) => runner.close()));
    expect(troubles).toEqual(["bad: there is no program train (PATH is /nowhere) that this agent may run; requests for this command fail until there is"]);
  });
});
