// What callers send and what work answers is in no log, whatever goes wrong with it: real processes that log all that they can.
import { createServer, type IncomingMessage } from "node:http";
import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "@jest/globals";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { afterThisTest, eventually, startAgent, startRouter, type RouterProcess } from "./harness.js";

const ASKED = "asked-in-confidence-4711";
const ANSWERED = "answered-in-confidence-4712";

/** Every spelling in which a log might have it. */
const spellings = (text: string): string[] => [text, ...[0, 1, 2].map((shift) => Buffer.from("x".repeat(shift) + text).toString("base64").slice(4, -4)), Buffer.from(text).toString("hex"), [...Buffer.from(text)].join(",")];

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

/** An inference server that repeats what it was asked in every kind of trouble, by model; and a receiver of callbacks that does, too. */
async function chatterbox(): Promise<string> {
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { model = "" } = body.startsWith("{") ? (JSON.parse(body) as { model?: string }) : {};
      if (request.url === "/v1/models") return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ data: ["refuses", "fails", "breaks"].map((id) => ({ id })) }));
      if (request.url !== "/v1/chat/completions") return response.writeHead(500).end(`${ANSWERED}: ${body}`);
      if (model === "refuses") return response.writeHead(400).end(JSON.stringify({ error: { message: `${ANSWERED}: ${body}` } }));
      if (model === "fails") return response.writeHead(500).end(`${ANSWERED}: ${body}`);
      response.writeHead(200, { "content-type": "text/event-stream" }).write(`data: ${JSON.stringify({ choices: [{ delta: { content: ANSWERED } }] })}\n\ndata: {${ANSWERED}\n\n`, () => response.destroy());
      return response;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterThisTest(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sends bytes that are no message of the contract to Route. */
async function malformed({ grpcAddress }: RouterProcess): Promise<void> {
  const session = connect(`http://${grpcAddress}`);
  const text = Buffer.from(ASKED);
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), text]);
  const call = session.request({ ":method": "POST", ":path": "/gpurouter.v1.RouterService/Route", "content-type": "application/grpc", te: "trailers" });
  call.end(frame);
  call.resume();
  await new Promise<void>((resolve) => call.on("close", resolve));
  session.close();
}

test("payloads, outputs and results are in no log, at the finest level, however the work ends and whatever goes wrong on the way", async () => {
  const url = await chatterbox();
  const { hostname, port } = new URL(url);
  const router = await startRouter({ config: { log_level: "trace", request_router: { retry_delay: 0, max_retries: 1 }, callbacks: { allow: [hostname], ports: [Number(port)], retry_delay: 0.01, max_tries: 2 } } });
  const shell = (name: string, script: string) => ({ name, argv: ["/bin/sh", "-c", script] });
  const runners = {
    simulated: false,
    openai: [{ name: "server", base_url: `${url}/v1`, discovery_interval_s: 0.1 }],
    exec: [
      shell("answers", `cat; echo "${ANSWERED}"`),
      shell("large", `head -c 100000 /dev/zero | tr '\\0' x > "$GPU_ROUTER_RESULT_FILE"; printf '${ANSWERED}' >> "$GPU_ROUTER_RESULT_FILE"`),
      shell("complains", `cat >&2; echo "${ANSWERED}" >&2; exit 3`),
      shell("dies", `cat; echo "${ANSWERED}"; kill -SEGV $$`),
      shell("crawls", `cat; echo; echo "::progress 0.5 ${ANSWERED}"; sleep 300`),
    ],
  };
  const agent = await startAgent({ nodeId: "node-1", router: router.grpcAddress, gpus: 2, runners, logLevel: "trace" });
  const { client } = router;
  await eventually("the models are discovered", async () => (await client.gpuStatus({})).gpus[0]?.models.includes("breaks"));

  const send = (requestId: string, modelId: string, payload: object = { prompt: ASKED }) =>
    client.route({ requestId, modelId, callbackUrl: `${url}/${ASKED}`, payload: { case: "payloadBytes", value: Buffer.from(JSON.stringify(payload)) } });
  const stateOf = async (requestId: string) => (await client.status({ requestId })).request;
  const expected: readonly (readonly [string, RequestState])[] = [
    ["answers", RequestState.COMPLETED],
    ["large", RequestState.COMPLETED],
    ["complains", RequestState.FAILED],
    ["dies", RequestState.FAILED],
    ["refuses", RequestState.FAILED],
    ["fails", RequestState.FAILED],
    ["breaks", RequestState.FAILED],
  ];
  for (const [model] of expected) await send(model, model, { messages: [{ role: "user", content: ASKED }] });
  // No JSON, where a server wants some.
  await client.route({ requestId: "no-json", modelId: "refuses", payload: { case: "payloadBytes", value: Buffer.from(`{"messages": ${ASKED}`) } });
  for (const [model, state] of [...expected, ["no-json", RequestState.FAILED] as const]) await eventually(`the end of ${model}`, async () => (await stateOf(model))?.state === state);
  // That there is something to keep quiet about: callers are told.
  expect((await stateOf("complains"))?.error?.message).toContain(ASKED);
  expect(Buffer.from((await stateOf("answers"))?.result ?? []).toString()).toContain(ANSWERED);

  // Calls that are refused.
  await malformed(router);
  const post = (body: string) => fetch(`${router.httpUrl}/gpurouter.v1.RouterService/Route`, { method: "POST", headers: { "content-type": "application/json" }, body });
  expect((await post(`{"modelId": "m", "payloadJson": {"prompt": ${ASKED}`)).status).toBe(400);
  expect((await post(JSON.stringify({ modelId: "m", payloadText: ASKED }))).status).toBe(400);
  await expect(send("answers", "answers", { prompt: `${ASKED}, but another` })).rejects.toMatchObject({ code: 6 });
  await expect(client.route({ modelId: "m", priority: 9, payload: { case: "payloadBytes", value: Buffer.from(ASKED) } })).rejects.toMatchObject({ code: 3 });

  // A cancel, a lost agent, a router that comes back from its journal.
  await send("cancelled", "crawls");
  await eventually("it runs", async () => (await stateOf("cancelled"))?.progress === 0.5);
  await client.cancel({ requestId: "cancelled", reason: "enough" });
  await send("lost", "crawls");
  await eventually("it runs", async () => (await stateOf("lost"))?.progress === 0.5);
  await agent.kill();
  await eventually("its agent is missed", async () => ((await (await fetch(`${router.httpUrl}/health`)).json()) as { connected_nodes: number }).connected_nodes === 0);
  await eventually("callbacks are given up", () => router.process.logged.some(({ msg }) => msg.startsWith("callback given up")));
  await router.process.kill();
  const again = await router.restart();
  expect((await again.client.status({ requestId: "lost" })).request).toMatchObject({ requestId: "lost", modelId: "crawls" });
  await again.process.stop();

  const logs = [router.process, again.process, agent].map(({ stdout, stderr }) => stdout + stderr).join("\n");
  expect(logs).toContain('"attempt received"');
  expect(logs).toContain("callback failed and is tried again");
  for (const spelling of [ASKED, ANSWERED].flatMap(spellings)) expect(logs.split("\n").filter((line) => line.includes(spelling))).toEqual([]);
});
