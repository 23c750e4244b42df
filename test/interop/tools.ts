// Other people's programs that interop and the documentation are tested with, and what happens where they are missing:
// the test skips and says so, or fails where everything is required. scripts/interop-tools.sh installs them.
import { test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** Where scripts/interop-tools.sh puts them. */
export const TOOLS = process.env["GPU_ROUTER_TOOLS"] ?? path.join(process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "gpu-router-tools");

/** A program that could be found; `missing` says why not. */
export interface Tool {
  readonly command: string;
  readonly missing: string;
}

export function grpcurl(): Tool {
  return firstThatRuns("grpcurl", [path.join(TOOLS, "bin/grpcurl"), "grpcurl"], ["-version"]);
}

/** Any Python 3.9 or later. */
export function python(): Tool {
  return firstThatRuns("Python", ["python3", path.join(TOOLS, "python/bin/python")], ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]);
}

/** A Python with grpcio, grpcio-status and grpcio-tools. */
export function pythonWithGrpc(): Tool {
  return firstThatRuns("Python with grpcio and grpcio-tools", [path.join(TOOLS, "python/bin/python"), "python3"], ["-c", "import grpc, grpc_status, grpc_tools.protoc"]);
}

function firstThatRuns(name: string, candidates: readonly string[], args: readonly string[]): Tool {
  const command = candidates.find((candidate) => (!path.isAbsolute(candidate) || existsSync(candidate)) && spawnSync(candidate, args, { timeout: 20_000 }).status === 0);
  return { command: command ?? "", missing: command === undefined ? `${name} (scripts/interop-tools.sh installs it)` : "" };
}

/** Whether missing things fail a test rather than skip it. */
export const requireAll = process.env["GPU_ROUTER_REQUIRE_ALL"] === "1";

/** `test` where the tool is there, else a skip with the reason printed, else an error where everything is required. */
export function testWith({ missing }: Tool): typeof test | typeof test.skip {
  if (missing === "") return test;
  if (requireAll) throw new Error(`Required here, but missing: ${missing}`);
  process.stderr.write(`Skipped: tests with ${missing}\n`);
  return test.skip;
}
