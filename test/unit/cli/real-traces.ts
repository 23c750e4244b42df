// Where the public traces are; a clone without them skips the tests that read them and says so, CI may not.
import { existsSync } from "node:fs";
import path from "node:path";

import { test } from "@jest/globals";

const FOLDER = path.resolve("../shared/traces");

export const AZURE_CONV = path.join(FOLDER, "azure-llm-2023/AzureLLMInferenceTrace_conv.csv");
export const AZURE_CODE = path.join(FOLDER, "azure-llm-2023/AzureLLMInferenceTrace_code.csv");
export const MOONCAKE = path.join(FOLDER, "mooncake-fast25/conversation_trace.jsonl.gz");

/** A test that reads the traces. */
export function testWithTraces(name: string, body: () => Promise<void>): void {
  if ([AZURE_CONV, AZURE_CODE, MOONCAKE].every((file) => existsSync(file)) || process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") {
    test(name, body);
    return;
  }
  console.warn(`skipped: "${name}" needs the public traces in ${FOLDER}`);
  test.skip(name, body);
}
