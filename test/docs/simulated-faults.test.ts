// docs/faults.md lists what the simulation of faults really has.
import { expect, test } from "@jest/globals";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { FAULTS } from "../faults/simulated/faults.js";
import { ACTS } from "../faults/simulated/acts.js";
import { ROOT } from "../interop/real-fleet.js";

const text = readFileSync(path.join(ROOT, "docs/faults.md"), "utf8");

/** The first cells of the table with this header. */
function names(header: string): readonly string[] {
  const [, table = ""] = text.split(`| ${header} |`);
  return [...(table.split("\n\n")[0] ?? "").matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name = ""]) => name);
}

test("its table of invariants has all of them", () => {
  const folder = path.join(ROOT, "test/faults/simulated");
  const source = readdirSync(folder).filter((file) => file.endsWith(".ts")).map((file) => readFileSync(path.join(folder, file), "utf8")).join("");
  const thrown = new Set([...source.matchAll(/new Violation\("(\w+)"/g)].map(([, name = ""]) => name));
  // Whatever else goes wrong in a run is put under this name.
  expect(names("invariant | what it says").toSorted()).toEqual([...thrown, "nothingThrows"].toSorted());
});

test("its table of acts has all of them", () => {
  expect(names("act | what happens")).toEqual(ACTS.map(({ name }) => name));
});

test("its table of faults has all of them", () => {
  expect(names("fault | what happens")).toEqual(FAULTS.map(({ name }) => name));
});
