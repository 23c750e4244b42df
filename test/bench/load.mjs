// Load for the benchmarks: h2load (nghttp2) against one unary method; it costs so little that the server is what is measured.
import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Writes a gRPC message frame to a file for h2load. */
export function frameFile(message) {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  const file = path.join(mkdtempSync(path.join(tmpdir(), "gpu-router-bench-")), "body.bin");
  writeFileSync(file, frame);
  return file;
}

export async function haveH2load() {
  return run("h2load", ["--version"]).then(() => true, () => false);
}

/** Calls per second over `requests` calls; throws unless all succeed at the HTTP level. */
export async function h2load({ port, method, body, requests, connections = 8, streams = 32, headers = [] }) {
  const { stdout } = await run("h2load", [
    "-n", `${requests}`, "-c", `${connections}`, "-m", `${streams}`, "-t", "1", "-d", body,
    "-H", "content-type: application/grpc+proto", "-H", "te: trailers", ...headers.flatMap((header) => ["-H", header]), `http://127.0.0.1:${port}${method}`,
  ], { maxBuffer: 1 << 20 });
  const rate = /finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(stdout);
  const succeeded = /(\d+) succeeded, (\d+) failed/.exec(stdout);
  if (!rate || Number(succeeded?.[1]) !== requests) throw new Error(`h2load did not succeed:\n${stdout}`);
  return Number(rate[1]);
}
