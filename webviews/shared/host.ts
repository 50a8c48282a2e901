/** The extension's side of this page. Its API may be taken once a page. */

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

export interface Host<ToHost, ToView, State> {
  send(message: ToHost): void;
  /** What this page left for itself when it was hidden; undefined the first time. */
  readonly state: State | undefined;
  save(state: State): void;
  listen(listener: (message: ToView) => void): void;
}

export function connectHost<ToHost, ToView, State>(): Host<ToHost, ToView, State> {
  const api = acquireVsCodeApi();
  return {
    send: (message) => api.postMessage(message),
    state: api.getState() as State | undefined,
    save: (state) => api.setState(state),
    listen: (listener) => window.addEventListener("message", ({ data }) => listener(data as ToView)),
  };
}
