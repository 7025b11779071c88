# SPDX-License-Identifier: Apache-2.0
"""kafka-python: clients are made with the bootstrap server, the group, where a new group starts, a codec."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError
from records import BASE_MS, compare, drop_null_headers, records_once

SERVER = sys.argv[1]


def consumer(topic, group):
    return KafkaConsumer(topic, bootstrap_servers=SERVER, group_id=group, auto_offset_reset="earliest")


def produce_all(topic, rows, **extra):
    producer = KafkaProducer(bootstrap_servers=SERVER, **extra)
    futures = [
        producer.send(topic, value, key, headers, 0, BASE_MS + i) for i, (key, value, headers) in enumerate(rows)
    ]
    producer.flush(60)
    for i, future in enumerate(futures):
        assert future.get(30).offset == i
    producer.close()


def roundtrip(topic, codec):
    produce_all(topic, records_once(), **({} if codec == "none" else {"compression_type": codec}))
    reader, index, end = consumer(topic, topic), 0, time.time() + 60
    while index < len(records_once()):
        assert time.time() < end, f"{index} records in 60 s"
        for batch in reader.poll(500).values():
            for msg in batch:
                compare(index, msg.offset, msg.key, msg.value, msg.headers, msg.timestamp)
                index += 1
    reader.close()


def produce(topic, first, last):
    producer = KafkaProducer(bootstrap_servers=SERVER)
    sent = []
    for i in range(int(first), int(last)):
        text = f"r{i}".encode()
        sent.append(producer.send(topic, text, text))
        if i % 10 == 0:
            time.sleep(0.01)
    producer.flush(60)
    for future in sent:
        future.get(30)
    producer.close()


def member(topic, group):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    reader = consumer(topic, group)
    while not stop:
        for batch in reader.poll(200).values():
            for msg in batch:
                print(msg.value.decode(), flush=True)
    reader.close()


def create(topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=SERVER)
    admin.create_topics([NewTopic(topic, int(partitions), -1)])
    await_partitions(admin, topic, int(partitions))


def await_partitions(admin, topic, want):
    for _ in range(50):
        seen = len(admin.describe_topics([topic])[0]["partitions"]) if topic in admin.list_topics() else 0
        if seen == want:
            return
        time.sleep(0.1)
    raise AssertionError(f"{topic} has {seen} partitions, {want} expected")


def admin(topic):
    a = KafkaAdminClient(bootstrap_servers=SERVER)
    a.create_topics([NewTopic(topic, 2, -1, topic_configs={"retention.ms": "86400123"})])
    try:
        a.create_topics([NewTopic(topic, 2, -1)])
        raise AssertionError("a second topic of that name was not refused")
    except TopicAlreadyExistsError:
        pass
    await_partitions(a, topic, 2)
    found = a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    assert "86400123" in str(found), found
    a.create_partitions({topic: 5})
    await_partitions(a, topic, 5)
    produce_all(topic, records_once()[:5])
    where = TopicPartition(topic, 0)
    a.delete_records({where: 3})
    reader = KafkaConsumer(bootstrap_servers=SERVER)
    assert reader.beginning_offsets([where])[where] == 3
    assert reader.end_offsets([where])[where] == 5
    assert reader.offsets_for_times({where: BASE_MS + 4})[where].offset == 4
    reader.close()
    assert len(a.describe_cluster()["brokers"]) == 1
    a.delete_topics([topic])
    await_partitions(a, topic, 0)


def groups(group):
    a = KafkaAdminClient(bootstrap_servers=SERVER)
    assert group in str(a.list_groups()), "not listed"
    assert group in str(a.describe_groups([group])), "not described"
    assert a.list_group_offsets([group]), "no committed offsets"
    a.delete_groups([group])


drop_null_headers()  # kafka-python refuses a header whose value is None
globals()[sys.argv[2]](*sys.argv[3:])
