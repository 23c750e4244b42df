// Makes plain JavaScript of the sources and of the simulation, in a folder of its own, so that Node can run them without a test runner,
// and so that a planted bug can be in them. What has not changed since the last time is not done again.
import { transformSync } from "@swc/core";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const SOURCES = ["src", "gen", "test/faults/simulated"];

/**
 * Transpiles into `.cache/simulated/<name>` and returns that folder. `change` may give another text for a file, by its path from the
 * root; undefined leaves it as it is.
 */
export function transpile(name, change = unchanged) {
  const target = path.join(ROOT, ".cache/simulated", name);
  // What was changed once must not stay so.
  if (change !== unchanged) rmSync(target, { recursive: true, force: true });
  for (const folder of SOURCES) {
    for (const entry of readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
      const source = path.join(entry.parentPath ?? entry.path, entry.name);
      const file = path.relative(ROOT, source);
      const output = path.join(target, file.replace(/\.ts$/, ".js"));
      const changed = change(file.split(path.sep).join("/"));
      if (changed === undefined && isNewer(output, source)) continue;
      const { code } = transformSync(changed ?? readFileSync(source, "utf8"), {
        filename: source,
        sourceMaps: "inline",
        jsc: { target: "es2022", parser: { syntax: "typescript" } },
        module: { type: "es6" },
      });
      mkdirSync(path.dirname(output), { recursive: true });
      writeFileSync(output, code);
    }
  }
  return target;
}

function unchanged() {
  return undefined;
}

function isNewer(output, source) {
  try {
    return statSync(output).mtimeMs > statSync(source).mtimeMs;
  } catch {
    return false;
  }
}
