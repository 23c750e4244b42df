// What a test needs of the machine and a stranger's may lack. Such a test skips, saying why; where everything is required, as in CI,
// it fails instead.
import { test } from "@jest/globals";

/** `test` when the machine has what is needed, else a skip with the reason printed. */
export function testWith(has: boolean, missing: string): typeof test | typeof test.skip {
  if (has) return test;
  if (process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") throw new Error(`Required here, but missing: ${missing}`);
  process.stderr.write(`Skipped: ${missing}\n`);
  return test.skip;
}
