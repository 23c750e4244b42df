// What encryption at rest costs: Route and whole lives with a key for the journal, against the same without one, two routers side by side.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { compareRouters } from "./side-by-side.mjs";

/** As `compareRouters`; the variants are `without` and `encrypted`. */
export async function benchEncryption(options) {
  const folder = mkdtempSync(path.join(process.cwd(), ".cache", "bench-key-"));
  try {
    const key = path.join(folder, "data.key");
    writeFileSync(key, randomBytes(32).toString("base64"), { mode: 0o600 });
    return await compareRouters({ without: {}, encrypted: { config: [`journal: { encryption_key_file: ${JSON.stringify(key)} }`] } }, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
