// Every request of a replay as a line of JSON, for those who want to count for themselves.
import { once } from "node:events";
import { createWriteStream } from "node:fs";

import { snakeCase } from "./report-json.js";
import type { RequestOutcome } from "./outcome.js";

/** Writes the file anew, one request a line in the order of sending, keys in snake_case, times in ms since the start. */
export async function writeOutcomes(file: string, outcomes: readonly RequestOutcome[]): Promise<void> {
  const stream = createWriteStream(file);
  for (const outcome of outcomes) if (!stream.write(`${JSON.stringify(snakeCase(outcome))}\n`)) await once(stream, "drain");
  stream.end();
  await once(stream, "finish");
}
