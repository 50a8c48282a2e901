import type { Http2Upstreams } from "../../../../runtime/proxy/http2/upstreams.ts";

/** For tests in which nobody speaks HTTP/2: whoever asks for it fails them. */
export const noHttp2: Http2Upstreams = {
  get tcp(): never {
    throw new Error("HTTP/2 was asked for");
  },
  take: () => {
    throw new Error("HTTP/2 was asked for");
  },
  connect: () => Promise.reject(new Error("HTTP/2 was asked for")),
};
