// The documents are true: their commands run, their links lead somewhere, their tables are those of the code.
import { afterAll, beforeAll, describe, expect, test as always } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { RequestStateSchema } from "../../gen/gpurouter/v1/router_pb.js";
import { ApiError, type Outcome } from "../../src/api/outcomes.js";
import { loadAgentConfig } from "../../src/config/agent-config.js";
import { lastFilters, requestFilters, stateFilters, strategies } from "../../src/core/scheduling/registry.js";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { loadRouterConfig } from "../../src/config/router-config.js";
import { CLI, ROOT, startRealFleet, type RealFleet } from "../interop/real-fleet.js";
import { grpcurl, python, testWith } from "../interop/tools.js";
import { expectOutput } from "./expect-output.js";
import { blocksOf, stepsOf } from "./markdown.js";
import { runBlock } from "./run-block.js";

const DOCS = readdirSync(path.join(ROOT, "docs")).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`);
const ALL = ["README.md", ...DOCS];
/** Their blocks are run by how-to.test.ts and security.test.ts. */
const RUN_ELSEWHERE = new Set(["docs/architecture.md", "docs/security.md"]);
const tool = grpcurl();
const withGrpcurl = testWith(tool);
const pythonTool = python();
const withPython = testWith(pythonTool);

const text = (file: string): string => readFileSync(path.join(ROOT, file), "utf8");
let directory = "";
let fleet: RealFleet;
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-docs-"));
  fleet = await startRealFleet({ gpus: 2 });
});
afterAll(async () => {
  await fleet?.stop();
  rmSync(directory, { recursive: true, force: true });
});

for (const file of DOCS.filter((name) => !RUN_ELSEWHERE.has(name))) {
  const steps = stepsOf(blocksOf(path.join(ROOT, file)));
  if (steps.length === 0) continue;
  describe(file, () => {
    for (const { block, output } of steps) {
      const test = block.language === "python" ? withPython : block.text.includes("grpcurl ") ? withGrpcurl : always;
      test(`line ${block.line}: ${block.text.split("\n")[0]}`, async () => {
        const http = new URL(fleet.http).host;
        const printed = await runBlock(block, { directory, grpc: fleet.grpc, http, grpcurl: tool.command, python: pythonTool.command });
        if (output) expectOutput(output, printed);
      });
    }
  });
}

describe.each(ALL)("%s", (file) => {
  always("its blocks all promise something that is kept", () => {
    expect(() => blocksOf(path.join(ROOT, file))).not.toThrow();
  });

  always("its links within the repository lead somewhere, headings included", () => {
    const broken = [...text(file).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => {
        const [place = "", heading] = target.split("#");
        const found = place === "" ? path.join(ROOT, file) : path.resolve(ROOT, path.dirname(file), place);
        if (!existsSync(found)) return true;
        return heading !== undefined && !headings(readFileSync(found, "utf8")).includes(heading);
      });
    expect(broken).toEqual([]);
  });

  always("the files that it names in code font exist", () => {
    const named = [...text(file).matchAll(/`((?:src|test|docs|deploy|proto|gen|scripts)\/[\w./-]+)`/g)].map(([, place = ""]) => place);
    expect(named.filter((place) => !existsSync(path.join(ROOT, place)))).toEqual([]);
  });

  always("the parts of configuration that it shows are valid", () => {
    for (const block of blocksOf(path.join(ROOT, file)).filter(({ language }) => language === "yaml")) {
      const place = path.join(directory, "part.yaml");
      writeFileSync(place, block.text);
      const agent = /^(node_id|router_address|router|probe|runners):/m.test(block.text);
      expect(() => (agent ? loadAgentConfig(place, {}) : loadRouterConfig(place, {}))).not.toThrow();
    }
  });

  always("the configuration keys that it names exist", () => {
    const examples = `${text("deploy/router.example.yaml")}\n${text("deploy/agent.example.yaml")}`;
    const sections = "api|auth|tls|load_balancer|request_router|user_quota_manager|error_handler|gpu_monitoring|gpu|agents|journal|callbacks|probe|runners";
    const named = [...text(file).matchAll(new RegExp(`\`(?:${sections})\\.([a-z_.]+)\``, "g"))].map(([, key = ""]) => key.split(".").at(-1) ?? "");
    expect(named.filter((key) => !new RegExp(`^[\\s#-]*${key}:`, "m").test(examples))).toEqual([]);
  });

  always("the commands that it names exist", () => {
    const help = execFileSync(process.execPath, [CLI, "--help"], { encoding: "utf8" });
    const named = [...text(file).matchAll(/(?<=`|npx )gpu-router ([a-z]+)\b/g)].map(([, command]) => command);
    expect(named.filter((command) => !new RegExp(`^  ${command}\\b`, "m").test(help))).toEqual([]);
  });
});

function headings(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-"));
}

/** The rows of the table whose header begins with `first`, as cells. */
function table(file: string, first: string): readonly (readonly string[])[] {
  const lines = text(file).split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${first} |`));
  if (start < 0) throw new Error(`${file} has no table that begins with "${first}"`);
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end < 0 ? undefined : end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

const OVER = { name: "gpu_time", subject: "user", subjectId: "a", limit: 1, used: 1, asked: 1, resetAtMs: 0 } as const;

/** One of each kind; a new kind does not compile until it is here, and is missing in the document until it is there. */
const OUTCOMES: { readonly [K in Exclude<Outcome["kind"], "accepted">]: Extract<Outcome, { readonly kind: K }> } = {
  id_conflict: { kind: "id_conflict", requestId: "a" as never },
  unknown_strategy: { kind: "unknown_strategy", strategy: "a", known: [] },
  queue_full: { kind: "queue_full", what: "requests", limit: 1, retryAfterMs: 1 },
  over_quota: { kind: "over_quota", over: OVER, retryAfterMs: 1 },
  rate_limited: { kind: "rate_limited", over: OVER, retryAfterMs: 1 },
  callbacks_full: { kind: "callbacks_full", what: "callbacks", limit: 1, retryAfterMs: 1 },
  storage_full: { kind: "storage_full", detail: "a", retryAfterMs: 1 },
  draining: { kind: "draining" },
  invalid_argument: { kind: "invalid_argument", violations: [] },
  malformed: { kind: "malformed", type: "a", detail: "a" },
  unknown_request: { kind: "unknown_request", requestId: "a" },
  unknown_gpus: { kind: "unknown_gpus", gpuIds: ["a"] },
  unknown_target: { kind: "unknown_target", target: "node a" },
  restart_refused: { kind: "restart_refused", gpuId: "a", detail: "a" },
  unknown_callback: { kind: "unknown_callback", callbackId: "1" },
  unknown_service: { kind: "unknown_service", service: "a" },
  no_result: { kind: "no_result", requestId: "a" },
  unauthenticated: { kind: "unauthenticated", why: "a" },
  permission_denied: { kind: "permission_denied", why: "a" },
  too_many_attempts: { kind: "too_many_attempts", retryAfterMs: 1 },
  too_many_streams: { kind: "too_many_streams", limit: 1 },
  identity_unavailable: { kind: "identity_unavailable", why: "a" },
  unknown_key: { kind: "unknown_key", keyId: "a" },
  unknown_user: { kind: "unknown_user", userId: "a" },
  first_not_admin: { kind: "first_not_admin" },
  book_full: { kind: "book_full", what: "keys", limit: 1 },
  quotas_full: { kind: "quotas_full", what: "quotas", limit: 1 },
  internal: { kind: "internal" },
};

describe("docs/api.md", () => {
  always("its table of errors is the table of the code", () => {
    const rows = table("docs/api.md", "what came of it").map(([kind = "", grpc, http, again]) => [/^`(\w+)`/.exec(kind)?.[1], grpc, http, again]);
    const real = Object.values(OUTCOMES).map((outcome) => {
      const { kind, code, httpStatus, retryAfterMs } = new ApiError(outcome);
      return [kind, `\`${status[code]}\``, String(httpStatus), retryAfterMs > 0 ? "yes" : "no"];
    });
    const byKind = (a: readonly unknown[], b: readonly unknown[]): number => (String(a[0]) < String(b[0]) ? -1 : 1);
    expect(rows.filter(([kind]) => kind !== "accepted").toSorted(byKind)).toEqual(real.toSorted(byKind));
  });

  always("its table of states has every state of the contract", () => {
    const states = RequestStateSchema.values.map(({ number, name }) => (number === 0 ? "" : `\`${name}\``)).filter((name) => name !== "");
    expect(table("docs/api.md", "state").map(([state]) => state)).toEqual(states);
  });

  always("it has an example of every method", () => {
    const contract = text("proto/gpurouter/v1/router.proto");
    const methods = [...contract.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, method]) => method);
    expect(methods.length).toBeGreaterThan(8);
    for (const method of methods) expect(text("docs/api.md")).toContain(`### ${method}\n`);
    for (const method of methods) expect(text("docs/api.md")).toContain(`gpurouter.v1.RouterService/${method}\n`);
  });

  always("every error code of a request that it explains occurs in the code", () => {
    const source = execFileSync("git", ["grep", "-hoE", '"[a-z_]+"', "--", "src"], { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 26 });
    const codes = table("docs/api.md", "code").map(([code = ""]) => code.replaceAll("`", ""));
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !source.includes(`"${code}"`))).toEqual([]);
  });
});

