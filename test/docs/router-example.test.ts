// deploy/router.example.yaml is the reference of the configuration: all keys, with their defaults.
import { expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parse, parseDocument, isMap, type Node } from "yaml";
import { loadRouterConfig } from "../../src/config/router-config.js";
import { CLI } from "../interop/real-fleet.js";

const EXAMPLE = path.resolve("deploy/router.example.yaml");

/** The configuration of a file with this text. */
function configOf(text: string): ReturnType<typeof loadRouterConfig> {
  const directory = mkdtempSync(path.join(tmpdir(), "gpu-router-config-"));
  try {
    const file = path.join(directory, "router.yaml");
    writeFileSync(file, text);
    return loadRouterConfig(file, {});
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("an unchanged copy changes nothing", () => {
  expect(loadRouterConfig(EXAMPLE, {})).toEqual(configOf("# nothing\n"));
});

test("every key counts: without it the schema fills in the same, and another value is another configuration", () => {
  const example = readFileSync(EXAMPLE, "utf8");
  const defaults = configOf(example);
  for (const keys of leaves(parseDocument(example).contents, [])) {
    const changed = parse(example) as Record<string, never>;
    const owner = keys.slice(0, -1).reduce<Record<string, unknown>>((object, key) => object[key] as Record<string, unknown>, changed);
    const key = keys.at(-1) ?? "";
    owner[key] = another(owner[key]);
    let config: unknown = "refused";
    try {
      config = configOf(JSON.stringify(changed));
    } catch {
      // A value that clashes with another key's was at least looked at.
    }
    expect({ keys, config }).not.toEqual({ keys, config: defaults });
  }
});

test("a key that is not in it does not exist", () => {
  expect(() => configOf("api: { colour: red }")).toThrow(/colour[\s\S]*deploy\/router\.example\.yaml/);
});

test.each([
  ["serve", "router.example.yaml", "load_balancer: { stategy: hybrid }", 'did you mean "strategy"'],
  ["agent", "agent.example.yaml", "router_adress: a:1", 'did you mean "router_address"'],
])("%s --check says whether a file can be used, and starts nothing", (command, example, wrong, words) => {
  const directory = mkdtempSync(path.join(tmpdir(), "gpu-router-check-"));
  try {
    const check = (file: string) => spawnSync(process.execPath, [CLI, command, "--check", "--config", file], { cwd: directory, encoding: "utf8", env: { PATH: process.env["PATH"] } });
    const file = path.resolve("deploy", example);
    expect(check(file)).toMatchObject({ status: 0, stdout: `${file} can be used.\n`, stderr: "" });
    writeFileSync(path.join(directory, "wrong.yaml"), wrong);
    expect(check("wrong.yaml")).toMatchObject({ status: 2, stdout: "", stderr: expect.stringContaining(words) });
    expect(readdirSync(directory)).toEqual(["wrong.yaml"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the schema has no key that it lacks", () => {
  // Every number and text of the parsed configuration comes from a key of the file: as many leaves here as there.
  const count = (value: unknown): number => (typeof value === "object" && value !== null ? Object.values(value).reduce<number>((sum, inner) => sum + count(inner), 0) : 1);
  const config = loadRouterConfig(EXAMPLE, {});
  // telemetry_interval and node_lost_after go to the core and to the agents' streams; a list is one leaf.
  const twice = 2 + config.core.exclusiveTypes.length - 1;
  expect(count(config) - twice).toBe(leaves(parseDocument(readFileSync(EXAMPLE, "utf8")).contents, []).length);
});

function leaves(node: Node | null, at: readonly string[]): readonly (readonly string[])[] {
  if (!isMap(node)) return [at];
  return node.items.flatMap(({ key, value }) => leaves(value as Node, [...at, String(key)]));
}

function another(value: unknown): unknown {
  if (value === 0) return 1;
  if (typeof value === "number") return value > 1 ? value - 0.5 >= 1 && !Number.isInteger(value) ? value - 0.5 : value - 1 : value / 2;
  return value === "info" ? "debug" : value === "hybrid" ? "least_loaded" : `${String(value)}x`;
}
