// One try over real HTTP: what is sent, what counts as an answer, what is refused.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { createHmac, timingSafeEqual } from "node:crypto";
import { writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { AddressGuard } from "../../../src/callbacks/address-guard.js";
import { MAX_BODY_BYTES, Sender, type SendOutcome } from "../../../src/callbacks/sender.js";
import { SigningSecrets } from "../../../src/callbacks/signing-secrets.js";
import { temporaryFolder } from "../journal/temporary-folder.js";
import { Receiver } from "./receiver.js";

const SECRETS = [Buffer.alloc(32, 1), Buffer.alloc(24, 2)];
let receiver: Receiver;
let senders: Sender[];
let secrets: SigningSecrets;

beforeEach(async () => {
  receiver = await new Receiver().listen();
  senders = [];
  const file = path.join(await temporaryFolder(), "secrets");
  writeFileSync(file, SECRETS.map((key) => `whsec_${key.toString("base64")}\n`).join(""));
  secrets = new SigningSecrets(file, 0, () => {});
});
afterEach(async () => {
  for (const sender of senders) await sender.close();
  await receiver.close();
});

interface SenderOver {
  readonly timeoutMs?: number;
  readonly allow?: readonly string[];
  readonly ports?: readonly number[];
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

function senderOf({ timeoutMs = 5_000, allow = ["127.0.0.1"], ports = [receiver.port], resolve }: SenderOver = {}): Sender {
  const guard = new AddressGuard({ allow, ports, ...(resolve && { resolve }) });
  const sender = new Sender({ guard, secrets, clock: { now: () => 1_800_000_000_123 }, userAgent: "gpu-router/test", connectTimeoutMs: 1_000, timeoutMs, maxConcurrentPerHost: 2 });
  senders.push(sender);
  return sender;
}

function send(sender: Sender, url = receiver.url(), body = '{"a":1}'): Promise<SendOutcome> {
  return sender.send(url, "r_1", body, new AbortController().signal);
}

describe("what is sent", () => {
  test("a POST of JSON that a receiver can verify with any of the secrets, by the words of Standard Webhooks alone", async () => {
    expect(await send(senderOf(), receiver.url("/hook?token=t"))).toEqual({ kind: "delivered" });
    const [{ headers, body, path: asked }] = receiver.received as [Receiver["received"][number]];
    expect(asked).toBe("/hook?token=t");
    expect(headers).toMatchObject({ "content-type": "application/json", "webhook-id": "r_1", "webhook-timestamp": "1800000000" });
    const signatures = String(headers["webhook-signature"]).split(" ");
    expect(signatures).toHaveLength(2);
    for (const [index, key] of SECRETS.entries()) {
      const expected = Buffer.from(createHmac("sha256", key).update(`r_1.1800000000.${body}`).digest());
      const [version, given = ""] = (signatures[index] ?? "").split(",");
      expect(version).toBe("v1");
      expect(timingSafeEqual(expected, Buffer.from(given, "base64"))).toBe(true);
    }
  });

  test("nothing that is too large", async () => {
    expect(await send(senderOf(), receiver.url(), "x".repeat(MAX_BODY_BYTES + 1))).toMatchObject({ kind: "final" });
    expect(receiver.received).toEqual([]);
  });

  test("nothing by a proxy of the environment", async () => {
    const names = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"] as const;
    const before = names.map((name) => process.env[name]);
    for (const name of names) process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : "http://127.0.0.1:9";
    try {
      expect(await send(senderOf())).toEqual({ kind: "delivered" });
    } finally {
      for (const [index, name] of names.entries()) if (before[index] === undefined) delete process.env[name];
      else process.env[name] = before[index];
    }
  });
});

describe("answers", () => {
  test.each([200, 201, 204, 299])("%i is a delivery", async (code) => {
    receiver.answer = (response) => void response.writeHead(code).end();
    expect(await send(senderOf())).toEqual({ kind: "delivered" });
  });

  test("410 is final", async () => {
    receiver.answer = (response) => void response.writeHead(410).end();
    expect(await send(senderOf())).toEqual({ kind: "final", error: "the receiver answered 410: it wants no more" });
  });

  test.each([
    [503, "7", 7_000],
    [429, "1", 1_000],
    [500, "7", 0],
  ])("%i with Retry-After %s is tried again, the earliest in %i ms", async (code, after, wait) => {
    receiver.answer = (response) => void response.writeHead(code, { "retry-after": after }).end();
    expect(await send(senderOf())).toEqual({ kind: "failed", error: `the receiver answered ${code}`, retryAfterMs: wait });
  });

  test.each([301, 302, 303, 307, 308])("a redirect (%i) to somewhere else inside is not followed", async (code) => {
    const inside = await new Receiver().listen();
    receiver.answer = (response) => void response.writeHead(code, { location: inside.url("/admin") }).end();
    expect(await send(senderOf())).toMatchObject({ kind: "failed", error: `the receiver answered ${code}, a redirect, which is not followed` });
    expect(inside.received).toEqual([]);
    await inside.close();
  });

  test("an endless one is read no further than a bound, and counts", async () => {
    let sent = 0;
    receiver.answer = (response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write("x".repeat(1_024))) sent += 1_024;
        sent += 1_024;
      };
      response.on("drain", more);
      more();
    };
    expect(await send(senderOf())).toEqual({ kind: "delivered" });
    // What the kernel's buffers take is not ours to say; that nobody goes on reading is.
    expect(sent).toBeLessThan(16 << 20);
  });

  test("headers without end are a failure", async () => {
    receiver.answer = (response) => void response.writeHead(200, { "x-long": "y".repeat(12_000) }).end();
    expect(await send(senderOf())).toMatchObject({ kind: "failed" });
  });

  test("one that does not come in time is a failure, and so is one that comes drop by drop", async () => {
    receiver.answer = () => {};
    expect(await send(senderOf({ timeoutMs: 200 }))).toMatchObject({ kind: "failed", error: "not answered within 200 ms" });
    const slow = net.createServer((socket) => {
      socket.on("error", () => {});
      const timer = setInterval(() => socket.write("H"), 20);
      socket.on("close", () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => void slow.listen(0, "127.0.0.1", resolve));
    const { port } = slow.address() as net.AddressInfo;
    expect(await send(senderOf({ timeoutMs: 200, ports: [port] }), `http://127.0.0.1:${port}/`)).toMatchObject({ kind: "failed" });
    await new Promise((resolve) => slow.close(resolve));
  });

  test("nobody there is a failure", async () => {
    const { port } = receiver;
    await receiver.close();
    expect(await send(senderOf({ ports: [port] }), `http://127.0.0.1:${port}/`)).toEqual({ kind: "failed", error: "econnrefused", retryAfterMs: 0 });
    receiver = await new Receiver().listen();
  });
});

describe("what is refused without a connection", () => {
  test.each(["http://127.0.0.1", "http://2130706433", "http://0x7f.1", "http://[::ffff:127.0.0.1]", "https://127.0.0.1", "http://localhost"])("%s, which nobody has allowed", async (origin) => {
    const outcome = await send(senderOf({ allow: [], resolve: async () => ["127.0.0.1"] }), `${origin}:${receiver.port}/`);
    expect(outcome.kind).toBe("final");
    expect(receiver.received).toEqual([]);
  });

  test("a port that is not listed", async () => {
    expect(await send(senderOf({ ports: [443] }))).toMatchObject({ kind: "final", error: `port ${receiver.port} is not one of callbacks.ports` });
  });

  test("a name that resolves to something public at first and to this machine a moment later", async () => {
    let looks = 0;
    const resolve = async (): Promise<readonly string[]> => {
      looks += 1;
      return looks === 1 ? ["127.0.0.2"] : ["127.0.0.1"];
    };
    // 127.0.0.2 stands for the public address: it is allowed, 127.0.0.1 is not.
    const sender = senderOf({ allow: ["127.0.0.2"], resolve });
    const first = await send(sender, `http://rebinding.example:${receiver.port}/`);
    expect(first).toMatchObject({ kind: "failed", error: "econnrefused" });
    expect(looks).toBe(1);
    expect(await send(sender, `http://rebinding.example:${receiver.port}/`)).toMatchObject({ kind: "final" });
    expect(receiver.received).toEqual([]);
  });
});
