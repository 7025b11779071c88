// SPDX-License-Identifier: Apache-2.0
//
// The books. Every record is known by its key (a slot) and a number that rises by one; its bytes
// follow from these two, so that whatever the server hands out can be judged without asking it
// anything: was it sent, is it whole, did it come before, is it in order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

struct value_head {
    uint32_t slot, number, len;
};

// Half of the keys have bytes that compress.
static uint8_t value_mask(uint32_t slot)
{
    return slot & 1 ? 7 : 0xff;
}

void value_fill(uint8_t *out, uint32_t len, uint32_t slot, uint32_t number)
{
    struct value_head head = {slot, number, len};
    memcpy(out, &head, sizeof head);
    uint64_t state = ((uint64_t)slot << 32 | number) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    uint64_t mask = UINT64_C(0x0101010101010101) * value_mask(slot);
    for (uint32_t at = sizeof head; at < len; at += 8) {
        uint64_t x = next_random(&state) & mask;
        memcpy(out + at, &x, len - at < 8 ? len - at : 8);
    }
}

bool value_right(const uint8_t *value, size_t len, uint32_t *out_slot, uint32_t *out_number)
{
    static _Thread_local uint8_t expected[1 << 20];
    struct value_head head;
    if (len < sizeof head || len > sizeof expected)
        return false;
    memcpy(&head, value, sizeof head);
    if (head.slot >= SLOTS || head.len != len)
        return false;
    value_fill(expected, head.len, head.slot, head.number);
    *out_slot = head.slot;
    *out_number = head.number;
    return memcmp(expected, value, len) == 0;
}

void ledger_init(struct ledger *l)
{
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    for (uint32_t i = 0; i < SLOTS; i++)
        l->slots[i].last_found = -1;
}

static void slot_grow(struct slot *s)
{
    uint32_t capacity = s->capacity == 0 ? 4096 : s->capacity * 2;
    uint8_t **arrays[] = {&s->fate, &s->found, &s->heard};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i] = realloc(*arrays[i], capacity);
        if (*arrays[i] == NULL)
            fail("out of memory");
        memset(*arrays[i] + s->capacity, 0, capacity - s->capacity);
    }
    s->capacity = capacity;
}

uint32_t ledger_send(struct ledger *l, uint32_t slot, size_t bytes)
{
    pthread_mutex_lock(&l->lock);
    struct slot *s = &l->slots[slot];
    if (s->sent == s->capacity)
        slot_grow(s);
    uint32_t number = s->sent++;
    s->fate[number] = FATE_SENT;
    l->sent++;
    l->bytes += bytes;
    pthread_mutex_unlock(&l->lock);
    return number;
}

void ledger_answer(struct ledger *l, uint32_t slot, uint32_t number, const char *refusal)
{
    pthread_mutex_lock(&l->lock);
    l->slots[slot].fate[number] = refusal == NULL ? FATE_ACKNOWLEDGED : FATE_REFUSED;
    if (refusal == NULL)
        l->acknowledged++;
    else if (l->refused++ == 0)
        (void)snprintf(l->refusal, sizeof l->refusal, "%s", refusal);
    pthread_mutex_unlock(&l->lock);
}

// With the lock held: the slot of a record that was sent, exactly so and to there, or NULL.
static struct slot *known(struct ledger *l, const rd_kafka_message_t *m, uint32_t *out_number)
{
    uint32_t slot;
    if (!value_right(m->payload, m->len, &slot, out_number))
        return NULL;
    const char *topic = rd_kafka_topic_name(m->rkt);
    char key[16];
    int key_len = snprintf(key, sizeof key, "k%u", slot);
    if (strcmp(topic, topic_names[slot_topic(slot)]) != 0 || m->partition != slot_partition(slot))
        return NULL;
    if (m->key_len != (size_t)key_len || memcmp(m->key, key, m->key_len) != 0)
        return NULL;
    return *out_number < l->slots[slot].sent ? &l->slots[slot] : NULL;
}

bool ledger_heard(struct ledger *l, const rd_kafka_message_t *m)
{
    uint32_t number;
    pthread_mutex_lock(&l->lock);
    struct slot *s = known(l, m, &number);
    if (s != NULL)
        s->heard[number] = 1; // how often is the group's affair: at least once
    else
        l->alien++;
    pthread_mutex_unlock(&l->lock);
    return s != NULL;
}

void ledger_found(struct ledger *l, const rd_kafka_message_t *m)
{
    uint32_t number;
    pthread_mutex_lock(&l->lock);
    struct slot *s = known(l, m, &number);
    if (s == NULL) {
        l->alien++;
    } else if (s->found[number] > 0) {
        l->duplicated++;
    } else {
        s->found[number] = 1;
        l->reordered += number < s->last_found;
        s->last_found = number > s->last_found ? number : s->last_found;
    }
    pthread_mutex_unlock(&l->lock);
}

void ledger_close(struct ledger *l)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct slot *s = &l->slots[i];
        for (uint32_t n = 0; n < s->sent; n++) {
            if (s->fate[n] != FATE_ACKNOWLEDGED)
                continue;
            l->lost += s->found[n] == 0;
            l->unheard += s->heard[n] == 0;
        }
    }
}
