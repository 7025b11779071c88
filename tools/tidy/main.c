// SPDX-License-Identifier: Apache-2.0
//
// Style as a test: `tidy` checks what the compilers and clang-format cannot know about this house
// (layers, bans, lengths, headers), `tidy --figures` prints the figures of ARCHITECTURE.md. It
// reads lines, not C: the formatting is checked before, so a function is what lies between a "{"
// and a
// "}" in the first column. A real parser was rejected, since it would have to be installed.
//
// A place that must break a rule says so: "// tidy: WHAT — reason" in the line above (long: a
// function over 70 lines; goto; os) or anywhere in a file (long-file). Marks are counted and shown.
#include "tools/tidy/tidy.h"

#include <ctype.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION_LINES_MAX 70
#define FILE_LINES_MAX     600
#define LONG_FILE_MAX      1200
#define LINE_COLUMNS_MAX   100

static int findings;
static int marks;

void tidy_complain(const struct tidy_file *f, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", f->path, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    findings++;
}

// True when the line above, or the line itself, carries the mark.
bool tidy_marked(const struct tidy_file *f, int line, const char *what)
{
    char mark[64];
    snprintf(mark, sizeof mark, "// tidy: %s —", what);
    for (int i = line - 1; i <= line; i++) {
        if (i < 1 || i > f->lines_count || strstr(f->lines[i - 1], mark) == NULL)
            continue;
        marks++;
        return true;
    }
    return false;
}

static int columns(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80; // characters, not bytes of UTF-8
    return n;
}

static void check_lines(const struct tidy_file *f)
{
    static const char *const unfinished[] = {"TO"
                                             "DO",
                                             "FIX"
                                             "ME",
                                             "XX"
                                             "X"};
    for (int i = 1; i <= f->lines_count; i++) {
        const char *line = f->lines[i - 1];
        size_t len = strlen(line);
        if (columns(line) > LINE_COLUMNS_MAX)
            tidy_complain(f, i, "longer than %d columns", LINE_COLUMNS_MAX);
        if (strchr(line, '\t') != NULL)
            tidy_complain(f, i, "a tab");
        if (len > 0 && line[len - 1] == ' ')
            tidy_complain(f, i, "ends in a space");
        for (size_t k = 0; k < sizeof unfinished / sizeof unfinished[0]; k++)
            if (tidy_has_word(line, unfinished[k]))
                tidy_complain(f, i, "%s: finish it, or open an issue", unfinished[k]);
    }
}

// "SPDX", an empty comment line, then at least a line of the opening paragraph.
static void check_opening(const struct tidy_file *f)
{
    const char *spdx = "// SPDX-License-Identifier: Apache-2.0";
    if (f->lines_count < 4 || strcmp(f->lines[0], spdx) != 0)
        tidy_complain(f, 1, "the first line must be: %s", spdx);
    else if (strcmp(f->lines[1], "//") != 0 || strncmp(f->lines[2], "// ", 3) != 0)
        tidy_complain(f, 2, "no opening paragraph: what this file is, and why this way");
}

static void check_length(const struct tidy_file *f)
{
    int max = FILE_LINES_MAX;
    for (int i = 1; i <= f->lines_count && f->lines_count > FILE_LINES_MAX; i++)
        if (strncmp(f->lines[i - 1], "// tidy: long-file —", 22) == 0) {
            max = LONG_FILE_MAX;
            marks++;
            break;
        }
    if (f->lines_count > max)
        tidy_complain(f, f->lines_count, "%d lines, at most %d", f->lines_count, max);
}

static void check_guard(const struct tidy_file *f)
{
    char guard[TIDY_PATH_SIZE + 8] = "WEIR_";
    char wanted[TIDY_PATH_SIZE + 32];
    size_t at = strlen(guard);
    const char *name = strncmp(f->path, "src/", 4) == 0 ? f->path + 4 : f->path;
    for (; *name != '\0'; name++)
        guard[at++] = *name == '/' || *name == '.' ? '_' : (char)toupper((unsigned char)*name);
    guard[at] = '\0';
    snprintf(wanted, sizeof wanted, "#ifndef %s", guard);
    for (int i = 1; i < f->lines_count; i++) {
        if (strncmp(f->lines[i - 1], "#", 1) != 0)
            continue;
        if (strcmp(f->lines[i - 1], wanted) != 0)
            tidy_complain(f, i, "the first directive of a header must be: %s", wanted);
        return;
    }
    tidy_complain(f, 1, "no include guard: %s", wanted);
}

// Where the function whose body opens in line `open` begins: its return type's line.
static int function_start(const struct tidy_file *f, int open)
{
    int start = open;
    while (start > 1) {
        const char *above = f->lines[start - 2];
        size_t len = strlen(above);
        if (len == 0 || above[0] == '#' || above[0] == '}' || strncmp(above, "//", 2) == 0 ||
            above[len - 1] == ';' || above[len - 1] == '\\')
            break;
        start--;
    }
    return start;
}

