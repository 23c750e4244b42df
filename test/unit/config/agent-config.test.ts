// What the agent's configuration file accepts, and how it says what it does not.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { createRunners } from "../../../src/agent/runners/index.js";
import { AgentConfigError, loadAgentConfig, type AgentConfig } from "../../../src/config/agent-config.js";
import { GPU_KIND_NAMES } from "../../../src/simulated-gpu/gpu-kinds.js";

const directory = mkdtempSync(join(tmpdir(), "agent-config-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const DEVICES = { begin() {}, end() {}, running: () => 0, hold() {}, gpus: [{ gpuId: "sim-0" }, { gpuId: "sim-1" }] };

function load(yaml: string, env: NodeJS.ProcessEnv = {}): AgentConfig {
  const file = join(directory, "agent.yaml");
  writeFileSync(file, yaml);
  return loadAgentConfig(file, env);
}

function refusal(yaml: string, env: NodeJS.ProcessEnv = {}): string {
  try {
    load(yaml, env);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentConfigError);
    return (error as Error).message;
  }
  throw new Error("the configuration was accepted");
}

describe("loadAgentConfig", () => {
  test("without a file everything has a default", () => {
    expect(loadAgentConfig(undefined, {})).toEqual({
      nodeId: hostname(),
      routerAddress: "127.0.0.1:50051",
      restartCommand: null,
      credentials: { key: "", keyFile: "", ca: "", cert: "", certKey: "" },
      logLevel: "info",
      probe: { mode: "auto", recordedPath: "", nvmlLibrary: "libnvidia-ml.so.1", kernelLog: "auto", simulated: { gpus: 4, kind: "A100-80GB", speed: 1, eventsFile: "" } },
      runners: { openai: [], exec: [], simulated: null },
    });
  });

  test("the key of the environment goes over the one of a file; certificates need TLS", () => {
    expect(load("router: { key_file: agent.key, ca_file: ca.crt }\n").credentials).toEqual({ key: "", keyFile: "agent.key", ca: "ca.crt", cert: "", certKey: "" });
    expect(loadAgentConfig(undefined, { GPU_ROUTER_API_KEY: "gr_x" }).credentials.key).toBe("gr_x");
    expect(() => load("router: { cert_file: a.crt, cert_key_file: a.key }\n")).toThrow(/certificates come with TLS/);
    expect(() => load("router: { cert_file: a.crt, ca_file: ca.crt }\n")).toThrow(/belong together/);
  });

  test("a file of comments is a file of defaults", () => {
    expect(load("# nothing yet\n")).toEqual(loadAgentConfig(undefined, {}));
  });

  test("the example file is valid, and runners can be made of it", async () => {
    const config = loadAgentConfig("deploy/agent.example.yaml", {});
    expect(config.nodeId).toBe("gpu-node-1");
    expect(config.runners.openai[0]).toEqual({
      name: "vllm-0",
      baseUrl: "http://127.0.0.1:8001/v1",
      apiKeyEnv: "",
      gpuIds: ["GPU-5d2b1f0e-8c1d-4f7a-9a34-0c1d2e3f4a5b"],
      types: ["inference"],
      loads: null,
      discoveryIntervalMs: 10_000,
      inactivityTimeoutMs: 300_000,
    });
    expect(config.runners.exec[0]).toMatchObject({ name: "finetune-lora", cwd: "/opt/train", killGraceMs: 30_000, maxOutputBytes: 1 << 20 });
    const made = createRunners({ ...config, runners: { ...config.runners, openai: [] } }, DEVICES);
    expect(made.map(({ name, kind }) => [name, kind])).toEqual([["finetune-lora", "exec"], ["simulated", "simulated"]]);
    await Promise.all(made.map((runner) => runner.close()));
  });

  test("what is said for all commands holds for each that does not say otherwise: an account as a whole, limits one by one", () => {
    const { exec } = load(`
runners:
  exec_defaults: { run_as: { user: train, group: 1001, umask: "027" }, limits: { open_files: 64, niceness: 5 } }
  exec:
    - { name: all, argv: [/bin/true] }
    - { name: own, argv: [/bin/true], run_as: 65534, limits: { open_files: 0, cpu_s: 9 } }
    - { name: agent, argv: [/bin/true], run_as: null, limits: { open_files: 0, niceness: 0 } }
`).runners;
    const limits = { cpuS: 0, memoryMib: 0, addressSpaceMib: 0, openFiles: 64, processes: 0, fileSizeMib: 0, niceness: 5 };
    expect(exec).toMatchObject([
      { runAs: { user: "train", group: "1001", umask: 0o027 }, limits },
      { runAs: { user: "65534", group: "", umask: 0o077 }, limits: { ...limits, openFiles: 0, cpuS: 9 } },
      { runAs: null, limits: null },
    ]);
    expect(load("runners: {exec: [{name: a, argv: [/bin/true]}]}").runners.exec).toMatchObject([{ runAs: null, limits: null }]);
  });

  test("every kind of GPU that can be simulated can be configured, and no other", () => {
    for (const kind of GPU_KIND_NAMES) expect(load(`probe: {mode: simulated, simulated: {kind: ${kind}}}`).probe.simulated.kind).toBe(kind);
    const message = refusal("probe: {mode: simulated, simulated: {kind: Z9000}}");
    expect(message.split("; it is")[0]?.match(/"[A-Z0-9][A-Z0-9a-z-]+"/g)).toEqual(GPU_KIND_NAMES.map((kind) => `"${kind}"`));
  });

  test("the environment wins over the file", () => {
    const config = load("node_id: a\nrouter_address: 10.0.0.1:1", { GPU_ROUTER_NODE_ID: "b", GPU_ROUTER_ADDRESS: "router:50051" });
    expect([config.nodeId, config.routerAddress]).toEqual(["b", "router:50051"]);
  });

  test("a bad value from the environment is blamed on the environment", () => {
    expect(refusal("", { GPU_ROUTER_ADDRESS: "nowhere" })).toContain("GPU_ROUTER_ADDRESS");
  });

  test("a slash at the end of base_url does not matter", () => {
    expect(load("runners: {openai: [{name: a, base_url: 'http://localhost:1/v1/'}]}").runners.openai[0]?.baseUrl).toBe("http://localhost:1/v1");
  });

  const exec = (rest: string): string => `runners: {exec: [{name: a, argv: [/bin/true], ${rest}}]}`;
  test.each([
    ["an unknown key", "nodeid: x", ["nodeid"]],
    ["a nested unknown key", "probe: {mod: auto}", ["probe", "mod"]],
    ["an unknown probe mode", "probe: {mode: rocm}", ["probe.mode", "nvidia-smi"]],
    ["a key given twice", "node_id: a\nnode_id: b", ["unique", "line 2"]],
    ["text that is not YAML", "runners: [", ["not valid YAML"]],
    ["a list instead of keys", "- a", ["keys and values"]],
    ["an address without a port", "router_address: localhost", ["router_address", "host:port"]],
    ["a base_url of another scheme", "runners: {openai: [{name: a, base_url: 'ftp://x'}]}", ["runners.openai[0].base_url", "http://"]],
    ["a base_url with a password", "runners: {openai: [{name: a, base_url: 'http://u:p@x/v1'}]}", ["base_url", "without user"]],
    ["a time-out that the HTTP client cannot keep", "runners: {openai: [{name: a, base_url: 'http://x', inactivity_timeout_s: 900}]}", ["inactivity_timeout_s", "300"]],
    ["loads on several GPUs", "runners: {openai: [{name: a, base_url: 'http://x', loads: ollama, gpu_ids: [a, b]}]}", ["runners.openai[0].gpu_ids", "one GPU"]],
    ["a server that nobody knows how to tell", "runners: {openai: [{name: a, base_url: 'http://x', loads: vllm, gpu_ids: [a]}]}", ["runners.openai[0].loads", "ollama"]],
    ["a key variable that is not set", "runners: {openai: [{name: a, base_url: 'http://x', api_key_env: NO_SUCH_KEY}]}", ["NO_SUCH_KEY", "not set"]],
    ["a command without argv", "runners: {exec: [{name: a, argv: []}]}", ["runners.exec[0].argv"]],
    ["a command as one string", "runners: {exec: [{name: a, argv: 'rm -rf /'}]}", ["runners.exec[0].argv"]],
    ["a relative cwd", exec("cwd: work"), ["cwd", "absolute"]],
    ["a variable that pins the GPU", exec("env: {CUDA_VISIBLE_DEVICES: '0'}"), ["CUDA_VISIBLE_DEVICES", "set by the agent"]],
    ["a number where text belongs", exec("env: {X: 1}"), ["runners.exec[0].env.X", "string"]],
    ["an account without a user", exec("run_as: {group: train}"), ["runners.exec[0].run_as"]],
    ["a mask that is none", exec("run_as: {user: train, umask: '999'}"), ["umask", "octal"]],
    ["a limit that does not exist", exec("limits: {memory: 1}"), ["limits", "memory"]],
    ["a negative limit for all", "runners: {exec_defaults: {limits: {cpu_s: -1}}}", ["runners.exec_defaults.limits.cpu_s"]],
    ["a negative grace", exec("kill_grace_s: -1"), ["kill_grace_s"]],
    ["a name used by two kinds of runner", "runners: {openai: [{name: a, base_url: 'http://x'}], exec: [{name: a, argv: [/bin/true]}]}", ['"a"', "runners.exec[0].name"]],
    ["the name of the simulated runner", "runners: {exec: [{name: simulated, argv: [/bin/true]}]}", ["simulated", "taken"]],
    ["a recorded probe without captures", "probe: {mode: recorded}", ["probe.recorded_path"]],
    ["captures that nothing replays", "probe: {mode: nvml, recorded_path: /x}", ["probe.recorded_path"]],
    ["a simulated runner on real GPUs", "probe: {mode: nvml}\nrunners: {simulated: true}", ["runners.simulated", "made-up"]],
    ["simulated models on real GPUs", "probe: {mode: nvml}\nrunners: {simulated: {models: [llama-3.1-8b]}}", ["runners.simulated", "made-up"]],
    ["simulated models under another key", "runners: {simulated: {model: a}}", ["runners.simulated", "{ models: [NAME, …] }"]],
    ["no simulated model", "runners: {simulated: {models: []}}", ["runners.simulated"]],
    ["a simulated model named twice", "runners: {simulated: {models: [a, a]}}", ["runners.simulated", "named twice"]],
    ["the name of the simulated runner of one GPU", "runners: {exec: [{name: simulated-3, argv: [/bin/true]}]}", ["simulated-3", "taken"]],
    ["a simulation without speed", "probe: {simulated: {speed: 0}}", ["probe.simulated.speed"]],
  ])("refuses %s, naming file, key and what is allowed", (_, yaml, words) => {
    const message = refusal(yaml);
    for (const word of [...words, join(directory, "agent.yaml")]) expect(message).toContain(word);
  });

  test("an alias bomb is refused, not expanded", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 8; level += 1) lines.push(`a${level}: &a${level} [${Array(10).fill(`*a${level - 1}`).join(", ")}]`);
    expect(refusal(lines.join("\n"))).toContain("alias");
  });

  test("a file that is not there is named with the reason", () => {
    expect(() => loadAgentConfig(join(directory, "absent.yaml"), {})).toThrow(/absent\.yaml.*cannot be read.*ENOENT/);
  });
});

