// SPDX-License-Identifier: Apache-2.0
//
// Finding a method by its number. The table is sorted, and six steps find any of 64.
#include "wire/wire_amqp.h"

const struct wire_method *wire_amqp_method(uint32_t id)
{
    uint32_t low = 0;
    uint32_t high = wire_amqp_methods_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (wire_amqp_methods[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < wire_amqp_methods_count && wire_amqp_methods[low].id == id;
    return found ? &wire_amqp_methods[low] : NULL;
}
