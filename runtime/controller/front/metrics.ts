/** The controller's own figures in Prometheus' text format. */

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(labels: Labels, by?: number): void;
}

/** Families in the order in which they were made. */
export class Metrics {
  readonly #families: (() => string)[] = [];

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>();
    this.#families.push(() =>
      family(
        name,
        help,
        "counter",
        [...values].map(([labels, value]) => `${name}${labels} ${value}`),
      ),
    );
    return {
      add(labels, by = 1) {
        const key = encodeLabels(labels);
        values.set(key, (values.get(key) ?? 0) + by);
      },
    };
  }

  /** `read` is asked at each scrape; undefined: no sample. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    this.gauges(name, help, () => {
      const value = read();
      return value === undefined ? [] : [[{}, value]];
    });
  }

  /** As gauge, for a family of several samples. */
  gauges(name: string, help: string, read: () => readonly (readonly [Labels, number])[]): void {
    this.#families.push(() =>
      family(
        name,
        help,
        "gauge",
        read().map(([labels, value]) => `${name}${encodeLabels(labels)} ${value}`),
      ),
    );
  }

  text(): string {
    return this.#families.map((write) => write()).join("");
  }
}

function family(name: string, help: string, type: string, samples: readonly string[]): string {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ""].join("\n");
}

function encodeLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeValue(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
