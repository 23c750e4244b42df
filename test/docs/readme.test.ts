// Every command of the README, in its order, on the real thing: `npm start`, the tour, the restart with runners.
import { afterAll, beforeAll, describe, expect, test as always } from "@jest/globals";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { CLI, ROOT } from "../interop/real-fleet.js";
import { grpcurl, testWith } from "../interop/tools.js";
import { startDaemon, type Daemon } from "./daemon.js";
import { expectOutput } from "./expect-output.js";
import { blocksOf, stepsOf, type Block } from "./markdown.js";
import { runBlock } from "./run-block.js";

const README = path.join(ROOT, "README.md");
const tool = grpcurl();
const withGrpcurl = testWith(tool);
const blocks = blocksOf(README);
const MODEL = "llama-3.2-1b";

let directory = "";
let daemon: Daemon | undefined;
let openAi: Server;
let completions = 0;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-readme-"));
  openAi = createServer((request, response) => {
    if (request.url === "/v1/models") return void response.end(JSON.stringify({ data: [{ id: MODEL }] }));
    if (request.url === "/metrics") return void response.writeHead(404).end();
    completions += 1;
    const chunk = { choices: [{ index: 0, delta: { content: "hello yourself" }, finish_reason: "stop" }] };
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
  });
  await new Promise<void>((resolve) => openAi.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  await daemon?.ctrlC();
  openAi?.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("README.md", () => {
  for (const { block, output } of stepsOf(blocks)) {
    const name = `line ${block.line}: ${block.text.split("\n")[0]}`;
    if (block.text === "npm test") {
      // What runs this test.
      always(name, () => expect((JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as { scripts: object }).scripts).toHaveProperty("test"));
      continue;
    }
    const test = block.text.includes("grpcurl ") ? withGrpcurl : always;
    test(
      name,
      async () => {
        const printed = block.text.startsWith("npm start") ? await start(block) : await run(block);
        if (output) expectOutput(output, printed);
      },
      90_000,
    );
  }

  always("the requests to the OpenAI-compatible server reached it", () => {
    expect(completions).toBe(1);
  });

  always("the report of the replay is one page with plots that needs no network", () => {
    const page = readFileSync(path.join(directory, "report.html"), "utf8");
    const plots = [...page.matchAll(/data-plot="([a-z-]+)"/g)].map(([, plot]) => plot);
    expect(plots).toEqual(["throughput", "in-flight", "latency", "distribution"]);
    expect(/default-src 'none'/.test(page) && !/(src|href)="https?:/.test(page)).toBe(true);
  });

  always("npx finds the command line in a clone", async () => {
    expect(await runBlock({ ...blocks[0]!, text: `cd '${ROOT}' && npx --no gpu-router --version` }, { directory, grpc: "", http: "", grpcurl: "", replacements: new Map([[`'${process.execPath}' '${CLI}'`, "npx gpu-router"]]) })).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

/** A daemon of the document; the one before it is stopped, as the document says. */
async function start(block: Block): Promise<string> {
  await daemon?.ctrlC();
  daemon = undefined;
  const files = blocks.filter((file) => file.language === "yaml" && file.options.has("file") && file.line < block.line);
  let command = block.text;
  for (const file of files) {
    const place = path.join(directory, file.options.get("file") ?? "");
    writeFileSync(place, file.text.replaceAll("127.0.0.1:8001", `127.0.0.1:${(openAi.address() as AddressInfo).port}`));
    command = command.replaceAll(file.options.get("file") ?? "", place);
  }
  const simulate = files.length === 0 ? ["--simulate", "4"] : [];
  daemon = await startDaemon(command, ["--grpc-port", "0", "--http-port", "0", "--data", path.join(directory, "data"), ...simulate]);
  if (files.length > 0) await discovered();
  return daemon.stdout();
}

function run(block: Block): Promise<string> {
  if (!daemon) throw new Error(`line ${block.line} comes before npm start`);
  return runBlock(block, { directory, grpc: daemon.grpc, http: daemon.http, grpcurl: tool.command });
}

/** The agent asks its servers for their models in the background. */
async function discovered(): Promise<void> {
  const giveUpAtMs = performance.now() + 15_000;
  for (;;) {
    const fleet = await (await fetch(`http://${daemon?.http}/gpurouter.v1.RouterService/GpuStatus`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).text();
    if (fleet.includes(MODEL)) return;
    if (performance.now() > giveUpAtMs) throw new Error(`${MODEL} was not discovered: ${fleet}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
