// What somebody without rights, or with fewer than he would like, can try over the wire.
import { once } from "node:events";
import * as http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { describe, expect, test } from "@jest/globals";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { AgentService } from "../../../gen/gpurouter/v1/agent_pb.js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import { makeKey } from "../../../src/auth/api-key.js";
import { grpcMethodDefinition } from "../../../src/wire/grpc-service-definition.js";
import { basic, OPERATOR } from "../auth/made-identity.js";
import { aborted } from "./fake-router.js";
import { callConnect, callGrpc, serveGuarded, type Guarded } from "./guarded.js";
import { afterThisTest } from "./serving.js";

const { list, route, watchGpus } = RouterService.method;
const ROUTE_HEADERS = { ":method": "POST", ":path": "/gpurouter.v1.RouterService/List", "content-type": "application/grpc", te: "trailers" };

/** Sends text as it is to the HTTP port; resolves to all that comes back until the other side closes. */
async function rawHttp(address: string, text: string): Promise<string> {
  const [host = "", port] = address.split(":");
  const socket = connect(Number(port), host);
  let answer = "";
  socket.on("data", (data: Buffer) => (answer += data.toString("latin1")));
  socket.on("error", () => {});
  socket.write(text);
  await once(socket, "close");
  return answer;
}

const httpCall = (headers: readonly string[]): string =>
  ["POST /gpurouter.v1.RouterService/List HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", "content-length: 2", "connection: close", ...headers, "", "{}"].join("\r\n");

describe("guessing keys", () => {
  test("is throttled on both ports together, and says how long to wait", async () => {
    const { grpc, http, keys } = await serveGuarded();
    const codes: number[] = [];
    for (let count = 0; count < 20; count += 1) {
      const authorization = `Bearer ${makeKey().text}`;
      const outcome = count % 2 ? await callGrpc(grpc, list, {}, { authorization }) : await callConnect(`http://${http}`, list, {}, { authorization });
      codes.push(outcome.code);
    }
    expect(codes.slice(0, 10)).toEqual(Array(10).fill(status.UNAUTHENTICATED));
    expect(codes.slice(10)).toEqual(Array(10).fill(status.RESOURCE_EXHAUSTED));
    const refused = await fetch(`http://${http}/api/v1/requests/x/result`, { headers: { authorization: `Bearer ${makeKey().text}` } });
    expect([refused.status, Number(refused.headers.get("retry-after"))]).toEqual([429, expect.any(Number)]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    // Behind the same address, the right key goes on.
    expect((await callGrpc(grpc, list, {}, { authorization: `Bearer ${keys.user}` })).code).toBe(status.OK);
  });

  test("tells nothing by its words: an id that exists and one that does not", async () => {
    const { grpc, keys } = await serveGuarded();
    const guess = makeKey().text;
    const known = await callGrpc(grpc, list, {}, { authorization: `Bearer ${keys.user.slice(0, 16)}${guess.slice(16)}` });
    expect(await callGrpc(grpc, list, {}, { authorization: `Bearer ${guess}` })).toEqual(known);
  });
});

describe("smuggling headers", () => {
  test("two authorization headers over HTTP are refused in any order, though one of them is right", async () => {
    const { http, keys } = await serveGuarded();
    const right = `authorization: Bearer ${keys.user}`;
    const wrong = `Authorization: Bearer ${makeKey().text}`;
    expect(await rawHttp(http, httpCall([right]))).toMatch(/^HTTP\/1.1 200 /);
    for (const both of [[right, wrong], [wrong, right], [right, right], [right, "AUTHORIZATION: Basic YTpi"]]) {
      const answer = await rawHttp(http, httpCall(both));
      expect(answer).toMatch(/^HTTP\/1.1 401 /);
      expect(answer).toContain("more than one authorization header");
    }
  });

  test("two authorization headers over HTTP/2 are refused in any order", async () => {
    const { grpc, keys } = await serveGuarded();
    const right = `Bearer ${keys.user}`;
    const send = (values: readonly string[]) => doubledCall(grpc, values);
    expect((await send([right])).status).toBe("0");
    for (const both of [[right, `Bearer ${makeKey().text}`], [`Bearer ${makeKey().text}`, right], [right, right]]) {
      expect(await send(both)).toEqual({ status: String(status.UNAUTHENTICATED), message: expect.stringContaining("more than one") });
    }
  });

  test("the word that stands for two headers lets nobody in", async () => {
    const { grpc } = await serveGuarded();
    expect((await callGrpc(grpc, list, {}, { authorization: "doubled" })).code).toBe(status.UNAUTHENTICATED);
  });

  test("line breaks in a header do not reach the router", async () => {
    const { http, grpc, keys } = await serveGuarded();
    // A bare line feed, and a continued line, which old parsers put together.
    for (const header of [`authorization: Bearer x\nauthorization: Bearer ${keys.user}`, `authorization: Bearer\r\n ${keys.user}`, `authorization: Bearer ${keys.user}\u0000`]) {
      expect(await rawHttp(http, httpCall([header]))).toMatch(/^HTTP\/1.1 (400|401) /);
    }
    expect((await doubledCall(grpc, [`Bearer x\r\nauthorization: Bearer ${keys.user}`])).status).not.toBe("0");
  });

  test("a length and chunks at once are refused, so that nothing hides behind a request", async () => {
    const { http, keys } = await serveGuarded();
    const answer = await rawHttp(http, httpCall([`authorization: Bearer ${keys.user}`, "transfer-encoding: chunked"]));
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer.match(/HTTP\/1.1/g)).toHaveLength(1);
  });

  test("the key goes no further than the guard: handlers and logs have no header to show", async () => {
    const { grpc, keys, router, log } = await serveGuarded();
    router.outcome = () => {
      throw new Error("broken");
    };
    expect((await callGrpc(grpc, route, { modelId: "m" }, { authorization: `Bearer ${keys.user}` })).code).toBe(status.INTERNAL);
    expect(log.entries).toHaveLength(1);
    expect(JSON.stringify(log.entries)).not.toContain(keys.user.slice(16));
  });
});

