// SPDX-License-Identifier: Apache-2.0
//
// kafkajs: clients are made with the broker's address and the group, nothing else. It has gzip alone built in; the other
// three codecs are plug-ins that its users bring, so they are not its default configuration and are skipped in run.sh.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs');

const [address, verb, ...words] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [address], logLevel: logLevel.ERROR });
const baseMs = Date.now() - 60000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function records() {
    const rows = [
        { key: 'k', value: 'v', headers: { h1: ['a', 'b'], empty: '' } },
        { key: null, value: 'null key' },
        { key: 'tombstone', value: null },
        { key: '', value: '' },
        { key: 'binary', value: Buffer.from(Array.from({ length: 256 }, (_, i) => i)) },
    ];
    for (let i = 0; i < 3; i++)
        rows.push({ key: 'big', value: crypto.createHash('shake256', { outputLength: 990000 }).update(String(i)).digest() });
    for (let i = 0; i < 100; i++) rows.push({ key: 'small', value: 'w'.repeat(1024) });
    return rows.map((row, i) => ({ ...row, partition: 0, timestamp: String(baseMs + i) }));
}

const bytes = (x) => (x === null ? null : Buffer.from(x));

function compare(index, message, want) {
    assert.strictEqual(message.offset, String(index));
    assert.deepStrictEqual(message.key, bytes(want.key), `key of record ${index}`);
    assert.deepStrictEqual(message.value, bytes(want.value), `value of record ${index}`);
    assert.strictEqual(message.timestamp, want.timestamp);
    if (!want.headers) return;
    assert.deepStrictEqual(message.headers.h1.map(String), ['a', 'b']);
    assert.strictEqual(String(message.headers.empty), '');
}

// Three records of 990,000 bytes do not fit one batch of the broker's message.max.bytes, and kafkajs makes one batch
// of one send: so the big ones go one by one.
async function sendAll(topic, rows, compression) {
    const producer = kafka.producer();
    await producer.connect();
    const parts = [rows.slice(0, 5), ...rows.slice(5, 8).map((row) => [row]), rows.slice(8)];
    for (const messages of parts) if (messages.length) await producer.send({ topic, messages, compression });
    await producer.disconnect();
}

async function readAll(topic, rows) {
    const consumer = kafka.consumer({ groupId: topic });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    let index = 0;
    await new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(`${index} records in 60 s`)), 60000).unref();
        consumer.run({
            eachMessage: async ({ message }) => {
                try {
                    compare(index, message, rows[index]);
                    if (++index === rows.length) resolve();
                } catch (e) {
                    reject(e);
                }
            },
        });
    });
    await consumer.disconnect();
}

async function awaitPartitions(admin, topic, want) {
    let seen;
    for (let i = 0; i < 50; i++) {
        const there = (await admin.listTopics()).includes(topic);
        seen = there ? (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length : 0;
        if (seen === want) return;
        await sleep(100);
    }
    throw new Error(`${topic} has ${seen} partitions, ${want} expected`);
}

async function withAdmin(work) {
    const admin = kafka.admin();
    await admin.connect();
    await work(admin);
    await admin.disconnect();
}

const verbs = {
    async roundtrip(topic, codec) {
        await verbs.create(topic, 1);
        const rows = records();
        await sendAll(topic, rows, codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None);
        await readAll(topic, rows);
    },
    create: (topic, partitions) =>
        withAdmin(async (admin) => {
            assert(await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions) }] }));
            await awaitPartitions(admin, topic, Number(partitions));
        }),
    async produce(topic, from, to) {
        const producer = kafka.producer();
        await producer.connect();
        for (let i = Number(from); i < Number(to); i += 20) {
            const messages = [];
            for (let j = i; j < Math.min(i + 20, Number(to)); j++) messages.push({ key: `r${j}`, value: `r${j}` });
            await producer.send({ topic, messages });
            await sleep(20);
        }
        await producer.disconnect();
    },
    async member(topic, groupId) {
        const consumer = kafka.consumer({ groupId });
        process.on('SIGTERM', () => consumer.disconnect().then(() => process.exit(0)));
        await consumer.connect();
        await consumer.subscribe({ topic, fromBeginning: true });
        await consumer.run({ eachMessage: async ({ message }) => void process.stdout.write(`${message.value}\n`) });
        await new Promise(() => {});
    },
    admin: (topic) =>
        withAdmin(async (admin) => {
            const configEntries = [{ name: 'retention.ms', value: '86400123' }];
            assert(await admin.createTopics({ topics: [{ topic, numPartitions: 2, configEntries }] }));
            assert.strictEqual(await admin.createTopics({ topics: [{ topic }] }), false, 'the topic exists');
            await awaitPartitions(admin, topic, 2);
            const { resources } = await admin.describeConfigs({
                resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }],
            });
            assert.strictEqual(resources[0].configEntries[0].configValue, '86400123');
            await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
            await awaitPartitions(admin, topic, 5);
            await sendAll(topic, records().slice(0, 5));
            await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] });
            const first = (await admin.fetchTopicOffsets(topic)).find((p) => p.partition === 0);
            assert.deepStrictEqual([first.low, first.high], ['3', '5']);
            const at = await admin.fetchTopicOffsetsByTimestamp(topic, baseMs + 4);
            assert.strictEqual(at.find((p) => p.partition === 0).offset, '4');
            assert.strictEqual((await admin.describeCluster()).brokers.length, 1);
            await admin.deleteTopics({ topics: [topic] });
            await awaitPartitions(admin, topic, 0);
        }),
    groups: (group) =>
        withAdmin(async (admin) => {
            assert((await admin.listGroups()).groups.some((g) => g.groupId === group), 'not listed');
            assert.strictEqual((await admin.describeGroups([group])).groups[0].groupId, group);
            assert((await admin.fetchOffsets({ groupId: group })).length > 0, 'no committed offsets');
            await admin.deleteGroups([group]);
        }),
};

verbs[verb](...words).then(
    () => process.exit(0),
    (e) => {
        console.error(String(e && e.message ? e.message : e).replace(/\n/g, ' '));
        process.exit(1);
    }
);
