// SPDX-License-Identifier: Apache-2.0
//
// The ledger: what was heard, against what was sent. Every play of a station has a number, so loss,
// repetition and disorder all show without trusting the server's own counters.
#include <stdlib.h>
#include <string.h>

#include "demo.h"

void ledger_init(struct ledger *l, uint64_t capacity, size_t artists)
{
    memset(l, 0, sizeof *l);
    l->capacity = capacity;
    l->artists = artists;
    l->artist_plays = calloc(artists, sizeof l->artist_plays[0]);
    for (size_t i = 0; i < STATIONS_MAX; i++) {
        l->seen[i] = calloc(capacity, 1);
        l->last_number[i] = -1;
    }
}

void ledger_note(struct ledger *l, const struct heard *h)
{
    l->read++;
    l->bytes += h->bytes;
    if (h->station >= STATIONS_MAX || h->number >= l->capacity)
        return;
    if (h->number <= l->last_number[h->station] && !l->seen[h->station][h->number])
        l->reordered++;
    if (h->number > l->last_number[h->station])
        l->last_number[h->station] = h->number;
    if (l->seen[h->station][h->number]++ > 0) {
        l->again++;
        return;
    }
    uint32_t artist = h->hour_artist & 0xffff;
    l->hour_plays[(h->hour_artist >> 16) % 24]++;
    if (artist < l->artists)
        l->artist_plays[artist]++;
}

uint64_t ledger_missing(const struct ledger *l, const uint32_t *sequence, size_t stations)
{
    uint64_t missing = 0;
    for (size_t s = 0; s < stations && s < STATIONS_MAX; s++)
        for (uint32_t n = 0; n < sequence[s]; n++)
            missing += l->seen[s][n] == 0;
    return missing;
}
