// Runs a report page's script against a page that only remembers: finds what a browser would show as an error or a broken plot.
import vm from "node:vm";

interface Node {
  readonly name: string;
  readonly attributes: Map<string, string>;
  readonly children: (Node | string)[];
  textContent: string;
}

/** The names of the plots that the page has, with what was drawn in each: lines, and texts in the order of drawing. Throws what the script throws. */
export function drawnPlots(page: string, chosen: Readonly<Record<string, string>> = {}): Map<string, { readonly lines: number; readonly texts: readonly string[]; readonly broken: readonly string[] }> {
  const data = /<script type="application\/json" id="report">(.*?)<\/script>/s.exec(page)?.[1] ?? "";
  const script = /<script>(.*?)<\/script>/s.exec(page)?.[1] ?? "";
  const node = (name: string, extra: object = {}): Node => {
    const attributes = new Map<string, string>();
    const children: (Node | string)[] = [];
    const made = {
      name,
      attributes,
      children,
      text: "",
      style: {},
      dataset: {},
      clientWidth: 600,
      clientHeight: 250,
      offsetHeight: 20,
      append: (...more: (Node | string)[]) => void children.push(...more),
      setAttribute: (key: string, value: unknown) => void attributes.set(key, String(value)),
      addEventListener: () => undefined,
      getBoundingClientRect: () => ({ left: 0, top: 0, width: 600, height: 250 }),
      get textContent() {
        return this.text;
      },
      set textContent(value: string) {
        this.text = value;
        if (value === "") children.length = 0;
      },
      ...extra,
    };
    return made;
  };
  const hosts = [...page.matchAll(/data-plot="([^"]+)"/g)].map(([, plot = ""]) => ({ plot, host: node("div", { dataset: { plot } }) }));
  const report = node("script");
  report.textContent = data;
  const document = {
    getElementById: (id: string) => (id === "report" ? report : page.includes(`id="${id}"`) ? node(id, { value: chosen[id] }) : null),
    createElement: (name: string) => node(name),
    createElementNS: (_: string, name: string) => node(name),
    querySelectorAll: (selector: string) => (selector === "[data-plot]" ? hosts.map(({ host }) => host) : []),
  };
  class ResizeObserver {
    constructor(readonly changed: () => void) {}
    observe(): void {
      this.changed();
    }
  }
  vm.runInNewContext(script, { document, ResizeObserver, innerWidth: 1000, innerHeight: 800 });
  return new Map(
    hosts.map(({ plot, host }) => {
      const all = everyNode(host);
      const broken = all.flatMap((each) => [...each.attributes].filter(([, value]) => /NaN|Infinity|undefined/.test(value)).map(([key, value]) => `${each.name} ${key}=${value}`));
      return [plot, { lines: all.filter(({ name, attributes }) => name === "path" && attributes.get("fill") === "none").length, texts: all.map(({ textContent }) => textContent).filter((text) => text !== ""), broken }];
    }),
  );
}

function everyNode(node: Node): Node[] {
  return [node, ...node.children.flatMap((child) => (typeof child === "string" ? [] : everyNode(child)))];
}
