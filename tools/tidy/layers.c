// SPDX-License-Identifier: Apache-2.0
//
// Layers: src/LAYERS says which rooms' headers a room may include; a header that ends in _int.h is
// for its own room. Tests obey as well, except that a test may build on any room that may be built
// on it: the journal's tests use the simulated io that only the sim room could offer otherwise.
#include "tools/tidy/tidy.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOMS_MAX    64
#define INCLUDED_MAX 4096

static struct {
    char name[32];
    char may[512]; // " base io journal "
} rooms[ROOMS_MAX];
static int rooms_count;

// Every header that any file includes, to find those that none does.
static char included[INCLUDED_MAX][64];
static int included_count;

void tidy_load_layers(const char *path)
{
    FILE *in = fopen(path, "r");
    char line[512];
    if (in == NULL) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, in) != NULL) {
        char *colon = strchr(line, ':');
        if (line[0] == '#' || colon == NULL)
            continue;
        *colon = '\0';
        if (rooms_count == ROOMS_MAX)
            abort();
        line[strcspn(line, "\n")] = '\0';
        colon[1 + strcspn(colon + 1, "\n")] = '\0';
        snprintf(rooms[rooms_count].name, sizeof rooms[0].name, "%s", line);
        snprintf(rooms[rooms_count].may, sizeof rooms[0].may, "%s ", colon + 1);
        rooms_count++;
    }
    fclose(in);
}

void tidy_forget_layers(void)
{
    rooms_count = 0;
    included_count = 0;
}

int tidy_rooms_count(void)
{
    return rooms_count;
}

const char *tidy_room_name(int index)
{
    return rooms[index].name;
}

static bool may_include(const char *room, const char *other)
{
    char wanted[40];
    if (strcmp(room, other) == 0)
        return true;
    snprintf(wanted, sizeof wanted, " %s ", other);
    for (int i = 0; i < rooms_count; i++)
        if (strcmp(rooms[i].name, room) == 0)
            return strstr(rooms[i].may, wanted) != NULL;
    return false;
}

static void remember(const char *header)
{
    for (int i = 0; i < included_count; i++)
        if (strcmp(included[i], header) == 0)
            return;
    if (included_count < INCLUDED_MAX)
        snprintf(included[included_count++], sizeof included[0], "%s", header);
}

// src/room/x.c begins with room/x.h, or with room/x_int.h, which includes it.
static bool is_own(const struct tidy_file *f, const char *header)
{
    char stem[TIDY_PATH_SIZE];
    snprintf(stem, sizeof stem, "%.*s", (int)strlen(f->path) - 6, f->path + 4);
    size_t len = strlen(stem);
    if (strncmp(header, stem, len) != 0)
        return false;
    return strcmp(header + len, ".h") == 0 || strcmp(header + len, "_int.h") == 0;
}

static bool has_own(const struct tidy_file *f)
{
    char path[TIDY_PATH_SIZE];
    snprintf(path, sizeof path, "%.*s.h", (int)strlen(f->path) - 2, f->path);
    return access(path, R_OK) == 0;
}

static void check_layer(const struct tidy_file *f, int line, const char *header)
{
    char room[32];
    size_t len = strlen(header);
    bool is_private = len > 6 && strcmp(header + len - 6, "_int.h") == 0;
    snprintf(room, sizeof room, "%.*s", (int)strcspn(header, "/"), header);
    if (strncmp(header, "schema/", 7) == 0 || strncmp(header, "../../schema/", 13) == 0)
        return; // a table that is expanded where it is used
    if (strchr(header, '/') == NULL)
        tidy_complain(f, line, "includes are written from src/: \"room/%s\"", header);
    else if (!may_include(f->room, room) && !(f->is_test && may_include(room, f->room)))
        tidy_complain(f, line, "%s must not include %s (src/LAYERS)", f->room, room);
    else if (is_private && strcmp(room, f->room) != 0)
        tidy_complain(f, line, "%s is private to %s", header, room);
}

void tidy_check_includes(const struct tidy_file *f)
{
    bool first = true;
    bool wants_own = !f->is_header && !f->is_generated && !f->is_test && !f->is_fuzz && has_own(f);
    if (f->room[0] == '\0')
        return; // tools stand outside the rooms
    for (int i = 1; i <= f->lines_count; i++) {
        char header[64];
        if (strncmp(f->lines[i - 1], "#include ", 9) != 0)
            continue;
        bool ours = sscanf(f->lines[i - 1], "#include \"%63[^\"]\"", header) == 1;
        if (first && wants_own && (!ours || !is_own(f, header)))
            tidy_complain(f, i, "the first include must be the file's own header");
        first = false;
        if (!ours)
            continue;
        remember(header);
        check_layer(f, i, header);
    }
}

static bool exists(const char *format, const char *room, const char *name)
{
    char path[TIDY_PATH_SIZE];
    snprintf(path, sizeof path, "src/%s/%s%s", room, name, format);
    return access(path, R_OK) == 0;
}

static bool tests_include(const char *room, const char *name)
{
    char command[TIDY_PATH_SIZE];
    snprintf(command, sizeof command, "grep -qs '\"%s/%s.h\"' src/*/*_test.[ch]", room, name);
    return system(command) == 0; // NOLINT(cert-env33-c): a developer's tool on its own tree
}

// A source is tested by its neighbour x_test.c, by a test that includes its header, or by one that
// goes through the room's own; what has no header is a part of something that has.
static void check_tested(const struct tidy_file *f, const char *room)
{
    char name[64];
    const char *base = strrchr(f->path, '/') + 1;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(base) - 2), base);
    if (!exists(".h", room, name) || exists("_test.c", room, name) || tests_include(room, name) ||
        tests_include(room, room))
        return;
    tidy_complain(f, 1, "no %s_test.c, and no test includes %s/%s.h or %s/%s.h", name, room, name,
                  room, room);
}

// Once all files are read: headers that stand there for nobody.
void tidy_check_dead_headers(void)
{
    glob_t found;
    if (glob("src/*/*.h", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct tidy_file f = {.path = found.gl_pathv[i]};
        bool used = false;
        for (int k = 0; k < included_count && !used; k++)
            used = strcmp(included[k], f.path + 4) == 0;
        if (!used)
            tidy_complain(&f, 1, "nobody includes this header");
    }
    globfree(&found);
}

void tidy_check_room(const char *room)
{
    char pattern[TIDY_PATH_SIZE];
    glob_t found;
    glob_t tests;
    struct tidy_file f = {.path = "src/LAYERS"};
    snprintf(pattern, sizeof pattern, "src/%s/*.c", room);
    if (glob(pattern, 0, NULL, &found) != 0)
        return; // a room that is still to come
    if (!exists("README.md", room, ""))
        tidy_complain(&f, 1, "src/%s has no README.md", room);
    snprintf(pattern, sizeof pattern, "src/%s/*_test.c", room);
    bool has_test = glob(pattern, 0, NULL, &tests) == 0;
    if (has_test)
        globfree(&tests);
    else
        tidy_complain(&f, 1, "src/%s has no test", room);
    for (size_t i = 0; i < found.gl_pathc && has_test; i++) {
        tidy_load(&f, found.gl_pathv[i]);
        if (!f.is_test && !f.is_fuzz && strcmp(f.path, "src/cli/main.c") != 0)
            check_tested(&f, room);
        tidy_unload(&f);
    }
    globfree(&found);
}
