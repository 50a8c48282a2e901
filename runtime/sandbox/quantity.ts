/** Kubernetes quantities (apimachinery's resource.Quantity): `250m`, `64Mi`, `1e3`. */

const SUFFIXES: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** As a number; NaN for what is no quantity. */
export function quantity(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text);
  return Number(match?.[1]) * (SUFFIXES[match?.[2] ?? "none"] ?? Number.NaN);
}

/** @throws Error for what is none */
export function parseQuantity(text: string | number): number {
  const parsed = quantity(String(text));
  if (Number.isNaN(parsed)) throw new Error(`${text} is no quantity (e.g. 250m, 64Mi)`);
  return parsed;
}
