/** h2spec as tests: one subtest a case of its own, so that a tally counts them. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import type { TestContext } from "node:test";

export interface SpecCase {
  /** e.g. `http2/6.5.3` */
  readonly section: string;
  readonly title: string;
  /** What h2spec expected and saw; empty when the case passed. */
  readonly problem: string;
  /** Why h2spec did not try it; empty when it did. */
  readonly skipped: string;
}

/** Runs a program to its end, whatever that is; null for one that could not be run. */
export type Run = (command: string, argv: readonly string[]) => Promise<unknown>;

export const runHere: Run = (command, argv) =>
  new Promise((resolve, reject) => {
    execFile(command, argv, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout) =>
      // h2spec ends with 1 where a case failed: its report says which.
      error !== null && typeof error.code === "string" ? reject(error) : resolve(stdout),
    );
  });

/**
 * Runs all cases, the strict ones too, and reports each as a subtest.
 * @param report a file of the caller's for h2spec's JUnit report
 */
export async function judge(
  context: TestContext,
  h2spec: string,
  target: { readonly host: string; readonly port: number },
  report: string,
  run: Run,
): Promise<void> {
  const where = ["-h", target.host, "-p", String(target.port)];
  let ending = "";
  // It ends with 1 where a case failed.
  await run(h2spec, [...where, "--strict", "--timeout", "2", "--junit-report", report]).catch((error: Error) => {
    ending = error.message;
  });
  const cases = readReport(report, ending);
  for (const { section, title, problem, skipped } of cases) {
    await context.test(`${section} ${title}`, (subtest) => {
      if (skipped !== "") subtest.skip(skipped);
      else if (problem !== "") throw new Error(problem);
    });
  }
}

function readReport(report: string, ending: string): SpecCase[] {
  let xml: string;
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    throw new Error(`h2spec wrote no report: ${ending}`);
  }
  const cases: SpecCase[] = [];
  for (const [, attributes = "", body = ""] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string): string => text(new RegExp(`${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const failure = /<(?:failure|error)[^>]*>([\s\S]*?)<\/(?:failure|error)>/.exec(body)?.[1];
    const skipped = /<skipped[^>]*>([\s\S]*?)<\/skipped>|<skipped[^>]*\/>/.exec(body);
    cases.push({
      section: attribute("package"),
      title: attribute("classname"),
      problem: failure === undefined ? "" : text(failure) || "failed",
      skipped: skipped === null ? "" : text(skipped[1] ?? "") || "not applicable",
    });
  }
  if (cases.length === 0) throw new Error(`h2spec's report has no cases: ${ending}`);
  return cases;
}

function text(xml: string): string {
  return xml
    .replaceAll(/&#x([0-9A-Fa-f]+);/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
}
