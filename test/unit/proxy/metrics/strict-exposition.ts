/** Reads exposition text as strictly as its description allows (Prometheus text format 0.0.4), for tests of who writes it. */
import assert from "node:assert/strict";

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

interface Family {
  readonly type: string;
  readonly samples: Sample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;

/** @throws AssertionError naming the line that breaks a rule */
export function readStrictly(text: string): Map<string, Family> {
  assert.ok(text.endsWith("# EOF\n"), "the text ends with # EOF");
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let helped = "";
  let current: { name: string; family: Family } | undefined;
  for (const line of text.slice(0, -"# EOF\n".length).split("\n").slice(0, -1)) {
    const help = /^# HELP (\S+) \S/.exec(line);
    if (help !== null) {
      helped = help[1] ?? "";
      continue;
    }
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      const [, name = "", kind = ""] = type;
      assert.equal(helped, name, `help stands before type: ${line}`);
      assert.ok(!families.has(name), `a family begins once: ${line}`);
      current = { name, family: { type: kind, samples: [] } };
      families.set(name, current.family);
      continue;
    }
    const sample = readSample(line);
    assert.ok(
      current !== undefined && belongs(sample.name, current.name, current.family.type),
      `in its family: ${line}`,
    );
    const key = line.slice(0, line.lastIndexOf(" "));
    assert.ok(!series.has(key), `a series stands once: ${line}`);
    series.add(key);
    if (current.family.type !== "gauge") assert.ok(sample.value >= 0, `counts are not negative: ${line}`);
    current.family.samples.push(sample);
  }
  for (const [name, family] of families) {
    assert.ok(family.samples.length > 0, `${name} is not empty`);
    if (family.type === "histogram") checkHistogram(name, family.samples);
  }
  return families;
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type !== "histogram") return sample === family;
  return [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(sample);
}

function readSample(line: string): Sample {
  const [, name, list = "", text = ""] = SAMPLE.exec(line) ?? [];
  assert.ok(name !== undefined, `a sample: ${line}`);
  const labels = new Map<string, string>();
  for (let rest = list; rest !== ""; ) {
    const label = LABEL.exec(rest);
    assert.ok(label !== null, `labels: ${line}`);
    assert.ok(!labels.has(label[1] ?? ""), `a label stands once: ${line}`);
    labels.set(label[1] ?? "", label[2] ?? "");
    rest = rest.slice(label[0].length);
    assert.ok(rest !== "" || !label[0].endsWith(","), `no comma at the end: ${line}`);
  }
  const value = Number(text);
  assert.ok(Number.isFinite(value), `a number: ${line}`);
  return { name, labels, value };
}

/** Buckets grow with their bounds; the last one is the count. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const groups = new Map<string, { buckets: [number, number][]; sum?: number; count?: number }>();
  for (const { name: part, labels, value } of samples) {
    const key = [...labels].flatMap(([label, text]) => (label === "le" ? [] : [`${label}=${text}`])).join();
    const group = groups.get(key) ?? { buckets: [] };
    groups.set(key, group);
    if (part.endsWith("_bucket")) {
      const le = labels.get("le") ?? "";
      group.buckets.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), value]);
    } else if (part.endsWith("_sum")) group.sum = value;
    else group.count = value;
  }
  for (const [key, { buckets, sum, count }] of groups) {
    assert.ok(sum !== undefined && count !== undefined, `${name}{${key}} has sum and count`);
    const sorted = buckets.toSorted(([a], [b]) => a - b);
    assert.deepEqual(buckets, sorted, `${name}{${key}}: bounds ascend`);
    for (const [index, [, value]] of buckets.entries()) {
      assert.ok(value >= (buckets[index - 1]?.[1] ?? 0), `${name}{${key}}: buckets are cumulative`);
    }
    assert.deepEqual(
      buckets.at(-1),
      [Number.POSITIVE_INFINITY, count],
      `${name}{${key}}: the last bucket is the count`,
    );
  }
}
