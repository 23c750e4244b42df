// Makes the folder of a router's data, and says what to do where that does not work. Called by whoever opens one.
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import path from "node:path";

const WHY: Readonly<Record<string, string>> = {
  EACCES: "this account may not write there",
  EPERM: "this account may not write there",
  EROFS: "its file system is read-only",
  ENOSPC: "its disk is full",
  ENOTDIR: "part of its path is a file",
  EEXIST: "it is a file",
};

/** Makes `directory` where it is missing, for this account alone. Throws with what to do when it cannot be made or written to. */
export function makeDataDirectory(directory: string): void {
  try {
    makeMissing(path.resolve(directory));
    accessSync(directory, constants.W_OK);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new Error(`The data directory ${directory} cannot be used: ${WHY[code] ?? message}. Choose another one with --data, or put this right.`, { cause: error });
  }
}

/** Not by `recursive`: Node 20 never returns where a file system, such as /proc, has a parent but takes no new folders in it. */
function makeMissing(directory: string): void {
  const there = statSync(directory, { throwIfNoEntry: false });
  if (there?.isDirectory()) return;
  if (there === undefined) makeMissing(path.dirname(directory));
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    // Another process may have been faster.
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}
