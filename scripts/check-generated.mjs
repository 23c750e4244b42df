// Whether gen/ is what proto/ gives: generates into a temporary folder and compares. Leaves the tree as it is.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const folder = mkdtempSync(path.join(os.tmpdir(), "gpu-router-gen-"));
try {
  const { status } = spawnSync(process.execPath, ["node_modules/@bufbuild/buf/bin/buf", "generate", "--output", folder], {
    stdio: ["ignore", "inherit", "inherit"],
    // buf looks for its plugins there.
    env: { ...process.env, PATH: `${path.resolve("node_modules/.bin")}${path.delimiter}${process.env.PATH}` },
  });
  if (status !== 0) process.exit(status ?? 1);
  const wanted = filesOf(path.join(folder, "gen"));
  const present = filesOf("gen");
  const stale = [...new Set([...wanted.keys(), ...present.keys()])].filter((file) => wanted.get(file) !== present.get(file));
  if (wanted.size === 0) throw new Error("buf generated nothing");
  if (stale.length > 0) {
    console.error(`gen/ is not what proto/ gives: ${stale.join(", ")}. Run \`npm run generate\` and commit the result.`);
    process.exitCode = 1;
  } else console.log(`gen/ is what proto/ gives: ${wanted.size} files.`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Path below the folder -> content. */
function filesOf(base) {
  const entries = readdirSync(base, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map((entry) => {
      const file = path.join(entry.parentPath ?? entry.path, entry.name);
      return [path.relative(base, file), readFileSync(file, "utf8")];
    }),
  );
}