describe("README.md", () => {
  always("its map names every folder of src", () => {
    const folders = readdirSync(path.join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const map = [...text("README.md").matchAll(/^([\w-]+)\/ {2,}\S/gm)].map(([, name = ""]) => name);
    expect(map.toSorted()).toEqual(folders.toSorted());
  });
});

describe("docs/architecture.md", () => {
  const first = (cells: readonly string[]): string => /`(\w+)`/.exec(cells[0] ?? "")?.[1] ?? "";

  always("it names every filter, in the order in which they run", () => {
    const real = [...stateFilters(DEFAULT_CORE_SETTINGS), ...requestFilters(DEFAULT_CORE_SETTINGS), ...lastFilters].map(({ name }) => name);
    expect(table("docs/architecture.md", "filters, in their order").map(first)).toEqual(real);
  });

  always("it names every strategy", () => {
    expect(table("docs/architecture.md", "strategy").map(first)).toEqual(strategies(DEFAULT_CORE_SETTINGS).map(({ name }) => name));
  });
});

describe("deploy/systemd", () => {
  always.each(["gpu-router", "gpu-router-agent"])("%s.service starts a command that exists, with options that it has", (unit) => {
    const [, command = "", options = ""] = /^ExecStart=.*main\.js (\w+) (.*)$/m.exec(text(`deploy/systemd/${unit}.service`)) ?? [];
    const help = execFileSync(process.execPath, [CLI, command, "--help"], { encoding: "utf8" });
    for (const option of options.match(/--[a-z-]+/g) ?? []) expect(help).toContain(`${option} `);
  });
});

describe("docs/development.md", () => {
  always("the scripts that it names exist", () => {
    const { scripts } = JSON.parse(text("package.json")) as { readonly scripts: Readonly<Record<string, string>> };
    const named = [...`${text("docs/development.md")}${text("README.md")}`.matchAll(/npm (?:run )?(test|start|[a-z]+:[a-z0-9]+|types|lint|generate|bench|build)\b/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe("docs/troubleshooting.md", () => {
  always("the messages that it quotes are those of the code", () => {
    // Words of other programs, which we only pass on.
    const theirs = /EADDRINUSE|EACCES/;
    const source = execFileSync("git", ["grep", "-hI", "-E", ".", "--", "src", "scripts"], { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 26 })
      .replaceAll(/" \+\s*["`]|` \+\s*["`]/g, "")
      .replaceAll(String.raw`\"`, '"')
      .replaceAll("\\`", "`");
    const messages = [...text("docs/troubleshooting.md").matchAll(/^> (.*)$/gm)].map(([, message = ""]) => message);
    expect(messages.length).toBeGreaterThan(8);
    const missing = messages.flatMap((message) =>
      message.split("…").map((part) => part.trim()).filter((part) => part.length > 2 && !theirs.test(part) && !source.includes(part)),
    );
    expect(missing).toEqual([]);
  });
});
