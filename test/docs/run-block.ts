// Runs one block of a document as a reader would: in bash, with the addresses of the document replaced by real ones.
import { spawn } from "node:child_process";
import path from "node:path";
import type { Block } from "./markdown.js";
import { CLI, ROOT } from "../interop/real-fleet.js";

export interface Surroundings {
  /** Where commands run and files lie. */
  readonly directory: string;
  /** host:port. */
  readonly grpc: string;
  readonly http: string;
  readonly grpcurl: string;
  /** For blocks in Python; python3 when left out. */
  readonly python?: string;
  /** Further texts of the document and what they stand for here. */
  readonly replacements?: ReadonlyMap<string, string>;
}

const LIMIT_MS = 40_000;
const CTRL_C_AFTER_MS = 2_000;

/** What a document writes, and what it means here. This is the whole list. */
function replaced(text: string, { grpc, http, grpcurl, replacements }: Surroundings): string {
  const table = new Map([
    ["localhost:50051", grpc],
    ["127.0.0.1:50051", grpc],
    ["127.0.0.1:8000", http],
    ["npm run sim --", `'${process.execPath}' '${path.join(ROOT, "test/faults/simulated/main.mjs")}'`],
    ["npx gpu-router", `'${process.execPath}' '${CLI}'`],
    ["grpcurl -", `'${grpcurl}' -`],
    ...(replacements ?? []),
  ]);
  let result = text;
  for (const [from, to] of table) result = result.replaceAll(from, to);
  return result;
}

function invocation(language: string, script: string, { directory, python = "python3" }: Surroundings): readonly [command: string, args: readonly string[], cwd: string] {
  if (language === "js") return [process.execPath, ["--input-type=module", "-e", script], ROOT];
  return language === "python" ? [python, ["-c", script], directory] : ["bash", ["-euo", "pipefail", "-c", script], directory];
}

/** Resolves to what the block printed on stdout; rejects when it does not end as it says. */
export function runBlock(block: Block, surroundings: Surroundings): Promise<string> {
  const script = replaced(block.text, surroundings);
  const [command, args, cwd] = invocation(block.language, script, surroundings);
  return new Promise((resolve, reject) => {
    // A group of its own, to be ended as a whole.
    const child = spawn(command, args, { cwd, env: { ...process.env, GPU_ROUTER_ADDRESS: surroundings.grpc }, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const signal = (name: NodeJS.Signals): void => void (child.pid !== undefined && child.exitCode === null && process.kill(-child.pid, name));
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
    child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
    const ctrlC = block.options.has("ctrl-c");
    const timers = [setTimeout(() => signal("SIGKILL"), LIMIT_MS), ...(ctrlC ? [setTimeout(() => signal("SIGINT"), CTRL_C_AFTER_MS)] : [])];
    child.on("error", reject);
    child.on("close", (code, by) => {
      for (const timer of timers) clearTimeout(timer);
      const expected = block.options.get("exit") ?? "0";
      const asExpected = ctrlC ? by === "SIGINT" || code === 0 || code === 130 : String(code) === expected;
      if (asExpected) resolve(stdout);
      else reject(new Error(`line ${block.line} ended with ${code ?? by}, not ${expected}:\n${script}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`));
    });
  });
}
