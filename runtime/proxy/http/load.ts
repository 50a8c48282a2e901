/** Requests that a side has under way, of all connections, and how many it may. */
export interface Load {
  requests: number;
  readonly most: number;
}
