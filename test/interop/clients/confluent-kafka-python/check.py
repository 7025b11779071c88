# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka-python: configurations name the bootstrap server, the group, where a new group starts, a codec."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType)
from records import BASE_MS, compare, records_once

BOOTSTRAP = {"bootstrap.servers": sys.argv[1]}


def consumer(group):
    return Consumer({**BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest"})


def produce_all(topic, rows, extra=None, partition=0):
    producer, errors = Producer({**BOOTSTRAP, **(extra or {})}), []
    for i, (key, value, headers) in enumerate(rows):
        producer.produce(topic, value, key, partition, headers=headers, timestamp=BASE_MS + i,
                         on_delivery=lambda err, _: errors.append(err) if err else None)
        producer.poll(0)
    assert producer.flush(60) == 0, "records are still in the queue after 60 s"
    assert not errors, errors[0]


def roundtrip(topic, codec):
    produce_all(topic, records_once(), None if codec == "none" else {"compression.type": codec})
    reader, index, end = consumer(topic), 0, time.time() + 60
    reader.subscribe([topic])
    while index < len(records_once()):
        assert time.time() < end, f"{index} records in 60 s"
        msg = reader.poll(0.5)
        if msg is None or (msg.error() and msg.error().name() == "UNKNOWN_TOPIC_OR_PART"):
            continue
        assert not msg.error(), msg.error()
        compare(index, msg.offset(), msg.key(), msg.value(), msg.headers(), msg.timestamp()[1])
        index += 1
    reader.close()


def produce(topic, first, last):
    producer = Producer(BOOTSTRAP)
    for i in range(int(first), int(last)):
        text = f"r{i}"
        producer.produce(topic, text, text)
        producer.poll(0)
        if i % 10 == 0:
            time.sleep(0.01)
    assert producer.flush(60) == 0


def member(topic, group):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    reader = consumer(group)
    reader.subscribe([topic])
    while not stop:
        msg = reader.poll(0.2)
        if msg is None:
            continue
        print(msg.error() or msg.value().decode(), flush=True, file=sys.stderr if msg.error() else sys.stdout)
    reader.close()


def only(futures):
    return list(futures.values())[0].result(30)


def create(topic, partitions):
    admin = AdminClient(BOOTSTRAP)
    only(admin.create_topics([NewTopic(topic, int(partitions))]))
    await_partitions(admin, topic, int(partitions))


def await_partitions(admin, topic, want):
    for _ in range(50):
        topics = admin.list_topics(timeout=20).topics
        seen = len(topics[topic].partitions) if topic in topics else 0
        if seen == want:
            return
        time.sleep(0.1)
    raise AssertionError(f"{topic} has {seen} partitions, {want} expected")


def config_of(admin, topic, name):
    return only(admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))[name].value


def admin(topic):
    a = AdminClient(BOOTSTRAP)
    only(a.create_topics([NewTopic(topic, 2, config={"retention.ms": "86400123"})]))
    try:
        only(a.create_topics([NewTopic(topic, 2)]))
        raise AssertionError("a second topic of that name was not refused")
    except KafkaException as e:
        assert e.args[0].name() == "TOPIC_ALREADY_EXISTS", e
    await_partitions(a, topic, 2)
    assert config_of(a, topic, "retention.ms") == "86400123"
    entry = ConfigEntry("retention.ms", "86400456", incremental_operation=AlterConfigOpType.SET)
    only(a.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))
    for _ in range(50):
        if config_of(a, topic, "retention.ms") == "86400456":
            break
        time.sleep(0.1)
    else:
        raise AssertionError("retention.ms was not altered")
    only(a.create_partitions([NewPartitions(topic, 5)]))
    await_partitions(a, topic, 5)
    produce_all(topic, records_once()[:5])
    where = TopicPartition(topic, 0)
    assert only(a.list_offsets({where: OffsetSpec.latest()})).offset == 5
    assert only(a.delete_records([TopicPartition(topic, 0, 3)])).low_watermark == 3
    assert only(a.list_offsets({where: OffsetSpec.earliest()})).offset == 3
    cluster = a.describe_cluster().result(30)
    assert cluster.cluster_id and len(cluster.nodes) == 1, cluster
    only(a.delete_topics([topic]))
    await_partitions(a, topic, 0)


def groups(group):
    a = AdminClient(BOOTSTRAP)
    assert group in [g.group_id for g in a.list_consumer_groups().result(30).valid]
    described = only(a.describe_consumer_groups([group]))
    assert described.group_id == group
    offsets = only(a.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    assert offsets.topic_partitions, "no committed offsets"
    only(a.delete_consumer_groups([group]))


globals()[sys.argv[2]](*sys.argv[3:])
