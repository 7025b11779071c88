// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as any message in any version, in both directions. The first byte picks the message,
// the second the version; 255 as the first byte means a whole frame instead, whose header names
// both, 254 a method of AMQP, which the second byte picks. What decodes must encode, and from then
// on nothing may change any more: the same message, the same bytes, the size that was measured, and
// a text of it for the traces.
//
// covers: src/wire/wire_decode.c src/wire/wire_encode.c src/wire/wire_print.c src/wire/wire.c
#include "wire/wire.h"

#include "base/assert.h"
#include "base/err.h"
#include "wire/wire_amqp.h"
#include "wire/wire_kafka.h"

#define ARENA_MAX (4 << 20)
#define OUT_MAX   (8 << 20)
#define TEXT_MAX  4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union root {
    uint8_t bytes[512];
    max_align_t align;
};

static void check_text(const struct wire_msg *msg, int version, const union root *in)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    wire_print(msg, version, in, &text);
    ASSERT(text.len > 0 || text.err == ERR_LIMIT);
    for (size_t i = 0; i < text.len; i++) {
        ASSERT(text.data[i] >= 0x20);
        ASSERT(text.data[i] < 0x7f);
    }
    buf_fini(&text);
}

static void check_stable(const struct wire_msg *msg, int version, const union root *first,
                         struct arena *arena)
{
    struct wire_out bytes;
    struct wire_out again;
    union root second;
    wire_out_init(&bytes, OUT_MAX);
    wire_out_init(&again, OUT_MAX);
    int err = wire_encode(msg, version, first, &bytes);
    ASSERT(err == 0);
    ASSERT(wire_out_bytes(&bytes) == wire_size(msg, version, first));
    struct cursor in = cursor_of(buf_slice(&bytes.buf));
    err = wire_decode(msg, version, &in, arena, &second);
    ASSERT(err == 0);
    ASSERT(cursor_left(&in) == 0);
    ASSERT(wire_equal(msg, version, first, &second));
    err = wire_encode(msg, version, &second, &again);
    ASSERT(err == 0);
    ASSERT(slice_eq(buf_slice(&bytes.buf), buf_slice(&again.buf)));
    wire_out_fini(&again);
    wire_out_fini(&bytes);
}

static void one_message(const struct wire_msg *msg, int version, struct cursor *in,
                        struct arena *arena)
{
    struct arena second;
    union root root;
    ASSERT(msg->root->size <= sizeof root);
    int err = wire_decode(msg, version, in, arena, &root);
    ASSERT(err == 0 || err == in->err || err == ERR_UNSUPPORTED_VERSION);
    if (err != 0)
        return;
    arena_init(&second, ARENA_MAX); // what fitted once fits again
    check_stable(msg, version, &root, &second);
    check_text(msg, version, &root);
    arena_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    if (data[0] == 255) {
        struct cursor in = cursor_of(slice_of(data + 1, size - 1));
        struct kafka_request_header head;
        const struct wire_api *api;
        if (wire_request_header_decode(&in, &arena, &api, &head) == 0 && api != NULL)
            one_message(api->request, head.request_api_version, &in, &arena);
    } else if (data[0] == 254) {
        struct cursor in = cursor_of(slice_of(data + 2, size - 2));
        one_message(wire_amqp_methods[data[1] % wire_amqp_methods_count].msg, 0, &in, &arena);
    } else {
        struct cursor in = cursor_of(slice_of(data + 2, size - 2));
        const struct wire_msg *msg = wire_kafka_messages[data[0] % wire_kafka_messages_count];
        int versions = msg->max_version - msg->min_version + 1;
        one_message(msg, msg->min_version + data[1] % versions, &in, &arena);
    }
    arena_fini(&arena);
    return 0;
}
