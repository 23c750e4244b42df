// The files of the project as git sees them: tracked, and new ones that are not ignored.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: ROOT, encoding: "utf8" })
  .split("\0")
  .filter((file) => file !== "");

/** Paths from the root that match, without those that were deleted and not yet committed. */
export function filesLike(pattern: RegExp): readonly string[] {
  return files.filter((file) => pattern.test(file) && textOf(file) !== undefined);
}

/** undefined when it is not there. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(path.join(ROOT, file), "utf8");
  } catch {
    return undefined;
  }
}

export function linesOf(file: string): readonly string[] {
  return (textOf(file) ?? "").replace(/\n$/, "").split("\n");
}

export function read(file: string): string {
  return textOf(file) ?? "";
}

/** `file:line: text` of every line that matches. */
export function linesLike(fileList: readonly string[], pattern: RegExp): readonly string[] {
  return fileList.flatMap((file) => linesOf(file).flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])));
}
