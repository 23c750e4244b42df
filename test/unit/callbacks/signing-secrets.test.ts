// Where secrets come from, how they change, what is not one.
import { describe, expect, test } from "@jest/globals";
import { readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { makeSecrets, SigningSecrets } from "../../../src/callbacks/signing-secrets.js";
import { temporaryFolder } from "../journal/temporary-folder.js";

const file = async (): Promise<string> => path.join(await temporaryFolder(), "secrets");
const secret = (byte: number, bytes = 32): string => `whsec_${Buffer.alloc(bytes, byte).toString("base64")}`;
const signaturesOf = (secrets: SigningSecrets, nowMs: number): string[] => (secrets.headers("id", "{}", nowMs)["webhook-signature"] ?? "").split(" ");

describe("secrets", () => {
  test("a router without any makes one that only its owner can read, and keeps it", async () => {
    const place = await file();
    makeSecrets(place);
    expect(statSync(place).mode & 0o777).toBe(0o600);
    const made = readFileSync(place, "utf8");
    expect(made).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/);
    makeSecrets(place);
    expect(readFileSync(place, "utf8")).toBe(made);
    expect(signaturesOf(new SigningSecrets(place, 0, () => {}), 0)).toHaveLength(1);
  });

  test("the signature is that of the specification's own example", async () => {
    const place = await file();
    writeFileSync(place, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    const secrets = new SigningSecrets(place, 0, () => {});
    expect(secrets.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', 1_614_265_330_000)["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  test("a file that changes is taken over while the router runs; a bad one leaves what was", async () => {
    const place = await file();
    writeFileSync(place, `# old\n${secret(1)}\n`);
    const troubles: string[] = [];
    const secrets = new SigningSecrets(place, 0, (trouble) => troubles.push(trouble));
    const [old] = signaturesOf(secrets, 0);
    writeFileSync(place, `${secret(2)}\n\n${secret(1)}\n`);
    utimesSync(place, 1, 1);
    const [fresh, again, ...more] = signaturesOf(secrets, 10_000);
    expect(more).toEqual([]);
    // The timestamp is another, so the old secret is compared by its place.
    expect(fresh).not.toBe(again);
    expect(signaturesOf(secrets, 0)[1]).toBe(old);
    writeFileSync(place, "nonsense\n");
    utimesSync(place, 2, 2);
    expect(signaturesOf(secrets, 20_000)).toHaveLength(2);
    expect(troubles).toEqual([expect.stringContaining("line 1 is not a secret")]);
    expect(troubles[0]).not.toContain("nonsense");
  });

  test.each([
    ["no file", null, /cannot be read/],
    ["an empty one", "\n", /holds no secret/],
    ["one without the prefix", `${Buffer.alloc(32).toString("base64")}\n`, /line 1 is not a secret/],
    ["a short one", `${secret(1)}\n${secret(1, 16)}\n`, /line 2 is not a secret/],
    ["too many", `${secret(1)}\n`.repeat(9), /at most 8/],
  ])("%s is refused", async (_, text, message) => {
    const place = await file();
    if (text !== null) writeFileSync(place, text);
    expect(() => new SigningSecrets(place, 0, () => {})).toThrow(message);
  });
});
