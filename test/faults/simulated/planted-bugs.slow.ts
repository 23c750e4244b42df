// The simulation of faults finds bugs: each of those in planted-bugs.json is built in and looked for. Run by `npm run test:e2e`.
import { describe, expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

const LIMIT_MS = 600_000;
const bugs = JSON.parse(readFileSync(path.join(import.meta.dirname, "planted-bugs.json"), "utf8")) as readonly { readonly name: string; readonly about: string; readonly foundBy: readonly string[] }[];

describe("A planted bug is found, and the report says how to see it again", () => {
  test.each(bugs)("$name: $about", ({ name, foundBy }) => {
    const { stdout, stderr } = spawnSync(process.execPath, [path.join(import.meta.dirname, "main.mjs"), "--plant", name, "--seeds", "1..400", "--json"], { encoding: "utf8", maxBuffer: 1 << 26 });
    if (stdout === "") throw new Error(stderr);
    const [first] = (JSON.parse(stdout) as { readonly failures: readonly { readonly seed: number; readonly invariant: string; readonly again: string }[] }).failures;
    expect(foundBy).toContain(first?.invariant);
    expect(first?.again).toMatch(new RegExp(`^npm run sim -- --seed ${first?.seed}( --faults [a-z,-]+)? --plant ${name}$`));
  }, LIMIT_MS);
});
