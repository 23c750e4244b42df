// Rules on text that no linter knows. Each failure lists the places and says why the rule is there.
import { expect, test } from "@jest/globals";
import { filesLike, linesLike, linesOf, ROOT } from "./files.js";

const TEXT = /\.(ts|mjs|cjs|json|md|ya?ml|proto|sh|py|c|service|txt)$|^(LICENSE|NOTICE|\.npmrc|\.gitignore|\.ci\/run)$/;
const all = filesLike(TEXT).filter((file) => !file.startsWith("gen/") && file !== "package-lock.json");
const source = filesLike(/^src\/.*\.ts$/);
const code = filesLike(/^(src|test|scripts)\/.*\.(ts|mjs)$/);

test("there are files to check", () => {
  expect(all.length).toBeGreaterThan(200);
  expect(source.length).toBeGreaterThan(100);
});

test("no path of somebody's machine: it means nothing on another", () => {
  expect(linesLike(all, /(?<![\w.])\/(root\/|Users\/|home\/(?!agent\b))|[A-Z]:\\\\?Users/)).toEqual([]);
  expect(linesLike(all, new RegExp(`${ROOT.replaceAll(/[/.\\]/g, String.raw`\$&`)}\\b`))).toEqual([]);
});

test("no address of a package registry: the project installs from any", () => {
  expect(linesLike([...all, "package-lock.json"], /registry\.npmjs|pypi\.org|proxy\.golang|deb\.debian/)).toEqual([]);
});

test("nothing is left open without saying what and why: `TODO: words` or an issue", () => {
  expect(linesLike(code, /\b(TODO|FIXME|HACK)\b(?!: \S+ \S+)/).filter((line) => !line.startsWith("test/tidy/"))).toEqual([]);
});

test("a skipped test says why, in a comment or on the terminal, within the lines before it", () => {
  const silent = filesLike(/^test\/.*\.ts$/).flatMap((file) => {
    const lines = linesOf(file);
    return lines.flatMap((line, index) => {
      if (file.startsWith("test/tidy/") || !/\b(test|describe|it)\.(skip|todo|only)\b|\bxit\(|\bxdescribe\(/.test(line) || /typeof/.test(line)) return [];
      const before = lines.slice(Math.max(0, index - 8), index + 1).join("\n");
      return /\/\/|\/\*|stderr\.write|console\.warn/.test(before) ? [] : [`${file}:${index + 1}: ${line.trim()}`];
    });
  });
  expect(silent).toEqual([]);
});

test("no `only`: it would hide all other tests of its file", () => {
  expect(linesLike(filesLike(/^test\/.*\.ts$/), /\b(test|describe|it)\.only\b/).filter((line) => !line.startsWith("test/tidy/"))).toEqual([]);
});

test("no cast to any and no silenced compiler: what is unknown is narrowed", () => {
  expect(linesLike(code, /\bas any\b|@ts-(ignore|nocheck|expect-error)/).filter((line) => !line.startsWith("test/tidy/"))).toEqual([]);
});

test("a silenced lint rule is named: all of them at once hides the next mistake", () => {
  expect(linesLike(code, /(oxlint|eslint)-disable(-next-line|-line)?\s*(\*\/)?\s*$/)).toEqual([]);
});

/** Plug-ins are one object whose docstring says it all. */
const PLUG_INS = /^src\/core\/scheduling\/(filters|scorers|strategies)\//;

test("every source file opens with what it owns; a plug-in has a docstring", () => {
  const without = source.filter((file) => {
    const lines = linesOf(file);
    const first = lines[0]?.startsWith("#!") ? lines[1] : lines[0];
    if (first?.startsWith("// ")) return false;
    return !(PLUG_INS.test(file) && lines.some((line) => line.startsWith("/**")));
  });
  expect(without).toEqual([]);
});

/** Speaks on the console for a reason. */
const MAY_PRINT: Readonly<Record<string, string>> = {
  "src/agent/probes/nvml-process.ts": "a process of its own; its stderr is the agent's",
};

test("the daemon logs through its logger: console is for the command line", () => {
  const lines = linesLike(source.filter((file) => !file.startsWith("src/cli/") && !(file in MAY_PRINT)), /\bconsole\.\w+\(/);
  expect(lines).toEqual([]);
  for (const file of Object.keys(MAY_PRINT)) expect(linesLike([file], /\bconsole\.\w+\(/)).not.toEqual([]);
});

/** Files above 300 lines and how long they may be: a list that only shrinks. */
const LONG: Readonly<Record<string, number>> = {
  "src/core/fleet/work-ledger.ts": 330,
};
const MAX_LINES = 300;

test("a source file above 300 lines holds more than one idea: split it, or give a reason to lengthen the list", () => {
  const lengths = Object.fromEntries(source.map((file) => [file, linesOf(file).length]));
  const tooLong = Object.entries(lengths).filter(([file, length]) => length > (LONG[file] ?? MAX_LINES));
  expect(tooLong).toEqual([]);
  const noLongerLong = Object.keys(LONG).filter((file) => (lengths[file] ?? 0) <= MAX_LINES);
  expect(noLongerLong).toEqual([]);
});

test("tests and scripts stay below 700 lines", () => {
  const tooLong = filesLike(/^(test|scripts)\/.*\.(ts|mjs)$/).map((file) => [file, linesOf(file).length] as const).filter(([, length]) => length > 700);
  expect(tooLong).toEqual([]);
});

test("file names are kebab-case", () => {
  const odd = filesLike(/^(src|test|scripts|docs|deploy)\//).filter((file) => !/^[a-z0-9/.-]+$/.test(file) && !/\/(Dockerfile|README\.md)$/.test(file));
  expect(odd).toEqual([]);
});
