// SPDX-License-Identifier: Apache-2.0
//
// What clients did and saw, as lines of text with virtual times: the last ones are shown when a
// seed fails, all of them with --trace. Every line enters the universe's hash too, so that two runs
// of a seed that differ in what clients saw can never have the same hash.
#ifndef WEIR_SIM_HISTORY_H
#define WEIR_SIM_HISTORY_H

#include "io/sim.h"

#define HISTORY_LINES 512
#define HISTORY_WIDTH 200

struct history {
    struct sim *sim;                           // NULL in unit tests: time stands at 0
    void (*line)(void *arg, const char *text); // --trace; may be NULL
    void *arg;
    char lines[HISTORY_LINES][HISTORY_WIDTH];
    uint64_t count;
};

void history_note(struct history *history, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The last `lines` lines, oldest first.
void history_tail(const struct history *history, uint32_t lines,
                  void (*line)(void *arg, const char *text), void *arg);

#endif
