// docs/faults.md lists what the simulation of faults really has.
import { expect, test } from "@jest/globals";
import { readFileSync } from "node:fs";
import path from "node:path";
import { FAULTS } from "../faults/simulated/faults.js";
import * as invariants from "../faults/simulated/invariants.js";
import { ROOT } from "../interop/real-fleet.js";

const text = readFileSync(path.join(ROOT, "docs/faults.md"), "utf8");

/** The first cells of the table with this header. */
function names(header: string): readonly string[] {
  const [, table = ""] = text.split(`| ${header} |`);
  return [...(table.split("\n\n")[0] ?? "").matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name = ""]) => name);
}

test("its table of invariants has all of them", () => {
  // Judged at the end, and by the run itself.
  const beside = ["everythingEnds", "nothingThrows"];
  expect(names("invariant | what it says").toSorted()).toEqual([...Object.keys(invariants), ...beside].toSorted());
});

test("its table of faults has all of them", () => {
  expect(names("fault | what happens")).toEqual(FAULTS.map(({ name }) => name));
});
