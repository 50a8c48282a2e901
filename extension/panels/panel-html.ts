/** The one place that makes a panel's HTML: nothing from outside, scripts by nonce, styles from the extension's folder. */
import { randomBytes } from "node:crypto";

export interface PanelPage {
  readonly title: string;
  /** Source of the extension's own files (`Webview.cspSource`). */
  readonly cspSource: string;
  readonly script: string;
  readonly style: string;
}

export function panelHtml({ title, cspSource, script, style }: PanelPage): string {
  const nonce = randomBytes(16).toString("base64url");
  // Scripts set positions and sizes of virtual rows through the CSSOM, which a policy without unsafe-inline allows.
  const policy = `default-src 'none'; style-src ${cspSource}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="${escapeHtml(style)}">
</head>
<body>
<div id="app"></div>
<script nonce="${nonce}" src="${escapeHtml(script)}"></script>
</body>
</html>`;
}

export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "#39" };
  return text.replace(/[&<>"']/g, (character) => `&${names[character]};`);
}
