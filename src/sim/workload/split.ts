// One trace as the work of several users: every request is given to one by lot.
import { lotOf, seedFor } from "./draw.js";
import { changed, type Stream } from "./stream.js";

/** A sender after the split. */
export interface Share {
  readonly name: string;
  /** Against the others' that the request may go to. */
  readonly weight: number;
  /** Only what these senders of the stream sent, by name; undefined for what any did. */
  readonly senders?: readonly string[] | undefined;
  /** Only what asks for these models, in the trace's words; undefined for any. */
  readonly asked?: readonly string[] | undefined;
}

/** New senders that get the requests in proportion to their weights; what none may get is left out. Bursts stay bursts: all users share them. */
export function split(stream: Stream, shares: readonly Share[]): Stream {
  const choices = stream.senders.map((sender, index) => choiceOf(shares, sender, stream.asked?.[index] ?? ""));
  return {
    ...changed(stream, (seed) => {
      const lots = seedFor("split", seed);
      return (request) => {
        const choice = choices[request.sender];
        if (choice === undefined || choice.places.length === 0) return null;
        const lot = lotOf(lots, request);
        const index = choice.upTo.findIndex((limit) => lot < limit);
        return { ...request, sender: choice.places.at(index) ?? 0 };
      };
    }),
    senders: shares.map(({ name }) => name),
    asked: shares.map(() => ""),
  };
}

/** Who may get a sender's requests, and the sum of their shares up to each. */
function choiceOf(shares: readonly Share[], sender: string, model: string): { readonly places: readonly number[]; readonly upTo: readonly number[] } {
  const places = [...shares.keys()].filter((place) => (shares[place]?.senders?.includes(sender) ?? true) && (shares[place]?.asked?.includes(model) ?? true));
  const weights = places.map((place) => shares[place]?.weight ?? 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  return { places, upTo: weights.map((weight) => (sum += weight) / total) };
}
