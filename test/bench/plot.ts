/** A picture of the CPU at saturation: bars for each protocol and topology, nginx (where it is missing, haproxy) as 1. */
import { PROTOCOLS, TOPOLOGIES, VARIANTS, type Variant } from "./cells.ts";
import type { Row } from "./rows.ts";
import { ratio } from "./statistics.ts";

const COLOURS: Readonly<Record<Variant, string>> = { weft: "#2f6fde", nginx: "#3f9142", haproxy: "#b7791f" };
const LEFT = 250;
const UNIT = 260;
const BAR = 14;
const GAP = 18;

const cpu = (row: Row): number | null => row.cpuMicrosPerRequest ?? row.cpuMillisPerMegabyte;

/** @returns an SVG document */
export function plot(rows: readonly Row[]): string {
  const shapes: string[] = [];
  let y = 40;
  for (const protocol of PROTOCOLS)
    for (const topology of TOPOLOGIES)
      for (const load of ["saturation", "saturation-32x1"] as const) {
        const group = rows.filter((row) => row.protocol === protocol && row.topology === topology && row.load === load);
        const base =
          group.find(({ variant }) => variant === "nginx") ?? group.find(({ variant }) => variant === "haproxy");
        if (base === undefined) continue;
        const label = `${protocol}, ${topology}${load === "saturation" ? "" : ", 32 × 1"}`;
        shapes.push(text(LEFT - 10, y + BAR * 2, label, "end"));
        for (const variant of VARIANTS) {
          const row = group.find((one) => one.variant === variant);
          const share = row === undefined ? null : ratio(cpu(row), cpu(base));
          if (row === undefined || share === null) continue;
          const width = Math.min(share, 2.4) * UNIT;
          shapes.push(
            `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${COLOURS[variant]}"/>`,
          );
          shapes.push(text(LEFT + width + 6, y + BAR - 4, `${variant} ${share.toFixed(2)} (${cpu(row)})`));
          y += BAR;
        }
        y += GAP;
      }
  const height = y + 10;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="${height}" viewBox="0 0 1000 ${height}">\n<title>CPU of each proxy at saturation</title>
<rect width="100%" height="100%" fill="#fff"/>
${text(10, 22, "CPU at saturation, nginx = 1; in brackets µs a request, for TCP ms a megabyte")}
<line x1="${LEFT + UNIT}" y1="32" x2="${LEFT + UNIT}" y2="${height - 8}" stroke="#999" stroke-dasharray="3 3"/>
${shapes.join("\n")}
</svg>
`;
}

function text(x: number, y: number, words: string, anchor = "start"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-family="sans-serif" font-size="12" fill="#222">${words}</text>`;
}