describe("headers of any size and shape", () => {
  test.each([["a token of 7 KiB", 7_000], ["one of 9 KiB", 9_000], ["one of 60 KiB", 60_000]])("%s is refused, and the server lives on", async (_what, length) => {
    const { grpc, http, keys } = await serveGuarded();
    const part = "a".repeat(length / 3);
    const authorization = `Bearer ${part}.${part}.${part}`;
    expect((await callGrpc(grpc, list, {}, { authorization })).code).not.toBe(status.OK);
    const answer = await rawHttp(http, httpCall([`authorization: ${authorization}`]));
    expect(answer).toMatch(/^HTTP\/1.1 (401|431) /);
    expect((await callGrpc(grpc, list, {}, { authorization: `Bearer ${keys.user}` })).code).toBe(status.OK);
  });
});

describe("calls of nobody", () => {
  test("are refused at their headers: no message is read, and the stream is closed though the caller goes on", async () => {
    const { grpc, router } = await serveGuarded();
    const session = http2.connect(`http://${grpc}`);
    afterThisTest(() => session.destroy());
    const stream = session.request(ROUTE_HEADERS, { endStream: false });
    stream.on("error", () => {});
    let answer: http2.IncomingHttpHeaders = {};
    stream.on("response", (headers) => (answer = headers));
    stream.resume();
    // Never ended by us, and much more announced than is sent.
    stream.write(Buffer.from([0, 0, 255, 255, 255, 1, 2, 3]));
    await once(stream, "close");
    expect(answer["grpc-status"]).toBe(String(status.UNAUTHENTICATED));
    expect(router.queries).toEqual([]);
  });

  test("in a flood leave nothing behind, and those with a key are served meanwhile", async () => {
    const { grpc, keys, log } = await serveGuarded();
    const session = http2.connect(`http://${grpc}`, { maxSessionMemory: 100 });
    afterThisTest(() => session.destroy());
    await once(session, "connect");
    const FLOOD = 5_000;
    const answers: Promise<string>[] = [];
    for (let count = 0; count < FLOOD; count += 1) {
      const stream = session.request({ ...ROUTE_HEADERS, authorization: `Bearer ${makeKey().text}` }, { endStream: false });
      stream.on("error", () => {});
      stream.resume();
      answers.push(
        new Promise((resolve) => {
          let answer = "none";
          stream.on("response", (headers) => (answer = String(headers["grpc-status"])));
          stream.on("close", () => resolve(answer));
        }),
      );
    }
    const served = await Promise.all(Array.from({ length: 20 }, () => callGrpc(grpc, list, {}, { authorization: `Bearer ${keys.user}` })));
    expect(served.map(({ code }) => code)).toEqual(Array(20).fill(status.OK));
    const codes = new Set(await Promise.all(answers));
    expect([...codes].toSorted()).toEqual([String(status.UNAUTHENTICATED), String(status.RESOURCE_EXHAUSTED)].toSorted());
    expect(log.entries).toEqual([]);
  });

  test("by Connect get no say on the connection after that", async () => {
    const { http, keys } = await serveGuarded();
    const answer = await rawHttp(http, `${httpCall([]).replace("connection: close\r\n", "")}${httpCall([`authorization: Bearer ${keys.user}`])}`);
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 401"]);
  });
});

