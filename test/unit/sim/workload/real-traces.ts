// Where the public traces are; a clone without them skips the tests that read them and says so, CI may not.
import { existsSync } from "node:fs";
import path from "node:path";

import { test } from "@jest/globals";

export const TRACES = path.resolve("../shared/traces");

/** A test that reads the traces. */
export function testWithTraces(name: string, body: () => Promise<void>, timeoutMs?: number): void {
  if (existsSync(TRACES) || process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") {
    test(name, body, timeoutMs);
    return;
  }
  console.warn(`skipped: "${name}" needs the public traces in ${TRACES}`);
  test.skip(name, body);
}
