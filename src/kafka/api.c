// SPDX-License-Identifier: Apache-2.0
//
// The table of APIs that the door serves. Which versions it serves is the schema's to say
// (schema/kafka/*.msg hold exactly the ranges that are implemented); what a handler needs stands
// here.
#include "kafka/kafka_int.h"

const struct kafka_handler kafka_handlers[] = {
    // librdkafka up to 2.8 switches compression off unless Produce is offered from version 0
    // (KAFKA-18659); nobody sends those versions, and they are refused like any other.
    {.key = KAFKA_API_PRODUCE,
     .advertised_min = 0,
     .flags = KAFKA_APPENDS | KAFKA_OVERLAPS,
     .handle = kafka_produce_handle},
    {.key = KAFKA_API_FETCH,
     .advertised_min = -1,
     .flags = KAFKA_OVERLAPS,
     .handle = kafka_fetch_handle,
     .cancel = kafka_fetch_cancel,
     .fini = kafka_fetch_fini},
    {.key = KAFKA_API_METADATA, .advertised_min = -1, .handle = kafka_metadata_handle},
    {.key = KAFKA_API_API_VERSIONS, .advertised_min = -1, .handle = kafka_api_versions_handle},
};
const uint32_t kafka_handlers_count = sizeof kafka_handlers / sizeof kafka_handlers[0];

const struct kafka_handler *kafka_handler_find(int16_t key)
{
    for (uint32_t i = 0; i < kafka_handlers_count; i++)
        if (kafka_handlers[i].key == key)
            return &kafka_handlers[i];
    return NULL;
}