describe("a flood of streams by somebody with a key", () => {
  test.each(["gRPC", "Connect"])("is cut off at the bound, over %s, others have theirs, and one that ends makes room", async (transport) => {
    const served = await serveGuarded({ maxStreamsPerUser: 3 });
    served.router.changes = async function* (_token, _interval, signal) {
      yield { sequence: 1, snapshot: true, gpus: [], resumeToken: "", atMs: 1 };
      await aborted(signal);
    };
    const client = new Client(served.grpc, credentials.createInsecure());
    afterThisTest(() => client.close());
    const definition = grpcMethodDefinition(watchGpus);
    const open = async (role: "user" | "reader"): Promise<() => void> => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${served.keys[role]}`);
      const stream = client.makeServerStreamRequest(definition.path, () => Buffer.alloc(0), (bytes) => bytes, {}, metadata, {});
      stream.on("error", () => {});
      await once(stream, "data");
      return () => stream.cancel();
    };
    const tryOne = (role: "user" | "reader") =>
      transport === "gRPC" ? callGrpc(served.grpc, watchGpus, {}, { authorization: `Bearer ${served.keys[role]}` }) : callConnect(`http://${served.http}`, watchGpus, {}, { authorization: `Bearer ${served.keys[role]}` });
    const [end] = [await open("user"), await open("user"), await open("user")];
    for (let count = 0; count < 20; count += 1) expect(await tryOne("user")).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: expect.stringContaining("3 streams") });
    expect((await callGrpc(served.grpc, list, {}, { authorization: `Bearer ${served.keys.user}` })).code).toBe(status.OK);
    await open("reader");
    end?.();
    for (;;) {
      const again = await open("user").catch(() => null);
      if (again) break;
    }
    expect(served.log.entries).toEqual([]);
  });
});

describe("slow callers", () => {
  test("who do not finish their headers are closed", async () => {
    const { http } = await serveGuarded({ http: { headersTimeoutMs: 200 } });
    expect(await rawHttp(http, "POST /gpurouter.v1.RouterService/List HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")).toMatch(/^HTTP\/1.1 408 /);
  });

  test("who connect to gRPC and say nothing are closed when they answer no ping", async () => {
    const { grpc } = await serveGuarded({ grpc: { keepaliveMs: 150 } });
    const [host = "", port] = grpc.split(":");
    const socket: Socket = connect(Number(port), host);
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "close");
  });
});

describe("taking rights away", () => {
  const watching = async (served: Guarded) => {
    served.router.changes = async function* (_token, _interval, signal) {
      yield { sequence: 1, snapshot: true, gpus: [], resumeToken: "", atMs: 1 };
      await aborted(signal);
    };
  };

  test("ends the streams of a revoked key at once, on both ports, and not those of others", async () => {
    const served = await serveGuarded();
    await watching(served);
    const ends: string[] = [];
    const client = new Client(served.grpc, credentials.createInsecure());
    afterThisTest(() => client.close());
    const definition = grpcMethodDefinition(watchGpus);
    const watch = (role: "user" | "admin") => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${served.keys[role]}`);
      const stream = client.makeServerStreamRequest(definition.path, () => Buffer.alloc(0), (bytes) => bytes, {}, metadata, {});
      stream.on("error", (error: { code?: number; details?: string }) => ends.push(`${role} ${error.code} ${error.details}`));
      return once(stream, "data").then(() => stream);
    };
    const admin = await watch("admin");
    const user = await watch("user");
    const connectAnswer = fetch(`http://${served.http}/gpurouter.v1.RouterService/WatchGpus`, {
      method: "POST",
      headers: { "content-type": "application/connect+json", authorization: `Bearer ${served.keys.user}` },
      body: Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), Buffer.from("{}")]),
    });
    const reader = (await connectAnswer).body?.getReader();
    await reader?.read();

    const ended = once(user, "close").catch(() => []);
    await served.identity.book.revokeKey(served.keys.user.slice(3, 15), "lost", OPERATOR);
    await ended;
    let rest = "";
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) rest += Buffer.from(part.value).toString();
    expect(ends).toEqual(["user 16 the credential of this call was revoked, changed or has expired; sign in again"]);
    expect(rest).toContain('"code":"unauthenticated"');
    admin.cancel();
  });

  test("ends an agent's stream with its key", async () => {
    const served = await serveGuarded();
    const client = new Client(served.grpc, credentials.createInsecure());
    afterThisTest(() => client.close());
    const definition = grpcMethodDefinition(AgentService.method.connect);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${served.keys.agent}`);
    const stream = client.makeBidiStreamRequest(definition.path, definition.requestSerialize, definition.responseDeserialize, metadata, {});
    stream.on("data", () => {});
    await once(stream, "metadata");
    expect(served.agents).toEqual(["agent"]);
    const ended = once(stream, "error").catch((error: unknown) => [error]);
    await served.identity.book.revokeKey(served.keys.agent.slice(3, 15), "", OPERATOR);
    expect((await ended)[0]).toMatchObject({ code: status.UNAUTHENTICATED });
  });
});

test("when the issuer's keys cannot be had, tokens are answered as trouble of the router's, and its log says why, once", async () => {
  const tokens = { issuer: "i", audience: "a", jwks: "/nowhere/jwks.json", userClaim: "sub", rolesClaim: "roles", teamClaim: "", roles: {}, defaultRole: "user" as const, clockToleranceMs: 0 };
  const served = await serveGuarded({ authenticator: { tokens } });
  const part = Buffer.from(JSON.stringify({ alg: "RS256" })).toString("base64url");
  for (let call = 0; call < 15; call += 1) {
    const authorization = `Bearer ${part}.${part}.${call}`;
    expect(await callGrpc(served.grpc, list, {}, { authorization })).toEqual({ code: status.UNAVAILABLE, details: "who is calling cannot be checked now; the router's log has the cause" });
  }
  expect((await callConnect(`http://${served.http}`, list, {}, { authorization: `Bearer ${part}.${part}.x` })).httpStatus).toBe(503);
  expect(served.log.entries).toEqual([[{ trouble: expect.stringContaining("/nowhere/jwks.json") }, "who is calling cannot be checked"]]);
  expect((await callGrpc(served.grpc, list, {}, { authorization: `Bearer ${served.keys.user}` })).code).toBe(status.OK);
});

