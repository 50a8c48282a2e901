/** A WebSocket server by the library `ws`: echoes, and closes as it is told. Run as: websocket-server.ts <port>, with an IPC channel. */
import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "0.0.0.0",
  port: Number(JSON.parse(process.argv[2] as string)),
  perMessageDeflate: true,
  maxPayload: 32 * 1024 * 1024,
  handleProtocols: (protocols) => [...protocols].at(-1) ?? false,
});
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => {
    const close = binary ? null : /^close (\d+) (.*)$/.exec(String(data));
    if (close !== null) socket.close(Number(close[1]), close[2]);
    else if (!binary && String(data) === "terminate") socket.terminate();
    else socket.send(data, { binary });
  });
});
server.on("listening", () => process.send?.("listening"));
