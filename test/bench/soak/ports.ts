/** Who listens where. Clients dial the same port at the Services' address. */
export const ORIGIN_PORT = { nginx1: 8011, nginx2: 8012, echo1: 8013, echo2: 8014, tcp: 8015 } as const;
export type Origin = keyof typeof ORIGIN_PORT;
export const ORIGINS = Object.keys(ORIGIN_PORT) as readonly Origin[];
