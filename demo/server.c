// SPDX-License-Identifier: Apache-2.0
//
// The server under the demo: started as a user would, on a free port, and killed as no user would.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void server_run(const struct server *s)
{
    char log_path[300];
    snprintf(log_path, sizeof log_path, "%s.log", s->dir);
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log_fd, STDERR_FILENO);
    // The second start takes the port of the first, since the clients know that one.
    const char *kafka = s->brokers[0] != '\0' ? s->brokers : "127.0.0.1:0";
    const char *amqp = s->amqp[0] != '\0' ? s->amqp : "127.0.0.1:0";
    execl(s->weir, s->weir, "serve", "--data", s->dir, "--kafka", kafka, "--amqp", amqp,
          "--addr-file", s->addr_file, "-X", "group.initial.rebalance.delay.ms=500", "-X",
          "weir.retention.after.ack.ms=3600000", (char *)NULL);
    _exit(127);
}

static bool address_of(const char *line, const char *door, char *out, size_t size)
{
    size_t len = strlen(door);
    if (strncmp(line, door, len) != 0)
        return false;
    snprintf(out, size, "%.*s", (int)strcspn(line + len, "\n"), line + len);
    return true;
}

// The file appears when all doors are open.
static bool addresses_read(struct server *s)
{
    char line[256];
    FILE *f = fopen(s->addr_file, "r");
    if (f == NULL)
        return false;
    int found = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        found += address_of(line, "kafka=", s->brokers, sizeof s->brokers);
        found += address_of(line, "amqp=", s->amqp, sizeof s->amqp);
    }
    fclose(f);
    return found == 2;
}

double server_start(struct server *s)
{
    double begin = now_ms();
    unlink(s->addr_file);
    s->pid = fork();
    if (s->pid == 0)
        server_run(s);
    while (!addresses_read(s)) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid || now_ms() - begin > 30000) {
            fprintf(stderr, "demo: the server did not start; its messages are in %s.log\n", s->dir);
            exit(1);
        }
        usleep(500);
    }
    return now_ms() - begin;
}

void server_note_memory(struct server *s)
{
    char path[64];
    char line[256];
    snprintf(path, sizeof path, "/proc/%d/status", s->pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        long kib = strncmp(line, "VmHWM:", 6) == 0 ? strtol(line + 6, NULL, 10) : 0;
        if (kib > s->peak_kib)
            s->peak_kib = kib;
    }
    if (f != NULL)
        fclose(f);
}

void server_kill(struct server *s)
{
    server_note_memory(s);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

void server_stop(struct server *s)
{
    server_note_memory(s);
    kill(s->pid, SIGTERM);
    waitpid(s->pid, NULL, 0);
}
