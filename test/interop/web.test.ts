// Connect and gRPC-Web over fetch, as a browser, Deno or an edge worker speaks them: the same contract on the HTTP port.
import { createClient, ConnectError, Code, type Transport } from "@connectrpc/connect";
import type { UniversalClientFn } from "@connectrpc/connect/protocol";
import { createTransport as createConnectTransport } from "@connectrpc/connect/protocol-connect";
import { createTransport as createGrpcWebTransport } from "@connectrpc/connect/protocol-grpc-web";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { RequestState, RouterService, type RequestInfo } from "../../gen/gpurouter/v1/router_pb.js";
import { startRealFleet, type RealFleet } from "./real-fleet.js";

let fleet: RealFleet;
beforeAll(async () => {
  fleet = await startRealFleet({ gpus: 2 });
});
afterAll(() => fleet?.stop());

/** fetch as Connect sees it. Sends a request as a whole, as browsers do; reads an answer as it comes. */
const overFetch: UniversalClientFn = async ({ url, method, header, body, signal }) => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  const response = await fetch(url, { method, headers: header, body: Buffer.concat(chunks), signal: signal ?? null });
  return { status: response.status, header: response.headers, body: pieces(response), trailer: new Headers() };
};

async function* pieces({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body) yield* body;
}

function transport(protocol: "connect" | "grpc-web", useBinaryFormat: boolean): Transport {
  const create = protocol === "connect" ? createConnectTransport : createGrpcWebTransport;
  return create({
    httpClient: overFetch,
    baseUrl: fleet.http,
    useBinaryFormat,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: 1 << 24,
    writeMaxBytes: 1 << 24,
  });
}

describe.each([
  ["connect", true],
  ["connect", false],
  ["grpc-web", true],
] as const)("%s, binary %s", (protocol, binary) => {
  test("a request is routed and watched to its result", async () => {
    const client = createClient(RouterService, transport(protocol, binary));
    const { requestId } = await client.route({ modelId: "demo", payload: { case: "payloadJson", value: { prompt: "hello" } } });
    let last: RequestInfo | undefined;
    let first = "";
    for await (const { event } of client.watch({ requestId })) {
      first ||= event.case ?? "";
      if (event.case === "request") last = event.value;
    }
    expect(first).toBe("request");
    expect(last).toMatchObject({ requestId, state: RequestState.COMPLETED });
    expect(JSON.parse(new TextDecoder().decode(last?.result))).toMatchObject({ simulated: true, model: "demo" });
    // The address in the answer gives the same bytes.
    const download = await fetch(last?.resultUrl ?? "");
    expect(new Uint8Array(await download.arrayBuffer())).toEqual(last?.result);
  });

  test("an error comes with its code, its words and the fields to blame", async () => {
    const client = createClient(RouterService, transport(protocol, binary));
    const error = await client.route({ priority: 9 }).catch((caught: unknown) => ConnectError.from(caught));
    expect(error).toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(/^model_id: .*; priority: /) });
    const [violations] = (error as ConnectError).findDetails(ViolationsSchema);
    expect(violations?.violations.map(({ field }) => field?.elements[0]?.fieldName)).toEqual(["model_id", "priority"]);
  });

  test("WatchGpus begins with a snapshot and ends when the client has seen enough", async () => {
    const client = createClient(RouterService, transport(protocol, binary));
    const seen: boolean[] = [];
    for await (const { snapshot, gpus } of client.watchGpus({})) {
      seen.push(snapshot);
      expect(gpus.length).toBeGreaterThan(0);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual([true, false]);
  });
});

test("plain JSON over fetch, as curl sends it", async () => {
  const post = (method: string, body: unknown): Promise<Response> =>
    fetch(`${fleet.http}/gpurouter.v1.RouterService/${method}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const routed = (await (await post("Route", { model_id: "demo" })).json()) as { readonly requestId: string };
  expect(await (await post("Status", { request_id: routed.requestId })).json()).toMatchObject({ request: { requestId: routed.requestId } });
  const misspelt = await post("Route", { model_id: "demo", priorty: 5 });
  expect(misspelt.status).toBe(400);
  expect(await misspelt.text()).toContain("priorty");
});

test("the health of the router is a plain GET", async () => {
  const response = await fetch(`${fleet.http}/health`);
  expect(await response.json()).toMatchObject({ status: "ok", connected_nodes: 1 });
});

test("a page of another origin that points its own name at the port is turned away", async () => {
  // fetch does not let the Host header be set, so this one is spoken by hand.
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    request(`${fleet.http}/health`, { headers: { host: "evil.example" } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(403);
});
