// The simulator as it is installed: worker threads and all. What they compute does not depend on how many there are.
import { expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { Command } from "commander";
import { registerSimulate } from "../../src/cli/simulate.js";
import { CLI, ROOT } from "../interop/real-fleet.js";
import { testTerminal } from "../unit/cli/test-terminal.js";

function figures(...args: readonly string[]): unknown {
  const printed = execFileSync(process.execPath, [CLI, "simulate", "--json", "--minutes", "0.2", "--seeds", "1..3", "--load", "0.5,1", "--policy", "hybrid,random@1/8", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return JSON.parse(printed, (key, value: unknown) => (key === "wall_ms" ? 0 : value));
}

test("one thread, three threads and none give the same figures", () => {
  const inline = figures("--jobs", "0");
  expect(figures("--jobs", "1")).toEqual(inline);
  expect(figures("--jobs", "3")).toEqual(inline);
}, 120_000);

test("docs/simulator.md names no option that the command does not have", () => {
  const program = new Command();
  registerSimulate(program, { terminal: testTerminal(), exitCode: 0 });
  const known = new Set(program.commands.flatMap(({ options }) => options.map(({ long }) => long)));
  const commands = readFileSync(path.join(ROOT, "docs/simulator.md"), "utf8").split("\n").filter((line) => line.includes("gpu-router simulate"));
  const named = commands.flatMap((line) => line.match(/--[a-z-]+/g) ?? []);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((option) => !known.has(option))).toEqual([]);
});
