// docs/security.md as a tour: its blocks in their order, in an empty folder, with a router that is started where the page starts one.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ended, ROOT, startProcess, type StartedProcess } from "../interop/real-fleet.js";
import { expectOutput } from "./expect-output.js";
import { blocksOf, stepsOf } from "./markdown.js";
import { runBlock } from "./run-block.js";

let directory = "";
let router: StartedProcess | undefined;
let addresses = { grpc: "nowhere:1", http: "nowhere:1" };
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-security-"));
});
afterAll(async () => {
  if (router) await ended(router.child);
  rmSync(directory, { recursive: true, force: true });
});

describe("docs/security.md", () => {
  for (const { block, output } of stepsOf(blocksOf(path.join(ROOT, "docs/security.md")))) {
    test(`line ${block.line}: ${block.text.split("\n")[0]}`, async () => {
      const [, serve] = /^npx gpu-router (serve .*)$/.exec(block.text) ?? [];
      if (serve !== undefined) {
        router = await startProcess([...serve.split(" "), "--grpc-port", "0", "--http-port", "0", "--grace", "1"], directory, "listening");
        addresses = { grpc: String(router.line["grpc"]), http: String(router.line["http"]) };
        return;
      }
      const printed = await runBlock(block, { directory, ...addresses, grpcurl: "" });
      if (output) expectOutput(output, printed);
    });
  }

  test("it starts a router", () => expect(router?.line["msg"]).toBe("listening"));
});
