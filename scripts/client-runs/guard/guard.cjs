// Laid before every JavaScript client: no socket of it reaches anything but this machine.
const net = require("node:net");
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const [first] = Array.isArray(given[0]) ? given[0] : given;
  const host = typeof first === "object" ? first.host : given[1];
  if (!["127.0.0.1", "::1", "localhost"].includes(host ?? "localhost")) {
    throw new Error(`not on loopback, so nothing is sent: ${host}`);
  }
  return connect.apply(this, given);
};
