// SPDX-License-Identifier: Apache-2.0
//
// The options of `weir serve`, from three places; the later one wins: the option file (--config
// FILE, lines "name = value"), the environment (WEIR_KAFKA for --kafka, WEIR_NUM_PARTITIONS for -X
// num.partitions), the command line.
#ifndef WEIR_CLI_SERVE_OPTIONS_H
#define WEIR_CLI_SERVE_OPTIONS_H

#include "io/listeners.h"

#define SERVE_SETTINGS_MAX 128

#define SERVE_DOORS(X)            \
    X(KAFKA, "kafka", 9092, true) \
    X(AMQP, "amqp", 5672, true)   \
    X(HTTP, "http", 8080, false)
enum serve_door {
#define SERVE_DOOR_ENUM(id, name, port, on) SERVE_##id,
    SERVE_DOORS(SERVE_DOOR_ENUM)
#undef SERVE_DOOR_ENUM
        SERVE_DOORS_COUNT
};

struct serve_listen { // --kafka ADDR, --amqp ADDR, --http ADDR
    bool on;          // ADDR is not "none"
    struct io_addr addrs[IO_LISTENERS_MAX];
    uint32_t count; // 0: both loopback addresses at `port`
    uint16_t port;
};

struct serve_options {
    char *data;      // --data DIR
    char *addr_file; // --addr-file FILE, or NULL
    struct serve_listen doors[SERVE_DOORS_COUNT];
    uint32_t shards;
    bool insecure; // --allow-remote: bind elsewhere than loopback without authentication
    char *settings[SERVE_SETTINGS_MAX + 1]; // "name=value", NULL-terminated
    uint32_t settings_count;
};

// 0, or the exit code to leave with, after a message.
int serve_options_read(int argc, char **argv, struct serve_options *out);
const char *serve_door_name(enum serve_door door); // "kafka"
void serve_options_free(struct serve_options *options);

#endif
