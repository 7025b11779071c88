// SPDX-License-Identifier: Apache-2.0
//
// Kafka's frame around a message: which APIs and versions the tables hold, which header goes with
// which version, and whole frames for those who send them. The list of APIs is what the schema
// describes; what a door offers of it is the door's decision.
//
// A frame, OFFSET SIZE FIELD:
//   0 4 length of what follows, i32
//   4 - header: RequestHeader 1 or 2, ResponseHeader 0 or 1
//   - - the message
//
// Spec: Kafka's protocol guide; KIP-482 for the headers, KIP-511 for ApiVersions' exception.
#ifndef WEIR_WIRE_WIRE_KAFKA_H
#define WEIR_WIRE_WIRE_KAFKA_H

#include "wire/gen/kafka_apis.h" // enum kafka_api { KAFKA_API_PRODUCE = 0, … }
#include "wire/gen/kafka_header.h"
#include "wire/wire.h"

struct wire_api {
    const char *name; // "Fetch"
    const struct wire_msg *request;
    const struct wire_msg *response;
    int16_t key;
    uint8_t min_version, max_version;
    uint8_t flexible_since; // WIRE_NEVER_FLEXIBLE if no version is
};

extern const struct wire_api wire_kafka_apis[]; // by rising key
extern const uint32_t wire_kafka_apis_count;
extern const struct wire_msg *const wire_kafka_messages[]; // those and headers and data
extern const uint32_t wire_kafka_messages_count;

const struct wire_api *wire_kafka_api(int16_t key); // NULL if the tables do not have it
bool wire_kafka_api_has(const struct wire_api *api, int version);

// The version of the header that goes with a version of an API. For versions that the tables do not
// have, too: a server must read the header of a request before it can refuse it.
int wire_request_header_version(const struct wire_api *api, int version);
int wire_response_header_version(const struct wire_api *api, int version);

// Reads the header of a request from the frame's bytes after the length. *out_api is NULL when the
// key is unknown; then only key, version and correlation id are read and the cursor stands behind
// them. ERR_TRUNCATED, ERR_MALFORMED.
int wire_request_header_decode(struct cursor *in, struct arena *arena,
                               const struct wire_api **out_api, struct kafka_request_header *out);

// Append a whole frame: length, header, message. Returns 0 or the buffer's error.
int wire_request_frame(const struct wire_api *api, int version, int32_t correlation_id,
                       struct slice client_id, const void *request, struct wire_out *out);
int wire_response_frame(const struct wire_api *api, int version, int32_t correlation_id,
                        const void *response, struct wire_out *out);

#endif
