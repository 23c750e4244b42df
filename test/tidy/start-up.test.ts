// What every command loads before it does anything. Scheduler, simulator, configuration and their packages tripled the time that
// `gpu-router gpus` took to begin; what needs them imports them when it is asked for.
import { expect, test } from "@jest/globals";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const src = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../src");

/** What `file` imports at once, and not by `import()` or for its types. */
function importsOf(file: string): readonly string[] {
  return [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\s+(?!type\b)[^;"]*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gm)].map(([, from, bare]) => from ?? bare ?? "");
}

/** Files of ours and packages that are loaded with `entry`, each with the file that brought it. */
function loadedWith(entry: string): ReadonlyMap<string, string> {
  const loaded = new Map([[entry, ""]]);
  for (const file of loaded.keys()) {
    if (!path.isAbsolute(file)) continue;
    for (const name of importsOf(file)) {
      const target = name.startsWith(".") ? path.resolve(path.dirname(file), name.replace(/\.js$/, ".ts")) : name;
      if (!loaded.has(target)) loaded.set(target, file);
    }
  }
  return loaded;
}

test("the command line begins without scheduler, configuration, validation, database and log", () => {
  const loaded = loadedWith(path.join(src, "cli/main.ts"));
  expect(loaded.size).toBeGreaterThan(80);
  const heavy = /^(zod|yaml|pino|lmdb|jose|undici|@bufbuild\/protovalidate|@connectrpc\/.*)$|\/src\/(core|config|router|agent|journal|auth|recording|callbacks)\//;
  const found = [...loaded].filter(([name]) => heavy.test(name)).map(([name, by]) => `${path.relative(src, name)} by ${path.relative(src, by)}`);
  expect(found).toEqual([]);
});
