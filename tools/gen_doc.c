// SPDX-License-Identifier: Apache-2.0
//
// The pages of the manual that are tables elsewhere: `gen_doc settings`, `gen_doc metrics` and
// `gen_doc formats` print Markdown from schema/config.tab, schema/metrics.tab and the layouts at
// the top of the sources that own them. Generated and compared by `make check` like the other
// tables, so that the manual cannot say what the program does not. Separate from the server: who
// reads the manual need not have built anything, and who builds need not carry its text.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setting {
    const char *name, *type, *preset, *broker_name, *values, *doc;
    double min, max; // only shown, and only when somebody would ask for more
    bool acts, dynamic;
};

#define T(name, type, preset, broker, min, max, values, acts, doc) \
    {name, #type, preset, broker, values, doc, (double)(min), (double)(max), acts, true},
#define B(name, type, preset, min, max, values, acts, dynamic, doc)
#define G(name, type, preset, min, max, values, doc)
static const struct setting topics[] = {
#include "schema/config.tab"
};
#undef T
#undef B
#define T(name, type, preset, broker, min, max, values, acts, doc)
#define B(name, type, preset, min, max, values, acts, dynamic, doc) \
    {name, #type, preset, NULL, values, doc, (double)(min), (double)(max), acts, dynamic},
static const struct setting server[] = {
#include "schema/config.tab"
};
#undef B
#define B(name, type, preset, min, max, values, acts, dynamic, doc)
#undef G
#define G(name, type, preset, min, max, values, doc) \
    {name, #type, preset, NULL, values, doc, (double)(min), (double)(max), false, true},
static const struct setting groups[] = {
#include "schema/config.tab"
};
#undef T
#undef B
#undef G

struct metric {
    const char *name, *unit, *doc;
};
#define M(name, unit, expression, doc) {name, unit, doc},
static const struct metric metrics[] = {
#include "schema/metrics.tab"
};
#undef M

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char notice[] = "<!-- Written by `make gen` from %s; do not edit. -->\n\n";

// ---- settings

static void print_range(const struct setting *s)
{
    bool number = strcmp(s->type, "INT") == 0 || strcmp(s->type, "LONG") == 0 ||
                  strcmp(s->type, "DOUBLE") == 0;
    if (s->values != NULL) {
        for (const char *p = s->values; *p != '\0'; p++)
            if (*p == '|')
                (void)fputs(", ", stdout);
            else
                (void)putchar(*p);
    } else if (strcmp(s->type, "BOOL") == 0) {
        (void)fputs("true, false", stdout);
    } else if (number && s->max >= 2147483647.0) { // the type's own bound says nothing
        (void)printf("from %.0f", s->min);
    } else if (number) {
        (void)printf("%.0f to %.0f", s->min, s->max);
    } else {
        (void)fputs(strcmp(s->type, "LIST") == 0 ? "list" : "text", stdout);
    }
}

static const char *preset_text(const struct setting *s)
{
    if (s->preset == NULL || s->preset[0] == '\0')
        return "empty";
    return s->preset;
}

static void print_topics(bool acts)
{
    (void)puts("| setting | default | values | server's default | what it does |\n"
               "| --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < COUNT(topics); i++) {
        const struct setting *s = &topics[i];
        if (s->acts != acts)
            continue;
        (void)printf("| `%s` | %s | ", s->name, preset_text(s));
        print_range(s);
        (void)printf(" | %s%s%s | %s |\n", s->broker_name != NULL ? "`" : "",
                     s->broker_name != NULL ? s->broker_name : "–",
                     s->broker_name != NULL ? "`" : "", s->doc);
    }
}

static void print_list(const struct setting *list, size_t count, bool acts)
{
    (void)puts("| setting | default | values | while running | what it does |\n"
               "| --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &list[i];
        if (s->acts != acts)
            continue;
        (void)printf("| `%s` | %s | ", s->name, preset_text(s));
        print_range(s);
        (void)printf(" | %s | %s |\n", s->dynamic ? "yes" : "no", s->doc);
    }
}

static void settings(void)
{
    (void)printf(notice, "schema/config.tab");
    (void)puts("# Settings\n\n"
               "Names and meanings are Kafka's where Kafka has the setting; `weir.` begins those "
               "that it has not.\n"
               "A setting of the server is given by `-X name=value`, by a line `name = value` in "
               "the file of `--config`, or by the\n"
               "environment (`WEIR_NUM_PARTITIONS` for `num.partitions`); see "
               "[server.md](server.md). A setting of a topic is given when\n"
               "it is created, or later by any Kafka client that can alter configurations; see "
               "[topics.md](topics.md).\n\n"
               "## Of topics\n");
    print_topics(true);
    (void)puts("\n## Of the server\n\n"
               "\"While running\": whether a client may change it without a restart.\n");
    print_list(server, COUNT(server), true);
    (void)puts("\n## Accepted, kept and described, without effect\n\n"
               "So that configurations written for a Kafka cluster run unchanged. Of topics:\n");
    print_topics(false);
    (void)puts("\nOf the server:\n");
    print_list(server, COUNT(server), false);
    (void)puts("\nOf consumer groups:\n");
    print_list(groups, COUNT(groups), false);
}

// ---- metrics

static void print_metrics(void)
{
    (void)printf(notice, "schema/metrics.tab");
    (void)puts("# Metrics\n\n"
               "What `weir status` shows, all or those whose name begins with a word (`weir status "
               "journal`). Counters run since the\n"
               "start of the server. Latencies come from histograms that are right within 6.25 %.\n"
               "\n| metric | unit | what it is |\n| --- | --- | --- |");
    for (size_t i = 0; i < COUNT(metrics); i++)
        (void)printf("| `%s` | %s | %s |\n", metrics[i].name, metrics[i].unit, metrics[i].doc);
}

// ---- formats

static const struct {
    const char *path, *title;
} layouts[] = {
    {"src/journal/format.h", "The journal"},
    {"src/journal/snapshot.h", "Checkpoints and snapshots"},
    {"src/journal/state.h", "State records"},
    {"src/log/frames.h", "Frames of logs"},
    {"src/log/cut.c", "State records of logs"},
    {"src/log/segment.h", "A segment in a record"},
    {"src/log/batch.h", "Record batches"},
    {"src/txn/producers.c", "Idempotent producers"},
    {"src/group/format.h", "Consumer groups"},
    {"src/queue/message.h", "Messages of queues"},
    {"src/queue/lease_format.h", "What is settled of queues"},
    {"src/node/topic_record.c", "Topics"},
    {"src/node/queue_record.c", "Queues, exchanges, bindings"},
    {"src/node/queue_delay.h", "Messages that wait"},
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// The opening comment: its paragraphs as text, what follows the first layout as it stands.
static void print_layout(const char *path, const char *title)
{
    char line[512];
    bool fenced = false;
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        (void)fprintf(stderr, "gen_doc: cannot read %s\n", path);
        exit(1);
    }
    (void)printf("\n## %s\n\nFrom `%s`.\n", title, path);
    while (fgets(line, sizeof line, in) != NULL && begins(line, "//")) {
        const char *text = line[2] == ' ' ? line + 3 : line + 2;
        if (begins(text, "SPDX") || begins(text, "tidy:"))
            continue;
        if (!fenced &&
            (begins(text, "LAYOUT") || begins(text, "FILE ") || begins(text, "STATES"))) {
            (void)puts("```");
            fenced = true;
        }
        (void)fputs(text, stdout);
    }
    (void)fclose(in);
    if (!fenced) {
        (void)fprintf(stderr, "gen_doc: %s has no LAYOUT in its opening comment\n", path);
        exit(1);
    }
    (void)puts("```");
}

static void formats(void)
{
    (void)printf(notice, "the sources named below");
    (void)puts(
        "# What is on disk\n\n"
        "A data directory:\n\n"
        "```\n"
        "LOCK                         held by the server that uses it\n"
        "CHECKPOINT                   two slots: where recovery begins\n"
        "snapshot/NUMBER.snap         the state at a checkpoint, and what changed since\n"
        "spill/                       of queues in memory, what outgrew it; wiped by every start\n"
        "journal/NUMBER.wal           what was acknowledged since\n"
        "journal/reserve              blocks kept for a full disk: deletions and checkpoints\n"
        "log/TOPIC-ID/PARTITION/      segments: BASE.log, BASE.index, BASE.timeindex, as "
        "Kafka writes them\n"
        "```\n\n"
        "Every file begins with a format version or belongs to one that does; a version "
        "that weir does not know is refused by\n"
        "name. The segments are Kafka's own: its tools read them.");
    for (size_t i = 0; i < COUNT(layouts); i++)
        print_layout(layouts[i].path, layouts[i].title);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "settings") == 0)
        settings();
    else if (argc == 2 && strcmp(argv[1], "metrics") == 0)
        print_metrics();
    else if (argc == 2 && strcmp(argv[1], "formats") == 0)
        formats();
    else {
        (void)fputs("usage: gen_doc settings|metrics|formats\n", stderr);
        return 64;
    }
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
