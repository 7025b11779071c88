// SPDX-License-Identifier: Apache-2.0
// amqplib, its promise API, connected with the URL and nothing else: the checks of amqp_checks.py.
"use strict";
const assert = require("node:assert");
const amqp = require("amqplib");

const [url, check, tag] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const stamp = Date.UTC(2024, 1, 29, 12, 30, 45) / 1000;

async function until(condition, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (let got; ; await sleep(20)) {
    if ((got = await condition())) return got;
    assert(Date.now() < end, `not within ${seconds} s`);
  }
}

let connection;
let channel;

async function open(to = connection) {
  const ch = await to.createChannel();
  ch.inbox = [];
  ch.cancels = [];
  ch.on("error", () => {});
  return ch;
}
async function consume(ch, queue, options) {
  const ok = await ch.consume(queue, (m) => (m ? ch.inbox.push(m) : ch.cancels.push(queue)), options);
  return ok.consumerTag;
}
async function queue(part = "", options = {}) {
  return (await channel.assertQueue(tag + part, { durable: true, ...options })).queue;
}
const send = (q, body, options) => channel.sendToQueue(q, Buffer.from(body), options);
function fill(q, count) {
  for (let i = 0; i < count; i++) send(q, `m${i}`);
}
const soon = (q) => until(() => channel.get(q));
const bodies = (ch = channel) => ch.inbox.map((m) => m.content.toString());
const count = async (q) => (await channel.checkQueue(q)).messageCount;

async function refused(code, call, on = connection) {
  const ch = await open(on);
  const closed = new Promise((done) => ch.once("close", done));
  await assert.rejects(call(ch), (error) => error.code === code || assert.fail(`${code} expected: ${error}`));
  await closed;
}

async function dead(options) {
  await channel.assertExchange(`${tag}-dlx`, "direct", { durable: false });
  const letters = await queue("-dead");
  await channel.bindQueue(letters, `${tag}-dlx`, "gone");
  return [await queue("", { deadLetterExchange: `${tag}-dlx`, deadLetterRoutingKey: "gone", ...options }), letters];
}
async function bury(...queues) {
  for (const q of queues) await channel.deleteQueue(q);
  await channel.deleteExchange(`${tag}-dlx`);
}

