// SPDX-License-Identifier: Apache-2.0
//
// From fork to the first acknowledged record: forks, executes the server's command, knocks at its
// port every 0.1 ms, creates the topic if asked to, and produces one record with acks=all until
// that is acknowledged. What a server says on the way (no such topic yet, no leader yet) is waited
// out, since a user's program waits too.
//   startup PORT TOPIC PARTITIONS|0 kill|term|leave COMMAND [ARG...]
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "raw.h"

enum { TOPIC_ALREADY_EXISTS = 36, TIMEOUT_S = 120 };

static struct raw_buf request, answer;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static pid_t launch(char **command)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

static int created(int fd, const char *topic, int partitions)
{
    raw_create_topic(&request, topic, partitions);
    if (raw_exchange(fd, &request, &answer))
        return -1;
    int err = raw_create_error(&answer, topic);
    return err == 0 || err == TOPIC_ALREADY_EXISTS;
}

// 1 acknowledged, 0 not yet, -1 the connection is gone.
static int attempt(int fd, const char *topic, int *partitions)
{
    if (*partitions > 0) {
        int done = created(fd, topic, *partitions);
        if (done <= 0)
            return done;
        *partitions = 0;
    }
    raw_produce(&request, topic);
    if (raw_exchange(fd, &request, &answer))
        return -1;
    return raw_produce_error(&answer, topic) == 0;
}

static int run(int port, const char *topic, int partitions, pid_t pid, double start)
{
    double connected = 0;
    int fd = -1, acked = 0;
    while (!acked) {
        if (waitpid(pid, NULL, WNOHANG) == pid || now_ms() - start > TIMEOUT_S * 1e3) {
            fprintf(stderr, "startup: no acknowledged record\n");
            return 1;
        }
        if (fd < 0 && (fd = raw_connect(port)) >= 0 && connected == 0)
            connected = now_ms() - start;
        acked = fd < 0 ? 0 : attempt(fd, topic, &partitions);
        if (acked < 0) {
            close(fd);
            fd = -1;
            acked = 0;
        }
        if (!acked)
            usleep(100);
    }
    printf("first_ack_ms\t%.3f\nconnect_ms\t%.3f\n", now_ms() - start, connected);
    printf("server_rss_mb\t%.1f\nserver_pid\t%d\n", (double)proc_status_kb(pid, "VmRSS:") / 1024,
           pid);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "startup PORT TOPIC PARTITIONS|0 kill|term|leave COMMAND [ARG...]\n");
        return 2;
    }
    double start = now_ms();
    pid_t pid = launch(argv + 5);
    int rc = run(atoi(argv[1]), argv[2], atoi(argv[3]), pid, start);
    if (strcmp(argv[4], "leave") != 0 || rc) {
        kill(pid, strcmp(argv[4], "term") == 0 ? SIGTERM : SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return rc;
}
