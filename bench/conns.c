// SPDX-License-Identifier: Apache-2.0
//
// What a connection costs the server: opens COUNT connections to 127.0.0.1:PORT, asks for the
// metadata of all topics on each, keeps them open, and compares the server's resident memory before
// and after. The kernel's socket buffers are not in that figure, for no server.
//   conns PORT PID COUNT
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proc.h"
#include "raw.h"

static struct raw_buf request, answer;

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "conns PORT PID COUNT\n");
        return 2;
    }
    int port = atoi(argv[1]), pid = atoi(argv[2]), count = atoi(argv[3]), open_count = 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    long before_kb = proc_status_kb(pid, "VmRSS:");
    for (; open_count < count; open_count++) {
        int fd = raw_connect(port);
        if (fd < 0)
            break;
        raw_metadata(&request);
        if (raw_exchange(fd, &request, &answer))
            break;
    }
    sleep(2);
    long after_kb = proc_status_kb(pid, "VmRSS:");
    printf("connections\t%d\nrss_before_mb\t%.1f\nrss_after_mb\t%.1f\n", open_count,
           (double)before_kb / 1024, (double)after_kb / 1024);
    printf("kb_per_connection\t%.3f\n",
           open_count ? (double)(after_kb - before_kb) / open_count : 0);
    return open_count == count ? 0 : 1;
}
