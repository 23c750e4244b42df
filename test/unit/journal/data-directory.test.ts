import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeDataDirectory } from "../../../src/journal/data-directory.js";

let root = "";
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "gpu-router-folder-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("the data directory", () => {
  test("is made with those above it, for this account alone", () => {
    const directory = path.join(root, "a/b/c");
    makeDataDirectory(directory);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    makeDataDirectory(directory);
  });

  test("that is there keeps the mode that its owner gave it", () => {
    const directory = path.join(root, "open");
    mkdirSync(directory, { mode: 0o755 });
    makeDataDirectory(directory);
    expect(statSync(directory).mode & 0o777).toBe(0o755);
  });

  test.each([
    ["is a file", "file", /file cannot be used: it is a file\. Choose another one with --data/],
    ["is below a file", "file/data", /file\/data cannot be used: part of its path is a file/],
  ])("that %s is refused with what to do", (_why, name, message) => {
    writeFileSync(path.join(root, "file"), "");
    expect(() => makeDataDirectory(path.join(root, name))).toThrow(message);
  });

  test("in a file system that takes none is refused, at once", () => {
    if (!existsSync("/proc/self")) return void process.stderr.write("Skipped: no /proc here\n");
    expect(() => makeDataDirectory("/proc/gpu-router/data")).toThrow(/^The data directory \/proc\/gpu-router\/data cannot be used: /);
  });
});
