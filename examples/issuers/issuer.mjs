#!/usr/bin/env node
// A reviewer in Node: answers every plan that is to be executed with a permit.
//
//     issuer.mjs governor|p33 QUANTITY          needs: npm install redis
//
// REDIS_URL says where Redis is. With PERMIT_KEY=<key id>:<secret in hex> every permit is signed.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { createClient } from "redis";

const [role, quantity] = [process.argv[2], Number(process.argv[3])];
const [keyId, secret] = (process.env.PERMIT_KEY ?? "").split(":");

/** Each text with its length in bytes before it, in 4 bytes, the highest first. */
function packed(texts) {
  return Buffer.concat(
    texts.flatMap((text) => {
      const part = Buffer.from(text, "utf8");
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
}

/** Of one entry of the plan stream: every field but timestamp, sorted by the bytes of the names. */
function planDigest(fields) {
  const names = Object.keys(fields).filter((name) => name !== "timestamp");
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const texts = ["apply-plan-v1", ...names.flatMap((name) => [name, fields[name]])];
  return createHash("sha256").update(packed(texts)).digest("hex");
}

/** Appends the seal to this very text; do not encode it again. */
function sign(permit, fields) {
  const [plan, digest] = [fields.plan_id, planDigest(fields)];
  const now = Date.now();
  const [issued, expires, nonce] = [String(now), String(now + 60_000), randomBytes(16).toString("hex")];
  const message = packed(["apply-permit-v1", keyId, role, plan, digest, permit, issued, expires, nonce]);
  const mac = createHmac("sha256", Buffer.from(secret, "hex")).update(message).digest("hex");
  const seal = ["v1", keyId, role, plan, digest, issued, expires, nonce, mac].join(":");
  return `${permit.slice(0, -1)},"signed":"${seal}"}`;
}

/** The permit for one plan. Say no with granted or allow false and a reason. */
function review(fields) {
  // JSON.stringify writes NaN and Infinity as null: check before, or the permit is a no.
  if (!Number.isFinite(quantity)) throw new Error("the quantity is no number");
  const at = { symbol: fields.symbol, created_at: Date.now() / 1000 };
  return role === "governor"
    ? { granted: true, decision: "EXECUTE", computed_qty: quantity, ...at }
    : { allow: true, safe_close_qty: quantity, ...at };
}

const store = await createClient({ url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379" }).connect();
// From the newest entry on. Not "$": what comes between two reads would be missed.
const [newest] = await store.xRevRange("quantum:stream:apply.plan", "+", "-", { COUNT: 1 });
let last = newest?.id ?? "0";
console.log("ready");
for (;;) {
  const read = await store.xRead({ key: "quantum:stream:apply.plan", id: last }, { BLOCK: 1000 });
  for (const { id, message: fields } of read?.[0]?.messages ?? []) {
    last = id;
    if (fields.decision !== "EXECUTE") continue;
    let permit = JSON.stringify(review(fields));
    if (keyId) permit = sign(permit, fields);
    const name = `quantum:permit:${role === "governor" ? "" : `${role}:`}${fields.plan_id}`;
    await store.set(name, permit, { EX: 60 });
    console.log(name, permit);
  }
}
