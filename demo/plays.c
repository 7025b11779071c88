// SPDX-License-Identifier: Apache-2.0
//
// The listening log. Real: one week of song plays on 25 classic-rock stations (FiveThirtyEight,
// "Why Classic Rock Isn't What It Used To Be", CC BY 4.0), read where it lies. Without it: a week
// made from published figures (25 stations, 477 artists, long-tailed plays per artist, the share of
// plays by hour), so that the demo runs anywhere.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "demo.h"

// ---- names, each once

static uint32_t name_index(char ***names, size_t *count, const char *name)
{
    // A demo's worth of names: linear from the end, since equal names come in runs.
    for (size_t i = *count; i-- > 0;)
        if (strcmp((*names)[i], name) == 0)
            return (uint32_t)i;
    *names = realloc(*names, (*count + 1) * sizeof **names);
    (*names)[*count] = strdup(name);
    return (uint32_t)(*count)++;
}

static void play_add(struct plays *p, const char *song, const char *artist, const char *station,
                     int64_t ts_ms)
{
    if ((p->count & (p->count - 1)) == 0)
        p->items = realloc(p->items, (p->count == 0 ? 1 : p->count * 2) * sizeof p->items[0]);
    struct play *play = &p->items[p->count++];
    play->ts_ms = ts_ms;
    play->song = name_index(&p->songs, &p->songs_count, song);
    play->artist = (uint16_t)name_index(&p->artists, &p->artists_count, artist);
    play->station = (uint16_t)name_index(&p->stations, &p->stations_count, station);
}

// ---- the real one: CSV with quotes

static char *field_next(char **at)
{
    char *p = *at;
    char *out = p;
    char *field = p;
    if (*p == '"') {
        field = out = ++p;
        while (*p != '\0' && !(*p == '"' && p[1] != '"')) {
            p += *p == '"';
            *out++ = *p++;
        }
        p += *p == '"';
    } else {
        while (*p != '\0' && *p != ',')
            p++;
        out = p;
    }
    *at = *p == ',' ? p + 1 : p;
    *out = '\0';
    return field;
}

static bool load_real(struct plays *p, const char *dir)
{
    char path[512];
    char line[2048];
    snprintf(path, sizeof path, "%s/music_radio/plays.csv.gz", dir);
    gzFile f = gzopen(path, "rb");
    if (f == NULL)
        return false;
    (void)gzgets(f, line, sizeof line); // the heading
    while (gzgets(f, line, sizeof line) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        char *at = line;
        char *song = field_next(&at);
        char *artist = field_next(&at);
        char *station = field_next(&at);
        play_add(p, song, artist, station, strtoll(field_next(&at), NULL, 10) * 1000);
    }
    gzclose(f);
    p->real = true;
    snprintf(p->source, sizeof p->source,
             "one week on %zu classic-rock stations (FiveThirtyEight, CC BY 4.0)",
             p->stations_count);
    return p->count > 0;
}

// ---- the made one

static uint64_t rng = 20240603;

static uint32_t rnd(uint32_t below)
{
    rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((rng >> 33) % below);
}

static void load_made(struct plays *p)
{
    // Plays per local hour, the figures that the data folder's parameters.json publishes with its
    // sources.
    static const int hours[24] = {118, 64,  2,   0,   0,   0,   0,  0,   127, 98, 90,  177,
                                  144, 353, 126, 205, 231, 263, 94, 245, 90,  80, 124, 140};
    char song[64], artist[64], station[16];
    int sum = 0;
    for (int h = 0; h < 24; h++)
        sum += hours[h];
    for (int i = 0; i < 37673; i++) {
        int hour = 0;
        for (int left = (int)rnd((uint32_t)sum); left >= hours[hour]; hour++)
            left -= hours[hour];
        uint32_t a = 477;
        while (a >= 477) // rank by 1/x: few artists have most of the plays
            a = 477 / (1 + rnd(477));
        snprintf(artist, sizeof artist, "Artist %03u", a);
        snprintf(song, sizeof song, "Song %u of artist %03u", rnd(20), a);
        snprintf(station, sizeof station, "W%03u", rnd(25));
        int64_t day = 1402876800000 + (int64_t)rnd(7) * 86400000;
        play_add(p, song, artist, station, day + hour * 3600000 + (int64_t)rnd(3600000));
    }
    snprintf(p->source, sizeof p->source, "a generated week on 25 stations (no real log at hand)");
}

static int by_station_and_time(const void *a, const void *b)
{
    const struct play *x = a;
    const struct play *y = b;
    if (x->station != y->station)
        return x->station < y->station ? -1 : 1;
    if (x->ts_ms != y->ts_ms)
        return x->ts_ms < y->ts_ms ? -1 : 1;
    return x->song < y->song ? -1 : x->song > y->song;
}

void plays_load(struct plays *out)
{
    const char *dir = getenv("WEIR_DATA");
    memset(out, 0, sizeof *out);
    if (!load_real(out, dir != NULL ? dir : "../shared/data"))
        load_made(out);
    qsort(out->items, out->count, sizeof out->items[0], by_station_and_time);
}
