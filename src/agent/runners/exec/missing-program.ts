// Whether the program of a command is there at all: told when the agent starts, not when the first request fails. Called by `index.ts`.
import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";

/**
 * What is wrong with `program`, a path or a name to be looked up in `searchPath`; "" when it can be started, or when that shows only
 * where it runs, as with a path relative to its working directory. It may come later: this is a warning, not a refusal.
 */
export function missingProgram(program: string, searchPath: string): string {
  if (program.includes("/")) return !path.isAbsolute(program) || isExecutable(program) ? "" : words(program);
  return searchPath.split(path.delimiter).some((folder) => isExecutable(path.join(folder, program))) ? "" : words(`${program} (PATH is ${searchPath})`);
}

function words(what: string): string {
  return `there is no program ${what} that this agent may run; requests for this command fail until there is`;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
