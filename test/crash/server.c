// SPDX-License-Identifier: Apache-2.0
//
// The server's process: started with its own log file, known to be up when its address file is
// there, killed without warning.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#define UP_MAX_MS   30000
#define STOP_MAX_MS 30000

uint64_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void child_exec(struct run *r, const char *addr_file)
{
    char data[512];
    char listen_at[64];
    char amqp_at[64];
    char shards[16];
    char log[512];
    (void)snprintf(data, sizeof data, "%s/data", r->dir);
    (void)snprintf(log, sizeof log, "%s/server.log", r->dir);
    (void)snprintf(shards, sizeof shards, "%u", r->shards);
    (void)snprintf(listen_at, sizeof listen_at, "%s",
                   r->brokers[0] != '\0' ? r->brokers : "127.0.0.1:0");
    (void)snprintf(amqp_at, sizeof amqp_at, "%s", r->amqp[0] != '\0' ? r->amqp : "127.0.0.1:0");
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0)
        (void)dup2(fd, 2);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Small journal files and frequent checkpoints, so that a round sees several of both; every
    // other start sends much more straight to the segments, every third is short of memory.
    const char *direct = r->starts % 2 ? "weir.journal.direct.min.bytes=65536"
                                       : "weir.journal.direct.min.bytes=524288";
    const char *memory =
        r->starts % 3 == 2 ? "weir.memory.bytes=33554432" : "weir.memory.bytes=1073741824";
    execl(r->weir, "weir", "serve", "--data", data, "--kafka", listen_at, "--amqp", amqp_at,
          "--addr-file", addr_file, "--shards", shards, "-X", "weir.journal.file.bytes=8388608",
          "-X", "weir.checkpoint.min.interval.ms=300", "-X", "group.initial.rebalance.delay.ms=100",
          "-X", direct, "-X", memory, (char *)NULL);
    _exit(127);
}

static void addr_path(const struct run *r, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/addr", r->dir);
}

bool server_start(struct run *r)
{
    char path[512];
    addr_path(r, path, sizeof path);
    (void)unlink(path);
    r->starts++;
    r->pid = fork();
    if (r->pid < 0)
        fail("fork: %s", strerror(errno));
    if (r->pid == 0)
        child_exec(r, path);
    return true;
}

bool server_alive(struct run *r)
{
    int status = 0;
    if (r->pid <= 0)
        return false;
    if (waitpid(r->pid, &status, WNOHANG) != r->pid)
        return true;
    (void)fprintf(stderr, "crash: the server ended by itself, %s %d; see %s/server.log\n",
                  WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), r->dir);
    r->pid = 0;
    return false;
}

static bool addr_read(struct run *r)
{
    char path[512];
    char line[128];
    addr_path(r, path, sizeof path);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    unsigned got = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "kafka=", 6) == 0) {
            (void)snprintf(r->brokers, sizeof r->brokers, "%.60s", line + 6);
            got |= 1;
        } else if (strncmp(line, "amqp=", 5) == 0) {
            (void)snprintf(r->amqp, sizeof r->amqp, "%.60s", line + 5);
            got |= 2;
        }
    }
    (void)fclose(f);
    return got == 3;
}

bool server_wait(struct run *r)
{
    uint64_t began = now_ms();
    while (!addr_read(r)) {
        if (!server_alive(r))
            return false;
        if (now_ms() - began > UP_MAX_MS) {
            (void)fprintf(stderr, "crash: the server is not up after %d s\n", UP_MAX_MS / 1000);
            return false;
        }
        (void)usleep(1000);
    }
    uint32_t ms = (uint32_t)(now_ms() - began);
    if (r->starts > 1 && r->restarts < sizeof r->restart_ms / sizeof r->restart_ms[0])
        r->restart_ms[r->restarts++] = ms;
    return true;
}

void server_kill(struct run *r)
{
    if (r->pid <= 0)
        return;
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

int server_stop(struct run *r)
{
    int status = 0;
    (void)kill(r->pid, SIGTERM);
    for (uint64_t began = now_ms(); now_ms() - began < STOP_MAX_MS; (void)usleep(5000)) {
        if (waitpid(r->pid, &status, WNOHANG) != r->pid)
            continue;
        r->pid = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    (void)fprintf(stderr, "crash: no clean stop within %d s\n", STOP_MAX_MS / 1000);
    server_kill(r);
    return -1;
}

int store_check(struct run *r)
{
    char data[512];
    char said[512];
    int status = -1;
    (void)snprintf(data, sizeof data, "%s/data", r->dir);
    (void)snprintf(said, sizeof said, "%s/check", r->dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(said, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd >= 0)
            (void)dup2(fd, 1);
        execl(r->weir, "weir", "check", data, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
