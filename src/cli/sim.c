// SPDX-License-Identifier: Apache-2.0
//
// `weir sim`: runs the whole server in a made-up world, again and again, each run chosen by a seed,
// and tells what was violated, if anything was.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/bugs.h"
#include "cli/cli.h"
#include "sim/run.h"

struct sim_command {
    uint64_t seed, seeds, steps;
    bool trace, report, twice;
};

static void print_line(void *arg, const char *line)
{
    (void)fputs(line, arg);
    (void)fputc('\n', arg);
}

// ---- reports

static void print_faults(const struct sim_report *r)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (r->faults[i] > 0)
            printf(" %s=%" PRIu64, sim_fault_name((enum sim_fault)i), r->faults[i]);
}

static void print_report(uint64_t seed, const struct sim_run_report *r)
{
    uint64_t requests = 0;
    printf("seed %" PRIu64 ": steps=%" PRIu64 " starts=%" PRIu64 " power-losses=%" PRIu64
           " kills=%" PRIu64 " stops=%" PRIu64 " failed-starts=%" PRIu64,
           seed, r->steps, r->starts, r->crashes, r->kills, r->stops, r->failed_starts);
    for (int i = 0; i < SIM_RUN_APIS; i++) {
        requests += r->requests[i];
        if (r->requests[i] > 0)
            printf(" api%d=%" PRIu64, i, r->requests[i]);
    }
    printf(" requests=%" PRIu64 " batches=%" PRIu64 " records=%" PRIu64 " read=%" PRIu64
           " commits=%" PRIu64 " bundles=%" PRIu64 " unheard=%" PRIu64 " sessions=%" PRIu64
           " damaged-reads=%" PRIu64 " refused-starts=%" PRIu64 " confirms=%" PRIu64
           " deliveries=%" PRIu64 " dead-letters=%" PRIu64 " drained=%" PRIu64 " checks=%" PRIu64
           " events=%" PRIu64 " writes=%" PRIu64 " syncs=%" PRIu64 " virtual-ms=%" PRId64,
           requests, r->batches_acknowledged, r->records_acknowledged, r->records_read, r->commits,
           r->bundles, r->batches_unheard, r->sessions_continued, r->damaged_reads,
           r->refused_starts, r->confirms, r->deliveries, r->dead_letters, r->drained, r->checks,
           r->io.events, r->io.writes, r->io.syncs, r->virtual_ms);
    print_faults(&r->io);
    printf(" hash=%016" PRIx64 "\n", r->hash);
}

static void print_violation(const struct sim_command *c, uint64_t seed,
                            const struct sim_run_report *r)
{
    const char *plant = bug_planted != BUG_NONE ? " --bug " : "";
    const char *name = bug_planted != BUG_NONE ? bug_name(bug_planted) : "";
    printf("FAILED: weir sim --seed %" PRIu64 " --steps %" PRIu64 "%s%s\n  %s\n", seed, c->steps,
           plant, name, r->violation);
}

// ---- running

// False: something was violated.
static bool run_seed(const struct sim_command *c, uint64_t seed)
{
    struct sim_run_report first, second;
    struct sim_run_options o = {.seed = seed, .steps = c->steps, .arg = stdout};
    o.trace = c->trace ? print_line : NULL;
    o.tail = c->trace ? NULL : print_line;
    if (bug_planted != BUG_NONE)
        o.tail = NULL;
    sim_run(&o, &first);
    if (c->report)
        print_report(seed, &first);
    if (first.violated) {
        print_violation(c, seed, &first);
        return false;
    }
    if (!c->twice)
        return true;
    sim_run(&o, &second);
    if (first.hash == second.hash)
        return true;
    printf("FAILED: weir sim --seed %" PRIu64 " --steps %" PRIu64
           "\n  two runs differ: hash %016" PRIx64 " and %016" PRIx64 "\n",
           seed, c->steps, first.hash, second.hash);
    return false;
}

static int run_seeds(const struct sim_command *c)
{
    uint64_t failed = 0;
    for (uint64_t i = 0; i < c->seeds; i++) {
        if (run_seed(c, c->seed + i))
            continue;
        failed++;
        if (bug_planted != BUG_NONE) {
            printf("bug %s found by seed %" PRIu64 " of %" PRIu64 "\n", bug_name(bug_planted),
                   i + 1, c->seeds);
            return 0;
        }
    }
    if (bug_planted != BUG_NONE) {
        printf("bug %s not found in %" PRIu64 " seeds\n", bug_name(bug_planted), c->seeds);
        return EX_SOFTWARE;
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", c->seeds - failed, failed);
    return failed == 0 ? 0 : EX_SOFTWARE;
}

// ---- options

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || *end != '\0')
        return false;
    *out = v;
    return true;
}

static int option_read(struct sim_command *c, const char *name, const char *value)
{
    if (strcmp(name, "--bug") == 0) {
        bug_planted = bug_by_name(value);
        return bug_planted != BUG_NONE ? 0 : cli_usage(&cli_sim, "there is no bug '%s'", value);
    }
    uint64_t *slot = strcmp(name, "--seed") == 0    ? &c->seed
                     : strcmp(name, "--seeds") == 0 ? &c->seeds
                     : strcmp(name, "--steps") == 0 ? &c->steps
                                                    : NULL;
    if (slot == NULL)
        return cli_usage(&cli_sim, "there is no option '%s'", name);
    if (!number(value, slot))
        return cli_usage(&cli_sim, "%s takes a number, not '%s'", name, value);
    return 0;
}

static int sim_command_run(int argc, char **argv)
{
    struct sim_command c = {.seed = 1, .seeds = 1, .steps = SIM_RUN_STEPS};
    for (int i = 1; i < argc; i++) {
        bool *flag = strcmp(argv[i], "--trace") == 0    ? &c.trace
                     : strcmp(argv[i], "--report") == 0 ? &c.report
                     : strcmp(argv[i], "--twice") == 0  ? &c.twice
                                                        : NULL;
        if (flag != NULL) {
            *flag = true;
            continue;
        }
        if (i + 1 == argc)
            return cli_usage(&cli_sim, "'%s' needs a value", argv[i]);
        int code = option_read(&c, argv[i], argv[i + 1]);
        if (code != 0)
            return code;
        i++;
    }
    return run_seeds(&c);
}

const struct cli_command cli_sim = {
    .name = "sim",
    .summary = "run the server in a simulated world",
    .help = "usage: weir sim [OPTION ...]\n"
            "\n"
            "Runs the whole server on a simulated machine, with clients that speak Kafka's\n"
            "protocol to it, under crashes, lost and torn writes and broken connections, and\n"
            "checks every answer. The same seed gives the same run.\n"
            "\n"
            "  --seed N     the first seed (default 1)\n"
            "  --seeds N    how many seeds, one after the other (default 1)\n"
            "  --steps N    requests per seed (default 800)\n"
            "  --twice      run each seed twice and compare\n"
            "  --bug NAME   plant a bug and stop at the first seed that finds it\n"
            "  --trace      print everything that clients do and see\n"
            "  --report     a line of totals per seed\n",
    .run = sim_command_run,
};
