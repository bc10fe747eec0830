// Receives bytes over loopback TCP. Prints its port, answers every block of the size in its argument with one byte,
// and ends with its connection.
import { createServer } from "node:net";

const blockBytes = Number(process.argv[2]);

const server = createServer((socket) => {
  let received = 0;
  socket.on("data", (data) => {
    received += data.length;
    for (; received >= blockBytes; received -= blockBytes) socket.write("x");
  });
  server.close();
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
});
