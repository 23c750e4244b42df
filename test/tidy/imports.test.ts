// Import directions and the purity of the core. The rules are in .dependency-cruiser.cjs and in the table below; each says what
// to do instead, and each is shown to bite on a small tree that breaks it.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "@jest/globals";
import ts from "typescript";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

interface CruiseResult {
  readonly summary: { readonly totalCruised: number; readonly violations: readonly { readonly from: string; readonly to: string; readonly rule: { readonly name: string } }[] };
}

/** Violations of the tree at `folder` as "rule: from -> to", and how many files were looked at. */
function cruise(folder: string): { violations: string[]; looked: number } {
  const program = path.join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const { stdout, stderr } = spawnSync(process.execPath, [program, "src", "--config", ".dependency-cruiser.cjs", "--output-type", "json"], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (!stdout.startsWith("{")) throw new Error(`dependency-cruiser gave no result: ${stderr || stdout}`);
  const { summary } = JSON.parse(stdout) as CruiseResult;
  return { violations: summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`).sort(), looked: summary.totalCruised };
}

const { forbidden } = (await import(path.join(root, ".dependency-cruiser.cjs"))).default as { forbidden: readonly { readonly name: string; readonly comment: string }[] };

/** With the rule's advice under each. */
function withAdvice(violations: readonly string[]): string {
  return violations.map((violation) => `${violation}\n    ${forbidden.find(({ name }) => violation.startsWith(`${name}:`))?.comment ?? ""}`).join("\n");
}

describe("import directions", () => {
  test("are those of the architecture", () => {
    const { violations, looked } = cruise(root);
    expect(looked).toBeGreaterThan(100);
    if (violations.length > 0) throw new Error(`Imports against the architecture:\n${withAdvice(violations)}`);
  });

  const tree = mkdtempSync(path.join(tmpdir(), "gpu-router-imports-"));
  afterAll(() => rmSync(tree, { recursive: true }));

  test("the rules bite: each breach of a small tree is found, and nothing else", () => {
    const files: Record<string, string> = {
      "lib/pure.ts": "export const pure = 1;",
      "lib/impure.ts": 'import "node:fs"; import "../core/model/word.js";',
      "core/model/word.ts": "export const word = 1;",
      "core/fine.ts": 'import "../lib/pure.js"; import "./model/word.js";',
      "core/reaches-out.ts": 'import "node:os"; import "../journal/log.js";',
      "core/loop-a.ts": 'import { b } from "./loop-b.js"; export const a = (): unknown => b;',
      "core/loop-b.ts": 'import { a } from "./loop-a.js"; export const b = (): unknown => a;',
      "core/types-a.ts": 'import type { B } from "./types-b.js"; export interface A { readonly b: B }',
      "core/types-b.ts": 'import type { A } from "./types-a.js"; export interface B { readonly a: A }',
      "journal/log.ts": 'import "../core/fine.js"; import "../lib/pure.js"; import "../router/wire.js";',
      "link/wire.ts": 'import "../lib/pure.js"; import "../core/model/word.js";',
      "api/answer.ts": 'import "../core/model/word.js"; import "../core/fine.js";',
      "agent/run.ts": 'import "../link/wire.js"; import "../router/wire.js"; import type { word } from "../core/model/word.js"; export type W = typeof word;',
      "router/wire.ts": 'import "../agent/run.js"; import "../api/answer.js"; import "../cli/main.js";',
      "sim/drive.ts": 'import "../core/fine.js"; import "../router/wire.js";',
      "console/page.ts": 'import "../lib/pure.js";',
      "config/read.ts": 'import "../core/fine.js"; import "../router/wire.js";',
      "cli/main.ts": 'import "../sim/drive.js"; import "./missing.js";',
    };
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(tree, "src", name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    copyFileSync(path.join(root, ".dependency-cruiser.cjs"), path.join(tree, ".dependency-cruiser.cjs"));
    writeFileSync(path.join(tree, "tsconfig.json"), JSON.stringify({ compilerOptions: { module: "nodenext", moduleResolution: "nodenext", target: "es2022" } }));
    const { violations } = cruise(tree);
    // Two of the cycles come with the breaches: router and agent, router and the journal's way through core.
    expect(violations.filter((violation) => !violation.startsWith("no-cycles"))).toEqual([
      "agent-imports: src/agent/run.ts -> src/core/model/word.ts",
      "agent-imports: src/agent/run.ts -> src/router/wire.ts",
      "api-imports: src/api/answer.ts -> src/core/fine.ts",
      "cli-is-the-top: src/router/wire.ts -> src/cli/main.ts",
      "config-imports: src/config/read.ts -> src/router/wire.ts",
      "console-imports: src/console/page.ts -> src/lib/pure.ts",
      "core-imports: src/core/reaches-out.ts -> src/journal/log.ts",
      "journal-imports: src/journal/log.ts -> src/router/wire.ts",
      "lib-imports: src/lib/impure.ts -> src/core/model/word.ts",
      "link-imports: src/link/wire.ts -> src/core/model/word.ts",
      "pure-core: src/core/reaches-out.ts -> os",
      "pure-core: src/lib/impure.ts -> fs",
      "resolvable: src/cli/main.ts -> ./missing.js",
      "router-imports: src/router/wire.ts -> src/cli/main.ts",
      "sim-imports: src/sim/drive.ts -> src/router/wire.ts",
    ]);
    const cycles = violations.filter((violation) => violation.startsWith("no-cycles"));
    expect(cycles).toContain("no-cycles: src/core/loop-a.ts -> src/core/loop-b.ts");
    expect(cycles.filter((violation) => violation.includes("types-"))).toEqual([]);
  });
});

/** Globals that core/ and lib/ must not name, and what to use instead. */
const BANNED: Readonly<Record<string, string>> = {
  Date: "take nowMs as an argument; router/clock.ts makes it",
  performance: "take nowMs as an argument; router/clock.ts makes it",
  setTimeout: "put the time into a TimerWheel (lib/timer-wheel.ts) that a tick advances",
  setInterval: "do it in the engine's tick",
  setImmediate: "return an effect; the router performs it",
  queueMicrotask: "return an effect; the router performs it",
  process: "take it as a setting (core/settings.ts)",
  console: "return a fact; the router logs it",
  fetch: "return an effect; the router performs it",
  crypto: "take the value as an argument, or seededRandom (lib/random.ts)",
  globalThis: "take the value as an argument",
  Promise: "return a value: the core is synchronous",
};
const RANDOM = "use seededRandom (lib/random.ts) with a seed from the request";
const SYNCHRONOUS = "return a value: the core is synchronous; the router awaits";

/** "line: what, instead what" for each breach in one file's text. */
function impurities(text: string): string[] {
  const source = ts.createSourceFile("file.ts", text, ts.ScriptTarget.ES2022, true);
  const found: string[] = [];
  const report = (node: ts.Node, what: string, instead: string): void => {
    found.push(`${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}: ${what}: ${instead}`);
  };
  const declared = new Set<string>();
  const declare = (node: ts.Node): void => {
    // An own declaration or import hides the global of that name.
    const name = (ts.isImportSpecifier(node) || ts.isVariableDeclaration(node) || ts.isFunctionDeclaration(node) || ts.isParameter(node)) && node.name;
    if (name && ts.isIdentifier(name)) declared.add(name.text);
    ts.forEachChild(node, declare);
  };
  declare(source);
  const visit = (node: ts.Node): void => {
    const { parent } = node;
    if (ts.isIdentifier(node)) {
      const isProperty = (ts.isPropertyAccessExpression(parent) && parent.name === node) || ((ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent)) && parent.name === node);
      const instead = Object.hasOwn(BANNED, node.text) ? BANNED[node.text] : undefined;
      if (instead && !isProperty && !declared.has(node.text)) report(node, node.text, instead);
    }
    if (ts.isPropertyAccessExpression(node) && node.expression.getText(source) === "Math" && node.name.text === "random") report(node, "Math.random", RANDOM);
    if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier)) report(node, "await", SYNCHRONOUS);
    if (node.kind === ts.SyntaxKind.AsyncKeyword) report(node, "async", SYNCHRONOUS);
    if (ts.isStringLiteral(node) && node.text.startsWith("node:") && (ts.isImportDeclaration(parent) || ts.isCallExpression(parent))) report(node, node.text, "return an effect; the router performs it");
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

describe("core/ and lib/ are pure", () => {
  test("they name no clock, randomness, timer, process, console, promise or node: module", () => {
    const breaches: string[] = [];
    let looked = 0;
    for (const folder of ["src/core", "src/lib"]) {
      for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true, recursive: true })) {
        if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
        looked += 1;
        const file = path.join(entry.parentPath, entry.name);
        breaches.push(...impurities(readFileSync(file, "utf8")).map((breach) => `${path.relative(root, file)}:${breach}`));
      }
    }
    expect(looked).toBeGreaterThan(30);
    expect(breaches).toEqual([]);
  });

  test.each([
    ["const now = Date.now();", "Date"],
    ["const then = new Date(0);", "Date"],
    ["const now = performance.now();", "performance"],
    ["const luck = Math.random();", "Math.random"],
    ["setTimeout(() => {}, 1);", "setTimeout"],
    ["setInterval(() => {}, 1);", "setInterval"],
    ["setImmediate(() => {});", "setImmediate"],
    ["const home = process.env.HOME;", "process"],
    ["console.log(1);", "console"],
    ["async function f() {}", "async"],
    ["const f = async () => {};", "async"],
    ["await f();", "await"],
    ["for await (const x of y) {}", "await"],
    ['import { readFileSync } from "node:fs";', "node:fs"],
    ['const fs = await import("node:fs");', "node:fs"],
    ["globalThis.x = 1;", "globalThis"],
  ])("the check bites: %s", (text, what) => {
    expect(impurities(`\n${text}`)).toContainEqual(expect.stringMatching(new RegExp(`^2: ${what.replace(".", "\\.")}: `)));
  });

  test.each([
    ["// Date.now() is the router's.", "a comment"],
    ['const text = "process.exit";', "a string"],
    ['import { performance } from "../scorers/performance.js"; export const all = [performance];', "an import of that name"],
    ["interface Step { readonly process: string } const p = (step: Step) => step.process;", "a property of that name"],
    ["const random = seededRandom(1);", "seeded randomness"],
  ])("the check lets %s pass: %s", (text) => {
    expect(impurities(text)).toEqual([]);
  });
});