static void check_function(const struct tidy_file *f, int start, int close, struct tidy_room *room)
{
    int len = close - start + 1;
    if (!f->is_test && !f->is_generated && room->functions_count < TIDY_FUNCTIONS_MAX)
        room->functions[room->functions_count++] = len;
    if (len > FUNCTION_LINES_MAX && !tidy_marked(f, start, "long"))
        tidy_complain(f, start, "a function of %d lines, at most %d", len, FUNCTION_LINES_MAX);
    // goto runs only forward: its label stands below it, in the same function.
    for (int i = start; i <= close; i++) {
        const char *at = strstr(f->code[i - 1], "goto ");
        char label[64];
        bool below = false;
        if (at == NULL)
            continue;
        snprintf(label, sizeof label, "%.*s:", (int)strcspn(at + 5, ";"), at + 5);
        for (int k = i + 1; k <= close && !below; k++)
            below = strncmp(f->code[k - 1], label, strlen(label)) == 0;
        if (!below && !tidy_marked(f, i, "goto"))
            tidy_complain(f, i, "goto runs backward, or its label is indented");
    }
}

static void check_functions(const struct tidy_file *f, struct tidy_room *room)
{
    int open = 0;
    for (int i = 1; i <= f->lines_count; i++) {
        if (strcmp(f->lines[i - 1], "{") == 0)
            open = i;
        if (open == 0 || strcmp(f->lines[i - 1], "}") != 0)
            continue;
        check_function(f, function_start(f, open), i, room);
        open = 0;
    }
}

static void count_asserts(const struct tidy_file *f, struct tidy_room *room)
{
    for (int i = 0; i < f->lines_count; i++) {
        room->lines_count++;
        if (tidy_has_word(f->code[i], "ASSERT") || tidy_has_word(f->code[i], "_Static_assert") ||
            tidy_has_word(f->code[i], "static_assert"))
            room->asserts_count++;
    }
    room->files_count++;
}

static void check_file(const char *path, struct tidy_room *room)
{
    struct tidy_file f;
    tidy_load(&f, path);
    if (f.is_generated) {
        tidy_check_includes(&f);
        tidy_unload(&f);
        return;
    }
    check_lines(&f);
    check_opening(&f);
    check_length(&f);
    if (f.is_header)
        check_guard(&f);
    check_functions(&f, room);
    tidy_check_includes(&f);
    tidy_check_bans(&f);
    if (!f.is_test && !f.is_fuzz)
        count_asserts(&f, room);
    tidy_unload(&f);
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void print_figures(struct tidy_room *room)
{
    qsort(room->functions, (size_t)room->functions_count, sizeof(int), compare_ints);
    int n = room->functions_count;
    const int *lines = room->functions;
    printf("| %-8s | %5d | %5d | %9d | %6d | %3d | %3d | %7d | %8.0f |\n", room->name,
           room->files_count, room->lines_count, n, n == 0 ? 0 : lines[n / 2],
           n == 0 ? 0 : lines[n * 9 / 10], n == 0 ? 0 : lines[n - 1], room->asserts_count,
           room->lines_count == 0 ? 0.0 : 1000.0 * room->asserts_count / room->lines_count);
}

static void add(struct tidy_room *total, const struct tidy_room *room)
{
    total->files_count += room->files_count;
    total->lines_count += room->lines_count;
    total->asserts_count += room->asserts_count;
    for (int i = 0; i < room->functions_count && total->functions_count < TIDY_FUNCTIONS_MAX; i++)
        total->functions[total->functions_count++] = room->functions[i];
}

// The directory's sources and those one level below.
static void check_tree(const char *dir, const char *name, struct tidy_room *room)
{
    static const char *const below[] = {"*.[ch]", "*/*.[ch]"};
    memset(room, 0, sizeof *room);
    snprintf(room->name, sizeof room->name, "%s", name);
    for (size_t k = 0; k < sizeof below / sizeof below[0]; k++) {
        char pattern[TIDY_PATH_SIZE];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s%s/%s", dir, name, below[k]);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc; i++)
            check_file(found.gl_pathv[i], room);
        globfree(&found);
    }
}

int main(int argc, char **argv)
{
    static struct tidy_room room;
    static struct tidy_room total;
    bool figures = argc == 2 && strcmp(argv[1], "--figures") == 0;
    if (argc > 1 && !figures) {
        fputs("usage: tidy [--figures]\n", stderr);
        return 64;
    }
    snprintf(total.name, sizeof total.name, "all");
    tidy_load_layers("src/LAYERS");
    if (figures)
        puts("| room     | files | lines | functions | median | p90 | max | asserts | per 1000 |\n"
             "| -------- | ----- | ----- | --------- | ------ | --- | --- | ------- | -------- |");
    for (int i = 0; i < tidy_rooms_count(); i++) {
        check_tree("src/", tidy_room_name(i), &room);
        tidy_check_room(tidy_room_name(i));
        if (room.files_count == 0)
            continue;
        if (figures)
            print_figures(&room);
        add(&total, &room);
    }
    check_tree("", "tools", &room);
    tidy_check_dead_headers();
    if (figures)
        print_figures(&total);
    printf("tidy: %d files, %d functions, %d marks of exception, %d findings\n", total.files_count,
           total.functions_count, marks, findings);
    return findings == 0 ? 0 : 1;
}