const checks = {
  async confirms() {
    const q = await queue();
    const confirmed = await connection.createConfirmChannel();
    for (let i = 0; i < 500; i++) confirmed.sendToQueue(q, Buffer.from(`m${i}`), { persistent: true });
    await confirmed.waitForConfirms();
    assert.equal(await count(q), 500);
    await consume(channel, q);
    await until(() => channel.inbox.length === 500);
    channel.inbox.forEach((m, i) => {
      assert.equal(m.content.toString(), `m${i}`);
      assert.equal(m.properties.deliveryMode, 2);
      assert(!m.fields.redelivered);
      channel.ack(m);
    });
    await channel.deleteQueue(q);
  },

  async return() {
    const confirmed = await connection.createConfirmChannel();
    const order = [];
    confirmed.on("return", (m) => order.push([m.fields.replyCode, m.fields.routingKey]));
    const publish = (key, options) =>
      new Promise((done, no) =>
        confirmed.publish("", key, Buffer.from("x"), options, (error) => (error ? no(error) : done(order.push("confirm")))),
      );
    await publish(`${tag}-nowhere`, { mandatory: true });
    const q = await queue();
    await publish(q, { mandatory: true });
    await publish(`${tag}-nowhere`, {});
    assert.deepEqual(order, [[312, `${tag}-nowhere`], "confirm", "confirm", "confirm"]);
    await channel.deleteQueue(q);
  },

  async properties() {
    const q = await queue();
    const headers = {
      true: true, false: false, small: 7, negative: -70000, large: 2 ** 40, half: 0.5, text: "grün 中 \u{1f600}", blank: "",
      none: null, bytes: Buffer.from([0, 1, 255]), list: ["a", 1, null, { deep: ["er", true] }], table: { x: 1, y: { z: "end" } },
      no_list: [], no_table: {}, time: { "!": "timestamp", value: stamp }, cents: { "!": "decimal", value: { digits: 12345, places: 2 } },
    };
    const options = {
      contentType: "text/plain", contentEncoding: "utf-8", persistent: true, priority: 4, correlationId: "c-1", replyTo: "r-1",
      expiration: "60000", messageId: "m-1", timestamp: stamp, type: "kind", userId: "guest", appId: "interop",
    };
    send(q, "x", { ...options, headers });
    const got = (await soon(q)).properties;
    assert.deepEqual(got.headers, headers);
    for (const [name, value] of Object.entries(options))
      assert.equal(name === "persistent" ? got.deliveryMode === 2 : got[name], value, name);
    await channel.deleteQueue(q);
  },

  async empty() {
    const q = await queue();
    send(q, "");
    send(q, "x", { correlationId: "", headers: {} });
    send(q, "", { headers: { "": "", null: null } });
    const first = await soon(q);
    assert.equal(first.content.length, 0);
    assert.equal(first.properties.messageId, undefined);
    assert.deepEqual((await soon(q)).properties.headers, {});
    assert.deepEqual((await soon(q)).properties.headers, { "": "", null: null });
    await channel.deleteQueue(q);
  },

  async large() {
    const q = await queue();
    const body = Buffer.alloc(3000000, "abcdefg");
    send(q, body, { persistent: true });
    assert((await soon(q)).content.equals(body));
    await channel.deleteQueue(q);
  },

  async prefetch() {
    const q = await queue();
    fill(q, 20);
    await channel.prefetch(3);
    await consume(channel, q);
    await until(() => channel.inbox.length >= 3);
    await sleep(300);
    assert.equal(channel.inbox.length, 3);
    channel.ack(channel.inbox[0]);
    await until(() => channel.inbox.length >= 4);
    await sleep(300);
    assert.deepEqual(bodies(), ["m0", "m1", "m2", "m3"]);
    await channel.deleteQueue(q);
  },

  async requeue() {
    const q = await queue();
    fill(q, 3);
    const [first, second] = [await soon(q), await soon(q)];
    channel.reject(first, true);
    channel.nack(second, false, true);
    for (const want of ["m0 true", "m1 true", "m2 false"]) {
      const m = await soon(q);
      assert.equal(`${m.content} ${m.fields.redelivered}`, want);
    }
    await channel.deleteQueue(q);
  },

  async multiple() {
    const q = await queue();
    fill(q, 9);
    await consume(channel, q);
    await until(() => channel.inbox.length === 9);
    const first = [...channel.inbox];
    channel.ack(first[2], true);
    channel.nack(first[5], true, false);
    channel.nack(first[8], true, true);
    await until(() => channel.inbox.length === 12);
    assert.deepEqual(bodies().slice(9), ["m6", "m7", "m8"]);
    await channel.deleteQueue(q);
  },

  async closed() {
    const q = await queue();
    fill(q, 4);
    const other = await open();
    await consume(other, q);
    await until(() => other.inbox.length === 4);
    other.ack(other.inbox[0]);
    await other.close();
    const killed = await amqp.connect(url);
    killed.on("error", () => {});
    const third = await open(killed);
    await consume(third, q);
    await until(() => third.inbox.length === 3);
    third.ack(third.inbox[0]);
    await sleep(300);
    killed.connection.stream.destroy();
    await consume(channel, q);
    await until(() => channel.inbox.length === 2);
    assert.deepEqual(bodies(), ["m2", "m3"]);
    assert(channel.inbox.every((m) => m.fields.redelivered));
    await channel.deleteQueue(q);
  },

  async deadletter() {
    const [q, letters] = await dead({});
    send(q, "x", { headers: { mine: 1 }, messageId: "m-1" });
    channel.reject(await soon(q), false);
    const got = await soon(letters);
    assert.deepEqual([got.content.toString(), got.fields.routingKey, got.fields.exchange], ["x", "gone", `${tag}-dlx`]);
    const { headers, messageId } = got.properties;
    assert.deepEqual([messageId, headers.mine], ["m-1", 1]);
    const { time, ...death } = headers["x-death"][0];
    assert.deepEqual(death, { queue: q, reason: "rejected", count: 1, exchange: "", "routing-keys": [q] });
    assert.equal(time["!"], "timestamp");
    assert.equal(headers["x-first-death-reason"], "rejected");
    await bury(q, letters);
  },

  async ttl() {
    const [q, letters] = await dead({ messageTtl: 3000 });
    const begin = Date.now();
    send(q, "own", { expiration: 300 });
    send(q, "queue's");
    const own = await soon(letters);
    assert.equal(own.content.toString(), "own");
    assert(Date.now() - begin < 2500);
    const death = own.properties.headers["x-death"][0];
    assert.deepEqual([death.reason, death["original-expiration"]], ["expired", "300"]);
    assert.equal(own.properties.expiration, undefined);
    assert.equal((await soon(letters)).content.toString(), "queue's");
    assert(Date.now() - begin > 2500);
    await bury(q, letters);
  },

  async priority() {
    const q = await queue("", { maxPriority: 9 });
    for (const level of [1, 5, 9, 3, 7, 5]) send(q, String(level), { priority: level });
    send(q, "none");
    send(q, "top", { priority: 200 });
    await until(async () => (await count(q)) === 8);
    for (const want of ["9", "top", "7", "5", "5", "3", "1", "none"]) assert.equal((await soon(q)).content.toString(), want);
    await channel.deleteQueue(q);
  },

  async get() {
    const q = await queue();
    assert.equal(await channel.get(q), false);
    fill(q, 5);
    await until(async () => (await count(q)) === 5);
    const m = await channel.get(q);
    assert.deepEqual([m.content.toString(), m.fields.routingKey, m.fields.messageCount], ["m0", q, 4]);
    channel.ack(m);
    assert.equal((await channel.purgeQueue(q)).messageCount, 4);
    assert.equal(await channel.get(q), false);
    assert.equal((await channel.deleteQueue(q)).messageCount, 0);
  },

  async exclusive() {
    const q = await queue("", { durable: false, exclusive: true });
    const other = await amqp.connect(url);
    await refused(405, (ch) => ch.checkQueue(q), other);
    await refused(405, (ch) => ch.consume(q, () => {}), other);
    const shared = await queue("-shared");
    await consume(channel, shared, { exclusive: true });
    await refused(403, (ch) => ch.consume(shared, () => {}), other);
    await connection.close();
    connection = other;
    channel = await open();
    await refused(404, (ch) => ch.checkQueue(q));
    await channel.deleteQueue(shared);
  },

  async passive() {
    const q = await queue("", { maxPriority: 5 });
    const x = `${tag}-x`;
    await channel.assertExchange(x, "direct", { durable: false });
    await refused(404, (ch) => ch.checkQueue(`${tag}-none`));
    await refused(404, (ch) => ch.checkExchange(`${tag}-none`));
    await refused(404, (ch) => ch.get(`${tag}-none`));
    await refused(404, (ch) => ch.bindQueue(q, `${tag}-none`, "key"));
    await refused(406, (ch) => ch.assertQueue(q, { durable: true }));
    await refused(406, (ch) => ch.assertQueue(q, { durable: false, maxPriority: 5 }));
    await refused(406, (ch) => ch.assertExchange(x, "topic", { durable: false }));
    await refused(403, (ch) => ch.assertQueue("amq.mine"));
    await queue("", { maxPriority: 5 });
    await channel.assertExchange(x, "direct", { durable: false });
    await channel.deleteQueue(q);
    await channel.deleteExchange(x);
  },

  async cancelled() {
    const q = await queue();
    await consume(channel, q);
    await (await open()).deleteQueue(q);
    await until(() => channel.cancels.length);
    assert.deepEqual(channel.cancels, [q]);
  },

  async exchanges() {
    const queues = { a: await queue("-a"), b: await queue("-b"), c: await queue("-c") };
    const name = (kind) => `${tag}-${kind}`;
    const kinds = ["direct", "fanout", "topic", "headers"];
    for (const kind of kinds) await channel.assertExchange(name(kind), kind, { durable: false });
    const bindings = [
      ["a", "direct", "k"], ["b", "direct", "k"], ["b", "direct", "l"], ["a", "fanout", ""], ["c", "fanout", "ignored"],
      ["a", "topic", "one.*"], ["b", "topic", "#.end"], ["c", "topic", "#"],
      ["a", "headers", "", { "x-match": "all", p: 1, q: "two" }], ["b", "headers", "", { "x-match": "any", p: 1, q: "other" }],
    ];
    for (const [q, kind, key, args] of bindings) await channel.bindQueue(queues[q], name(kind), key, args);
    const reaches = async (kind, key, want, options) => {
      channel.publish(name(kind), key, Buffer.from("x"), options);
      let got;
      await until(async () => {
        const full = await Promise.all(Object.entries(queues).map(async ([q, at]) => ((await count(at)) ? q : "")));
        return (got = full.join("")).length >= want.length;
      });
      assert.equal(got, want, `${kind} ${key}`);
      for (const q of Object.values(queues)) await channel.purgeQueue(q);
    };
    await reaches("direct", "k", "ab");
    await reaches("direct", "l", "b");
    await reaches("fanout", "any", "ac");
    await reaches("topic", "one.end", "abc");
    await reaches("topic", "end", "bc");
    await reaches("topic", "one.two.three", "c");
    await reaches("headers", "", "ab", { headers: { p: 1, q: "two" } });
    await reaches("headers", "", "b", { headers: { p: 1 } });
    await channel.bindExchange(name("fanout"), name("direct"), "k");
    await reaches("direct", "k", "abc");
    await channel.unbindExchange(name("fanout"), name("direct"), "k");
    await channel.unbindQueue(queues.a, name("direct"), "k");
    await reaches("direct", "k", "b");
    for (const q of Object.values(queues)) await channel.deleteQueue(q);
    for (const kind of kinds) await channel.deleteExchange(name(kind));
  },

  async lifetime() {
    const made = (await channel.assertQueue("", { exclusive: true })).queue;
    assert(made.startsWith("amq.gen-"), made);
    send(made, "x");
    await soon(made);
    const own = await queue("-auto", { durable: false, autoDelete: true });
    await channel.cancel(await consume(channel, own));
    await refused(404, (ch) => ch.checkQueue(own));
    const kept = await queue("-kept");
    const consumer = await consume(channel, kept);
    await refused(406, (ch) => ch.deleteQueue(kept, { ifUnused: true }));
    await channel.cancel(consumer);
    send(kept, "x");
    await until(() => count(kept));
    await refused(406, (ch) => ch.deleteQueue(kept, { ifEmpty: true }));
    await channel.deleteQueue(kept);
    const short = await queue("-short", { expires: 500 });
    await sleep(2000);
    await refused(404, (ch) => ch.checkQueue(short));
  },

  async replyto() {
    const q = await queue();
    await consume(channel, "amq.rabbitmq.reply-to", { noAck: true });
    send(q, "ask", { replyTo: "amq.rabbitmq.reply-to", correlationId: "c-1" });
    const server = await amqp.connect(url);
    const asked = await open(server);
    await consume(asked, q);
    await until(() => asked.inbox.length);
    const { replyTo, correlationId } = asked.inbox[0].properties;
    assert(replyTo.startsWith("amq.rabbitmq.reply-to."), replyTo);
    asked.sendToQueue(replyTo, Buffer.from("answer"), { correlationId });
    asked.ack(asked.inbox[0]);
    await until(() => channel.inbox.length);
    assert.deepEqual([bodies()[0], channel.inbox[0].properties.correlationId], ["answer", "c-1"]);
    await server.close();
    await channel.deleteQueue(q);
  },
};

(async () => {
  connection = await amqp.connect(url);
  channel = await open();
  await checks[check]();
  await connection.close();
  process.exit(0);
})().catch((error) => {
  console.log(`${error.stack}\n${String(error.message).split("\n").join(" ")}`);
  process.exit(1);
});