test("HTTP Basic works on both ports, a wrong password on none", async () => {
  const served = await serveGuarded();
  await served.identity.book.putUser({ name: "carol", roles: ["reader"], team: "", password: "a long password" }, OPERATOR);
  const right = { authorization: basic("carol", "a long password") };
  const wrong = { authorization: basic("carol", "a long passwore") };
  expect((await callGrpc(served.grpc, list, {}, right)).code).toBe(status.OK);
  expect((await callConnect(`http://${served.http}`, list, {}, right)).code).toBe(status.OK);
  expect((await callGrpc(served.grpc, list, {}, wrong)).code).toBe(status.UNAUTHENTICATED);
  expect((await callConnect(`http://${served.http}`, list, {}, wrong)).code).toBe(status.UNAUTHENTICATED);
  expect(served.router.queries.map(({ userId }) => userId)).toEqual(["carol", "carol"]);
});

/**
 * A List over HTTP/2 whose headers are made by hand: no client of Node's would send a name twice or a line break. What comes back is read by
 * one of Node's that believes that it has sent a call of its own. Status undefined when the stream was cut without one.
 */
async function doubledCall(address: string, authorizations: readonly string[]): Promise<{ readonly status: string | undefined; readonly message: string }> {
  const [host = "", port] = address.split(":");
  const socket = connect(Number(port), host);
  const swallow = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const reader = http2.connect("http://reader", { createConnection: () => swallow });
  afterThisTest(() => {
    reader.destroy();
    socket.destroy();
  });
  for (const each of [socket, reader]) each.on("error", () => {});
  socket.on("data", (data: Buffer) => swallow.push(data));
  socket.on("close", () => reader.destroy());
  await Promise.all([once(socket, "connect"), once(reader, "connect")]);
  const stream = reader.request({ ":path": "/" });
  let answer: http2.IncomingHttpHeaders = {};
  for (const event of ["response", "trailers"]) stream.on(event, (headers: http2.IncomingHttpHeaders) => (answer = { ...answer, ...headers }));
  stream.on("error", () => {});
  stream.resume();
  const headers = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/gpurouter.v1.RouterService/List"],
    [":authority", address],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...authorizations.map((value) => ["authorization", value]),
  ];
  const block = Buffer.concat(headers.map(([name = "", value = ""]) => Buffer.concat([Buffer.from([0]), literal(name), literal(value)])));
  socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0)), frame(1, 4, 1, block), frame(0, 1, 1, Buffer.alloc(5))]));
  await once(stream, "close");
  return { status: answer["grpc-status"] as string | undefined, message: decodeURI(String(answer["grpc-message"] ?? "")) };
}

/** A frame of HTTP/2: 0 DATA, 1 HEADERS, 4 SETTINGS; flag 1 ends the stream, 4 the headers. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A text in HPACK, without Huffman coding. */
function literal(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const rest = bytes.byteLength - 127;
  if (rest < 0) return Buffer.concat([Buffer.from([bytes.byteLength]), bytes]);
  return Buffer.concat([rest < 128 ? Buffer.from([127, rest]) : Buffer.from([127, (rest & 127) | 128, rest >> 7]), bytes]);
}
