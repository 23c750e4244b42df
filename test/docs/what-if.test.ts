// The tour of docs/what-if.md, followed literally, and what its last table is worth: simulated as recorded, the little life takes about as
// long as it took.
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { CLI, ROOT } from "../interop/real-fleet.js";
import { blocksOf } from "./markdown.js";
import { runBlock } from "./run-block.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-what-if-tour-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("simulated as recorded, the median request of the tour takes what it was measured to take", async () => {
  const tour = blocksOf(path.join(ROOT, "docs/what-if.md")).find(({ text }) => text.includes("--record friday.rec"));
  if (!tour) throw new Error("the tour is gone");
  // Another port than that of the test that runs all blocks, which may run at the same time.
  await runBlock(tour, { directory, grpc: "", http: "", grpcurl: "", replacements: new Map([["50061", "50062"]]) });
  const printed = execFileSync(process.execPath, [CLI, "whatif", path.join(directory, "friday.rec"), "--json"], { encoding: "utf8" });
  const { rows } = JSON.parse(printed) as { rows: { run: string; totalP50Ms: number }[] };
  const [measured, recorded] = rows;
  expect([measured?.run, recorded?.run]).toEqual(["measured", "hybrid, as recorded"]);
  const ratio = (recorded?.totalP50Ms ?? 0) / (measured?.totalP50Ms ?? 0);
  // The measured one also has processes to wait for, on a machine that may be busy; the simulated one is that of the same GPU.
  expect(ratio).toBeGreaterThan(0.2);
  expect(ratio).toBeLessThan(2);
}, 90_000);
