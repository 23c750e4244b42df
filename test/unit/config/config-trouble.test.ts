// What a person reads who has misspelt something.
import { afterAll, describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAgentConfig } from "../../../src/config/agent-config.js";
import { loadRouterConfig } from "../../../src/config/router-config.js";

const directory = mkdtempSync(join(tmpdir(), "gpu-router-config-trouble-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function refusal(load: typeof loadRouterConfig | typeof loadAgentConfig, yaml: string, env: NodeJS.ProcessEnv = {}): string {
  const file = join(directory, "config.yaml");
  writeFileSync(file, yaml);
  try {
    load(file, env);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

describe("a key that does not exist", () => {
  test.each([
    ["at the top", "load_balancr: {}", 'There is no key "load_balancr"; did you mean "load_balancer"?'],
    ["in a section with defaults", "api: { prot: 1 }", 'There is no key "prot"; did you mean "port"?\n  → at api'],
    ["with another separator", "journal: { dataDir: x }", '"dataDir"; did you mean "data_dir"?\n  → at journal'],
    ["in a section of a section", "load_balancer: { preemption: { priority_gab: 1 } }", 'did you mean "priority_gap"?\n  → at load_balancer.preemption'],
    ["like no other", "colour: red", 'There is no key "colour"\n'],
  ])("of the router, %s, is named with the one that was meant", (_where, yaml, words) => {
    expect(refusal(loadRouterConfig, yaml)).toContain(words);
  });

  test.each([
    ["in what is transformed", "probe: { mod: auto }", 'There is no key "mod"; did you mean "mode"?\n  → at probe'],
    ["in an entry of a list", "runners: { exec: [{ name: a, argv: [x], typ: [training] }] }", 'There is no key "typ"; did you mean "types"?\n  → at runners.exec[0]'],
  ])("of the agent, %s, is named with the one that was meant", (_where, yaml, words) => {
    expect(refusal(loadAgentConfig, yaml)).toContain(words);
  });

  test("each of several has a line of its own", () => {
    expect(refusal(loadRouterConfig, "api: { prot: 1, hst: a }").match(/✖/g)).toHaveLength(2);
  });
});

describe("what only the scheduler knows", () => {
  test.each([
    ["load_balancer: { strategy: hybird }", /There is no strategy "hybird"; did you mean "hybrid"\? There are hybrid, weighted[^]*→ at load_balancer\.strategy/],
    ["load_balancer: { weights: { speed: 1 } }", /Unknown weight "speed": use usage[^]*→ at load_balancer\.weights/],
  ])("%s is an error of the file", (yaml, words) => {
    expect(refusal(loadRouterConfig, yaml)).toMatch(words);
  });
});

describe("a value that is not allowed", () => {
  test("is shown", () => {
    expect(refusal(loadRouterConfig, "api: { port: 123456 }")).toMatch(/it is 123456\n {2}→ at api\.port/);
  });

  test("with a unit where none belongs is told to leave it out", () => {
    expect(refusal(loadRouterConfig, "request_router: { request_timeout: 30s }")).toContain('it is "30s": write the number alone');
  });

  test("in the environment of a command is not shown: it may be a secret", () => {
    expect(refusal(loadAgentConfig, "runners: { exec: [{ name: a, argv: [x], env: { TOKEN: 4711 } }] }")).not.toContain("4711");
  });

  test("of the environment is blamed on the environment", () => {
    expect(refusal(loadRouterConfig, "", { API_PORT: "http" })).toMatch(/with API_PORT of the environment over it, cannot be used:[\s\S]*it is "http"\n {2}→ at api\.port/);
  });
});
