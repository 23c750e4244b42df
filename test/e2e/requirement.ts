// What a test needs of the machine and a stranger's may lack. Such a test skips, saying why; where everything is required, as in
// CI, it fails instead.
import { existsSync } from "node:fs";
import path from "node:path";
import { test } from "@jest/globals";

const AZURE = path.resolve("../shared/traces/azure-llm-2023");

/** The first hour of two services, as Azure published it. */
export const AZURE_CONV = path.join(AZURE, "AzureLLMInferenceTrace_conv.csv");
export const AZURE_CODE = path.join(AZURE, "AzureLLMInferenceTrace_code.csv");
export const hasAzureTraces = existsSync(AZURE_CONV) && existsSync(AZURE_CODE);

/** `test` when the machine has what is needed, else a skip with the reason printed. */
export function testWith(has: boolean, missing: string): typeof test | typeof test.skip {
  if (has) return test;
  if (process.env["GPU_ROUTER_REQUIRE_ALL"] === "1") throw new Error(`Required here, but missing: ${missing}`);
  process.stderr.write(`Skipped: ${missing}\n`);
  return test.skip;
}
