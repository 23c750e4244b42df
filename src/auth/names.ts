// What names of users, teams, keys and nodes may be. Used by everything that stores or takes one.

/** Control characters, halves of surrogate pairs, and the colon, which ends the name in HTTP Basic. */
const FORBIDDEN = /[\p{Cc}\p{Cs}:]/u;
const MAX_LENGTH = 128;

export const NAME_ALLOWED = "must be 1 to 128 characters without control characters and colons";

/** Whether `text` can name a user, a team or a key. */
export function isName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_LENGTH && !FORBIDDEN.test(text);
}
