// SPDX-License-Identifier: Apache-2.0
//
// `weir sim`: a run of the whole node in a made-up world, chosen by a seed. The same seed and steps
// give the same run to the byte (report.hash says so).
#ifndef WEIR_SIM_RUN_H
#define WEIR_SIM_RUN_H

#include "io/sim.h"

#define SIM_RUN_STEPS     800
#define SIM_RUN_APIS      80
#define SIM_RUN_VIOLATION 512

struct sim_run_options {
    uint64_t seed;
    uint64_t steps;                             // requests that clients make before all is verified
    void (*trace)(void *arg, const char *line); // every line of the history; NULL: none
    void (*tail)(void *arg, const char *line);  // the last lines, after a violation
    void *arg;
};

struct sim_run_report {
    bool violated;
    char violation[SIM_RUN_VIOLATION];
    uint64_t hash;
    struct sim_report io;
    uint64_t steps, requests[SIM_RUN_APIS]; // answered, by API key
    uint64_t starts, crashes, kills, stops, failed_starts;
    uint64_t batches_acknowledged, records_acknowledged, records_read, commits, bundles;
    uint64_t batches_unheard;      // sent with acks 0
    uint64_t sessions_continued;   // incremental fetches that were answered
    uint64_t damaged_reads;        // refused, since bits had flipped
    uint64_t refused_starts;       // by damage, which was then mended
    uint64_t confirms, deliveries; // of queues
    uint64_t dead_letters, drained;
    uint64_t checks;
    uint64_t checkpoints, groups_written, segments_written; // of the last incarnation
    int64_t virtual_ms;
};

void sim_run(const struct sim_run_options *options, struct sim_run_report *out);

#endif
