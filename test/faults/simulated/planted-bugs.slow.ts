// The simulation of faults finds bugs: each of those in planted-bugs.json is built in and looked for. Run by `npm run test:e2e`.
import { describe, expect, test } from "@jest/globals";
import { readFileSync } from "node:fs";
import path from "node:path";
import { LIMIT_MS, report } from "./sim-command.js";

const bugs = JSON.parse(readFileSync(path.join(import.meta.dirname, "planted-bugs.json"), "utf8")) as readonly { readonly name: string; readonly about: string; readonly foundBy: readonly string[] }[];

describe("A planted bug is found, and the report says how to see it again", () => {
  test.each(bugs)("$name: $about", ({ name, foundBy }) => {
    const [first] = report("--plant", name, "--seeds", "1..800").failures;
    expect(foundBy).toContain(first?.invariant);
    expect(first?.again).toMatch(new RegExp(`^npm run sim -- --seed ${first?.seed}( --faults [a-z,-]+)? --plant ${name}$`));
  }, LIMIT_MS);
});
