// The version of this program.
import { existsSync, readFileSync } from "node:fs";

/** The version in the package.json that this file belongs to, in src/ as well as in dist/src/. */
export function packageVersion(): string {
  const file = ["../../package.json", "../../../package.json"].map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url));
  if (file === undefined) return "unknown";
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { readonly version?: string };
  return version ?? "unknown";
}