describe("createRunners", () => {
  test("the simulated runner is there by default exactly where the GPUs are simulated", () => {
    const config = loadAgentConfig(undefined, {});
    expect(createRunners(config)).toEqual([]);
    expect(createRunners(config, DEVICES).map(({ name }) => name)).toEqual(["simulated"]);
    expect(createRunners({ ...config, runners: { ...config.runners, simulated: false } }, DEVICES)).toEqual([]);
    expect(() => createRunners({ ...config, runners: { ...config.runners, simulated: true } })).toThrow("probe.mode");
  });

  test("with models the simulated runner is one for each GPU, and every model fits", () => {
    const config = load("probe: { mode: simulated, simulated: { kind: RTX-4090 } }\nrunners: { simulated: { models: [llama-3.1-8b, mistral-7b] } }\n");
    const runners = createRunners(config, DEVICES);
    expect(runners.map((runner) => [runner.name, runner.describe().gpuIds])).toEqual([["simulated-0", ["sim-0"]], ["simulated-1", ["sim-1"]]]);
    const withLarge = { ...config, runners: { ...config.runners, simulated: { models: ["llama-3.1-8b", "qwen3-32b"] } } };
    expect(() => createRunners(withLarge, DEVICES)).toThrow(/qwen3-32b, which does not fit a simulated RTX-4090/);
  });
});
