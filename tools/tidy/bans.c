// SPDX-License-Identifier: Apache-2.0
//
// Banned words. Three kinds: functions that are wrong everywhere, the allocator outside base/, and
// the operating system outside io/. A call is a name directly before "(" that is no member
// (x->read, x.open) and no part of a longer name; a system header is banned with its calls.
#include "tools/tidy/tidy.h"

#include <stdio.h>
#include <string.h>

// Unbounded, not reentrant, silent about errors, or dependent on the locale.
static const char *const never[] = {
    "strcpy",    "strcat", "sprintf", "vsprintf", "strtok", "gets",      "atoi",    "atol",
    "atoll",     "atof",   "strncpy", "rand",     "srand",  "random",    "drand48", "time",
    "localtime", "gmtime", "ctime",   "asctime",  "mktime", "setlocale", "alloca",  NULL};

static const char *const allocator[] = {
    "malloc",         "calloc",        "realloc",  "free",         "strdup", "strndup",
    "posix_memalign", "aligned_alloc", "asprintf", "reallocarray", NULL};

static const char *const system_calls[] = {"open",
                                           "openat",
                                           "close",
                                           "read",
                                           "write",
                                           "pread",
                                           "pwrite",
                                           "readv",
                                           "writev",
                                           "pwritev",
                                           "lseek",
                                           "fsync",
                                           "fdatasync",
                                           "sync_file_range",
                                           "ftruncate",
                                           "truncate",
                                           "rename",
                                           "unlink",
                                           "mkdir",
                                           "rmdir",
                                           "opendir",
                                           "readdir",
                                           "stat",
                                           "fstat",
                                           "lstat",
                                           "access",
                                           "fopen",
                                           "fclose",
                                           "fread",
                                           "fwrite",
                                           "fgets",
                                           "mmap",
                                           "munmap",
                                           "flock",
                                           "fcntl",
                                           "fallocate",
                                           "posix_fallocate",
                                           "socket",
                                           "bind",
                                           "listen",
                                           "accept",
                                           "accept4",
                                           "connect",
                                           "send",
                                           "sendmsg",
                                           "sendfile",
                                           "recv",
                                           "recvmsg",
                                           "setsockopt",
                                           "getsockname",
                                           "getaddrinfo",
                                           "poll",
                                           "epoll_wait",
                                           "select",
                                           "clock_gettime",
                                           "gettimeofday",
                                           "nanosleep",
                                           "usleep",
                                           "sleep",
                                           "getrandom",
                                           "getpid",
                                           "fork",
                                           "execve",
                                           "execvp",
                                           "system",
                                           "popen",
                                           "kill",
                                           "signal",
                                           "sigaction",
                                           "getenv",
                                           "setenv",
                                           "pthread_create",
                                           "pthread_mutex_lock",
                                           "pthread_cond_wait",
                                           "pthread_join",
                                           NULL};

static const char *const printing[] = {"printf",  "fprintf", "vfprintf", "puts",
                                       "fputs",   "putchar", "fputc",    "perror",
                                       "dprintf", "fflush",  NULL};

static const char *const system_headers[] = {
    "<fcntl.h>",     "<unistd.h>",   "<pthread.h>",  "<time.h>",    "<sys/socket.h>",
    "<sys/stat.h>",  "<sys/mman.h>", "<sys/time.h>", "<sys/uio.h>", "<netinet/in.h>",
    "<arpa/inet.h>", "<netdb.h>",    "<poll.h>",     "<uv.h>",      "<sys/epoll.h>",
    "<dirent.h>",    "<signal.h>",   "<threads.h>",  "<locale.h>",  NULL};

static bool calls(const char *code, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = code; (at = strstr(at, name)) != NULL; at++) {
        if (at[len] != '(' || (at > code && tidy_is_name(at[-1])))
            continue;
        bool member = (at > code && at[-1] == '.') || (at > code + 1 && at[-1] == '>');
        if (!member)
            return true;
    }
    return false;
}

static void ban_calls(const struct tidy_file *f, const char *const *names, const char *why)
{
    for (int i = 1; i <= f->lines_count; i++)
        for (const char *const *name = names; *name != NULL; name++)
            if (calls(f->code[i - 1], *name) && !tidy_marked(f, i, "os"))
                tidy_complain(f, i, "%s: %s", *name, why);
}

static void ban_headers(const struct tidy_file *f)
{
    for (int i = 1; i <= f->lines_count; i++)
        for (const char *const *name = system_headers; *name != NULL; name++)
            if (strncmp(f->lines[i - 1], "#include", 8) == 0 &&
                strstr(f->lines[i - 1], *name) != NULL && !tidy_marked(f, i, "os"))
                tidy_complain(f, i, "%s: only io/ touches the operating system", *name);
}

// "typedef struct" hides what is passed; "goto" in a macro hides the way a function goes; an
// assertion of two conditions does not tell which one failed.
static void ban_shapes(const struct tidy_file *f)
{
    bool in_macro = false;
    for (int i = 1; i <= f->lines_count; i++) {
        const char *code = f->code[i - 1];
        size_t len = strlen(code);
        in_macro = in_macro || strncmp(code, "#define", 7) == 0;
        if (strncmp(code, "typedef struct", 14) == 0 || strncmp(code, "typedef union", 13) == 0)
            tidy_complain(f, i, "no typedef of structs");
        if (in_macro && tidy_has_word(code, "goto"))
            tidy_complain(f, i, "goto in a macro");
        const char *assertion = strstr(code, "ASSERT(");
        int depth = 0;
        for (const char *c = assertion; c != NULL && *c != '\0'; c++) {
            depth += (*c == '(') - (*c == ')');
            if (depth == 1 && c[0] == '&' && c[1] == '&')
                tidy_complain(f, i, "one condition per ASSERT");
            if (depth == 0 && *c == ')')
                break;
        }
        in_macro = in_macro && len > 0 && code[len - 1] == '\\';
    }
}

void tidy_check_bans(const struct tidy_file *f)
{
    bool is_base = strcmp(f->room, "base") == 0;
    bool is_io = strcmp(f->room, "io") == 0;
    bool is_cli = strcmp(f->room, "cli") == 0;
    ban_calls(f, never, "banned everywhere");
    ban_shapes(f);
    // Tests stand for the outside world, and tools are programs of their own.
    if (f->room[0] == '\0' || f->is_test || f->is_fuzz)
        return;
    if (!is_base)
        ban_calls(f, allocator, "memory comes from base/mem.h");
    if (is_base || is_io)
        return;
    if (!is_cli) {
        ban_calls(f, system_calls, "only io/ touches the operating system");
        ban_headers(f);
    }
    if (!is_cli && strcmp(f->room, "node") != 0)
        ban_calls(f, printing, "only cli/ and node/ print");
}
