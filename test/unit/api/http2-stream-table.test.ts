import { once } from "node:events";
import { connect, createServer, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, test } from "@jest/globals";
import { ChurnMap } from "../../../src/lib/churn-map.js";
import { collectCallsYoung, exchangeStreamTable } from "../../../src/api/http2-stream-table.js";

function tableOf(session: Http2Session): unknown {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === "state");
  return symbol && (session as unknown as { readonly [symbol: symbol]: { readonly streams: unknown } })[symbol]?.streams;
}

describe("The exchanged table of an HTTP/2 session's streams", () => {
  test("is in place in every session of a gRPC server that listens, with this Node and this grpc-js", async () => {
    const server = new Server();
    expect(collectCallsYoung(server)).toBe(false);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    const { http2Servers } = server as unknown as { readonly http2Servers: ReadonlyMap<NodeJS.EventEmitter, unknown> };
    expect(collectCallsYoung(server)).toBe(true);
    const sessions = [...http2Servers.keys()].map((http2Server) => once(http2Server, "session"));
    const client = connect(`http://127.0.0.1:${port}`);
    const [session] = (await Promise.race(sessions)) as [Http2Session];
    expect(tableOf(session)).toBeInstanceOf(ChurnMap);
    client.close();
    server.forceShutdown();
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  });

  test("carries calls, lets a session close when they are over, and ends those under way with the session", async () => {
    const server = createServer();
    const opened: ServerHttp2Stream[] = [];
    let exchanged = 0;
    server.on("session", (session) => {
      if (exchangeStreamTable(session)) exchanged += 1;
    });
    server.on("stream", (stream, headers) => {
      opened.push(stream);
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      if (headers[":path"] !== "/hold") stream.end(String(headers[":path"]));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (let call = 0; call < 100; call += 1) {
      const stream = client.request({ ":path": `/${call}` }).setEncoding("utf8");
      let answer = "";
      for await (const text of stream) answer += text as string;
      expect(answer).toBe(`/${call}`);
    }
    const held = client.request({ ":path": "/hold" });
    held.on("error", () => {});
    await once(held, "response");
    expect(exchanged).toBe(1);
    const [last] = opened.slice(-1);
    last?.session?.destroy();
    await once(held, "close");
    expect(opened.every((stream) => stream.destroyed)).toBe(true);
    client.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test("leaves alone what it does not know", () => {
    expect(exchangeStreamTable({} as Http2Session)).toBe(false);
    expect(exchangeStreamTable({ [Symbol("state")]: { streams: [] } } as unknown as Http2Session)).toBe(false);
  });
});
