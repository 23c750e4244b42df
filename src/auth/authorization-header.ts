// Takes an authorization header apart. Decides nothing about what is in it.
import { isName } from "./names.js";

/** Room for a token with many claims; larger ones are refused unread. */
const MAX_HEADER_LENGTH = 8 * 1024;

export type Credentials =
  | { readonly kind: "key"; readonly text: string }
  | { readonly kind: "token"; readonly text: string }
  | { readonly kind: "password"; readonly user: string; readonly password: string }
  | { readonly kind: "malformed"; readonly why: string };

const SCHEME = /^(bearer|basic) +([A-Za-z0-9._~+/=-]+)$/i;
/** Three parts of base64url: a signed JWT in its compact form. */
const TOKEN = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The one header of a call; callers refuse a second one before. */
export function parseAuthorization(header: string): Credentials {
  if (header.length > MAX_HEADER_LENGTH) return malformed(`it is longer than ${MAX_HEADER_LENGTH} characters`);
  const [, scheme = "", value = ""] = SCHEME.exec(header) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      if (value.startsWith("gr_")) return { kind: "key", text: value };
      return TOKEN.test(value) ? { kind: "token", text: value } : malformed("what follows Bearer is neither a key of this router nor a JWT");
    case "basic":
      return basic(value);
    default:
      return malformed("it is neither `Bearer KEY` nor `Basic BASE64`");
  }
}

function basic(value: string): Credentials {
  const bytes = BASE64.test(value) ? Buffer.from(value, "base64") : null;
  const text = bytes?.toString("utf8") ?? "";
  const colon = text.indexOf(":");
  // What is not UTF-8 would be another password after decoding.
  if (!bytes || colon < 1 || !Buffer.from(text, "utf8").equals(bytes)) return malformed("what follows Basic is not base64 of NAME:PASSWORD in UTF-8");
  const user = text.slice(0, colon);
  return isName(user) ? { kind: "password", user, password: text.slice(colon + 1) } : malformed("the name in it cannot be one of a user");
}

function malformed(why: string): Credentials {
  return { kind: "malformed", why };
}
