// SPDX-License-Identifier: Apache-2.0
//
// ApiVersions: what this door serves, straight from the table of APIs, so that nothing can be
// advertised that is not there. Features: only what is true. metadata.version and group.version
// tell clients which admin calls and group protocols to try; classic groups are group.version 0,
// which is "not finalised" and therefore absent; transactions and share groups likewise.
#include "kafka/kafka_int.h"
#include "wire/gen/kafka_api_versions.h"

// Kafka 4.0-IV3 is level 25; clients compare it with what they need for describing features only.
#define METADATA_VERSION_MIN 7 // the lowest of Kafka 4
#define METADATA_VERSION     25

static bool api_versions_keys(struct kafka_request *r, struct kafka_api_versions_response *answer)
{
    const struct wire_struct *type = &kafka_api_versions_response_api_key_type;
    answer->api_keys = kafka_alloc_default(r, type, kafka_handlers_count);
    if (answer->api_keys == NULL)
        return false;
    for (uint32_t i = 0; i < kafka_handlers_count; i++) {
        const struct kafka_handler *api = &kafka_handlers[i];
        if ((api->flags & KAFKA_HIDDEN) != 0)
            continue;
        const struct wire_api *wire = wire_kafka_api(api->key);
        struct kafka_api_versions_response_api_key *key =
            &answer->api_keys[answer->api_keys_count++];
        key->api_key = api->key;
        key->min_version = api->advertised_min >= 0 ? api->advertised_min : wire->min_version;
        key->max_version = wire->max_version;
    }
    return true;
}

static bool alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

// KIP-511: name and version of the client's software are letters, digits, '-' and '.', and begin
// and end with a letter or digit.
static bool software_ok(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!alnum(text.data[i]) && text.data[i] != '-' && text.data[i] != '.')
            return false;
    return text.len > 0 && alnum(text.data[0]) && alnum(text.data[text.len - 1]);
}

static bool api_versions_ok(const struct kafka_request *r)
{
    const struct kafka_api_versions_request *q = r->message;
    return r->version < 3 ||
           (software_ok(q->client_software_name) && software_ok(q->client_software_version));
}

void kafka_api_versions_handle(struct kafka_request *r)
{
    struct kafka_api_versions_response answer;
    wire_default(&kafka_api_versions_response_type, &answer);
    if (wire_kafka_api_has(r->wire, r->version) && !api_versions_ok(r)) {
        answer.error_code = err_kafka(ERR_INVALID_REQUEST);
        kafka_answer(r, &answer);
        return;
    }
    if (!api_versions_keys(r, &answer))
        return;
    // KIP-511: "UNSUPPORTED_VERSION ... the response will be in version 0 and carry the keys".
    if (!wire_kafka_api_has(r->wire, r->version)) {
        answer.error_code = err_kafka(ERR_UNSUPPORTED_VERSION);
        kafka_answer_version(r, 0, &answer);
        return;
    }
    struct kafka_api_versions_response_supported_feature supported = {
        .name = slice_cstr("metadata.version"),
        .min_version = METADATA_VERSION_MIN,
        .max_version = METADATA_VERSION,
    };
    struct kafka_api_versions_response_finalized_feature finalized = {
        .name = slice_cstr("metadata.version"),
        .max_version_level = METADATA_VERSION,
        .min_version_level = METADATA_VERSION,
    };
    answer.supported_features = &supported;
    answer.supported_features_count = 1;
    answer.finalized_features = &finalized;
    answer.finalized_features_count = 1;
    answer.finalized_features_epoch = 0;
    kafka_answer(r, &answer);
}
