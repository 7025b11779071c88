// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the body of any request that the door serves, run against a whole node with three
// shards in the simulated world. The first byte picks the API, the second the version; 255 as the
// first byte sends the rest as it is, frames and all. After it the connection may be open or not,
// but nothing is left of it once it is closed, and the node serves on.
//
// covers: src/kafka/request.c src/kafka/conn_read.c
#define RIG_PLAIN
#include "base/endian.h"
#include "kafka/rig_kafka_test.h"

#define ROUNDS_PER_NODE 64 // what inputs leave behind (topics, groups) goes with the node

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static int rounds;

// A frame around the body, with the header that the version has.
static size_t frame_around(const struct wire_api *api, int version, const uint8_t *body, size_t len,
                           uint8_t *out)
{
    size_t at = 4;
    be16_put(out + at, (uint16_t)api->key);
    be16_put(out + at + 2, (uint16_t)version);
    be32_put(out + at + 4, 1);
    be16_put(out + at + 8, 0xffff);
    at += 10;
    if (wire_request_header_version(api, version) == 2)
        out[at++] = 0;
    memcpy(out + at, body, len);
    at += len;
    be32_put(out, (uint32_t)(at - 4));
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 16)
        return 0;
    if (rounds == 0)
        rig_init(&rig);
    uint8_t *bytes = mem_alloc(size + 32);
    size_t len = size - 1;
    if (data[0] == 255) {
        memcpy(bytes, data + 1, len);
    } else {
        const struct kafka_handler *h = &kafka_handlers[data[0] % kafka_handlers_count];
        const struct wire_api *api = wire_kafka_api(h->key);
        int versions = api->max_version - api->min_version + 1;
        int version = api->min_version + data[1] % versions;
        len = frame_around(api, version, data + 2, size - 2, bytes);
    }
    struct rig_raw raw;
    rig_raw_open(&rig, &raw);
    rig_raw_send(&raw, bytes, len);
    rig_run(&rig, SECONDS(2));
    rig_raw_close(&raw);
    rig_run(&rig, SECONDS(20));
    // Behind a fetch that waits, and as many requests as are read, nobody sees the client leave.
    if (rig_connections(&rig) > 0)
        rig_run(&rig, SECONDS(KAFKA_FETCH_WAIT_MAX_MS / 1000));
    ASSERT(rig_connections(&rig) == 0);
    mem_free(bytes);
    if (++rounds == ROUNDS_PER_NODE) {
        rig_fini(&rig);
        rounds = 0;
    }
    return 0;
}
