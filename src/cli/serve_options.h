// SPDX-License-Identifier: Apache-2.0
//
// The options of `weir serve`, from three places; the later one wins: the option file (--config
// FILE, lines "name = value"), the environment (WEIR_KAFKA for --kafka, WEIR_NUM_PARTITIONS for -X
// num.partitions), the command line.
#ifndef WEIR_CLI_SERVE_OPTIONS_H
#define WEIR_CLI_SERVE_OPTIONS_H

#include "io/io.h"

#define SERVE_SETTINGS_MAX 128
#define SERVE_LISTEN_MAX   8

struct serve_options {
    char *data;      // --data DIR
    char *addr_file; // --addr-file FILE, or NULL
    struct io_addr listen[SERVE_LISTEN_MAX];
    uint32_t listen_count; // 0: both loopback addresses at `port`
    uint16_t port;
    uint32_t shards;
    bool insecure; // --allow-remote: bind elsewhere than loopback without authentication
    char *settings[SERVE_SETTINGS_MAX + 1]; // "name=value", NULL-terminated
    uint32_t settings_count;
};

// 0, or the exit code to leave with, after a message.
int serve_options_read(int argc, char **argv, struct serve_options *out);
void serve_options_free(struct serve_options *options);

#endif
