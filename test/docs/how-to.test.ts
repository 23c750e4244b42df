// The how-to of docs/architecture.md, followed literally in a copy of the sources: its files are written, its change is made,
// then the types are checked and its test is run.
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Scheduler } from "../../src/core/scheduling/scheduler.js";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { ROOT } from "../interop/real-fleet.js";
import { blocksOf, type Block } from "./markdown.js";

const blocks = blocksOf(path.join(ROOT, "docs/architecture.md"));
let copy = "";

beforeAll(() => {
  copy = mkdtempSync(path.join(tmpdir(), "gpu-router-how-to-"));
  for (const part of ["src/core", "src/lib", "test/unit/core", "package.json", "jest.config.mjs", "tsconfig.json"]) cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
  symlinkSync(path.join(ROOT, "node_modules"), path.join(copy, "node_modules"));
  for (const block of blocks) {
    const file = path.join(copy, block.options.get("file") ?? "");
    if (block.language === "ts") {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, `${block.text}\n`);
    } else if (block.language === "diff") writeFileSync(file, changed(readFileSync(file, "utf8"), block));
  }
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** Lines with " " are found, with "-" are found and dropped, with "+" are added where the one before them is. */
function changed(text: string, { text: change, line }: Block): string {
  const lines = text.split("\n");
  let at = -1;
  for (const [index, entry] of change.split("\n").entries()) {
    const [sign, wanted] = [entry[0], entry.slice(1)];
    if (sign === "+") {
      at += 1;
      lines.splice(at, 0, wanted);
      continue;
    }
    at = lines.indexOf(wanted);
    if (at < 0) throw new Error(`docs/architecture.md:${line + 1 + index}: the file has no line "${wanted}"`);
    if (sign === "-") lines.splice(at--, 1);
  }
  return lines.join("\n");
}

function node(...args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8", timeout: 110_000 });
}

test("its tables list every strategy, and no other", () => {
  const [, ...tables] = readFileSync(path.join(ROOT, "docs/architecture.md"), "utf8").split("| strategy | which GPU |");
  const listed = tables.flatMap((table) => [...(table.split("\n\n")[0] ?? "").matchAll(/^\| `(\w+)`/gm)]);
  expect(listed.map(([, name]) => name).toSorted()).toEqual([...new Scheduler(DEFAULT_CORE_SETTINGS, 0).strategyNames].toSorted());
});

test("the how-to writes a file and a test and changes the registry", () => {
  expect(blocks.filter(({ options }) => options.has("file")).map(({ language }) => language)).toEqual(["ts", "ts", "diff"]);
});

test("its test passes", () => {
  const written = blocks.map(({ options }) => options.get("file") ?? "").filter((file) => file.endsWith(".test.ts"));
  const { stderr, status } = node("--experimental-vm-modules", path.join(ROOT, "node_modules/jest/bin/jest.js"), "--runTestsByPath", ...written);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/Tests: +1 passed, 1 total/) });
}, 120_000);

test("the types are right", () => {
  writeFileSync(path.join(copy, "tsconfig.json"), readFileSync(path.join(ROOT, "tsconfig.json"), "utf8").replace(/"include": \[[^\]]*\]/, '"include": ["src", "test/unit/core/scheduling/strategies"]'));
  const { stdout, status } = node("node_modules/typescript/bin/tsc", "-p", "tsconfig.json", "--noEmit", "--incremental", "false");
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
}, 120_000);
