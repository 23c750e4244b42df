// From the seconds of a configuration file to milliseconds. What is sent to agents is whole: a message does not take a fraction of a millisecond.

export function wholeMs(inSeconds: number): number {
  return Math.round(inSeconds * 1000);
}
