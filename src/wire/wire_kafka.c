// SPDX-License-Identifier: Apache-2.0
//
// Kafka's frames and headers. The rules are few, but each has cost somebody a day, so they stand
// here once, for the door and for those who call it.
#include "wire/wire_kafka.h"

#include "wire/wire_int.h"

const struct wire_api *wire_kafka_api(int16_t key)
{
    uint32_t low = 0;
    uint32_t high = wire_kafka_apis_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (wire_kafka_apis[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == wire_kafka_apis_count || wire_kafka_apis[low].key != key)
        return NULL;
    return &wire_kafka_apis[low];
}

bool wire_kafka_api_has(const struct wire_api *api, int version)
{
    return version >= api->min_version && version <= api->max_version;
}

int wire_request_header_version(const struct wire_api *api, int version)
{
    return version >= api->flexible_since ? 2 : 1;
}

// KIP-511: "the response header of ApiVersions is always version 0", because a client that asked in
// a version which the server does not know must be able to read the answer.
int wire_response_header_version(const struct wire_api *api, int version)
{
    if (api->key == KAFKA_API_API_VERSIONS)
        return 0;
    return version >= api->flexible_since ? 1 : 0;
}

int wire_request_header_decode(struct cursor *in, struct arena *arena,
                               const struct wire_api **out_api, struct kafka_request_header *out)
{
    struct cursor ahead = *in;
    struct kafka_request_header head;
    wire_default(&kafka_request_header_type, &head);
    head.request_api_key = (int16_t)cursor_be16(&ahead);
    head.request_api_version = (int16_t)cursor_be16(&ahead);
    head.correlation_id = (int32_t)cursor_be32(&ahead);
    const struct wire_api *api = wire_kafka_api(head.request_api_key);
    if (ahead.err != 0 || api == NULL) {
        *in = ahead;
    } else {
        int version = wire_request_header_version(api, head.request_api_version);
        int err = wire_decode(&kafka_request_header_msg, version, in, arena, &head);
        if (err != 0)
            return err;
    }
    if (in->err != 0)
        return in->err;
    *out_api = api;
    *out = head;
    return 0;
}

static size_t frame_begin(struct wire_out *out)
{
    buf_put_be32(&out->buf, 0);
    return wire_out_bytes(out);
}

static int frame_end(struct wire_out *out, size_t begin)
{
    size_t len = wire_out_bytes(out) - begin;
    if (out->buf.err == 0 && len > INT32_MAX)
        out->buf.err = ERR_LIMIT;
    return out->buf.err;
}

int wire_request_frame(const struct wire_api *api, int version, int32_t correlation_id,
                       struct slice client_id, const void *request, struct wire_out *out)
{
    struct kafka_request_header head = {.request_api_key = api->key,
                                        .request_api_version = (int16_t)version,
                                        .correlation_id = correlation_id,
                                        .client_id = client_id};
    size_t at = out->buf.len;
    size_t begin = frame_begin(out);
    wire_encode(&kafka_request_header_msg, wire_request_header_version(api, version), &head, out);
    wire_encode(api->request, version, request, out);
    int err = frame_end(out, begin);
    if (err == 0)
        buf_set_be32(&out->buf, at, (uint32_t)(wire_out_bytes(out) - begin));
    return err;
}

int wire_response_frame(const struct wire_api *api, int version, int32_t correlation_id,
                        const void *response, struct wire_out *out)
{
    struct kafka_response_header head = {.correlation_id = correlation_id};
    size_t at = out->buf.len;
    size_t begin = frame_begin(out);
    wire_encode(&kafka_response_header_msg, wire_response_header_version(api, version), &head, out);
    wire_encode(api->response, version, response, out);
    int err = frame_end(out, begin);
    if (err == 0)
        buf_set_be32(&out->buf, at, (uint32_t)(wire_out_bytes(out) - begin));
    return err;
}
