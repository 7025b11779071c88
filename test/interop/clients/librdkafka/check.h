// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the librdkafka check share: check.c has the clients, the records,
// producing, consuming and groups, admin.c the admin API. Every function ends the process with a
// sentence on standard error when something is not as it should be: a check that goes on after a
// surprise proves nothing.
#ifndef WEIR_INTEROP_CHECK_H
#define WEIR_INTEROP_CHECK_H

#include <librdkafka/rdkafka.h>

// A setting of a client; a list ends with a NULL name.
struct setting {
    const char *name;
    const char *value;
};

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void must(rd_kafka_resp_err_t err, const char *what);

// A client with the bootstrap server and these settings, nothing else. settings may be NULL.
rd_kafka_t *client_new(rd_kafka_type_t type, const struct setting *settings);

// payloads_fill once, then any of the records by number; flush waits for expected delivery reports.
void payloads_fill(void);
void record_produce(rd_kafka_t *rk, const char *topic, int partition, int i);
void flush(rd_kafka_t *rk, long expected);

// admin.c
void check_admin(const char *topic);
void check_groups(const char *group);
void topic_make(const char *topic, int partitions);

#endif
