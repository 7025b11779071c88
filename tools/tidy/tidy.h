// SPDX-License-Identifier: Apache-2.0
//
// What the parts of tidy share: a file as lines, with and without comments and strings, the rooms
// and their layers, and the way a finding is told. All of it is in static memory: the program runs
// once over a tree that it knows the size of.
#ifndef WEIR_TOOLS_TIDY_TIDY_H
#define WEIR_TOOLS_TIDY_TIDY_H

#include <stdbool.h>

#define TIDY_PATH_SIZE     256
#define TIDY_LINES_MAX     20000
#define TIDY_FUNCTIONS_MAX 20000

struct tidy_file {
    const char *path; // "src/room/x.c"
    char room[32];    // "" for tools
    bool is_header;
    bool is_test;      // x_test.c, or x_test.h, which tests share
    bool is_fuzz;      // x_fuzz.c
    bool is_generated; // its first line says so
    int lines_count;
    char **lines; // as written, without line ends
    char **code;  // the same with comments blanked and strings emptied
    char *text;   // what lines point into
    char *bare;   // what code points into
};

// Figures of a room, filled while its files are checked.
struct tidy_room {
    char name[32];
    int files_count;
    int lines_count;
    int asserts_count;
    int functions_count;
    int functions[TIDY_FUNCTIONS_MAX]; // lengths in lines
};

void tidy_load(struct tidy_file *f, const char *path); // exits when it cannot be read
void tidy_unload(struct tidy_file *f);
bool tidy_is_name(char c);                              // may stand in a C name
bool tidy_has_word(const char *line, const char *word); // not as part of a longer name

void tidy_complain(const struct tidy_file *f, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The line, or the one above, carries "// tidy: WHAT — reason". Counts the mark.
bool tidy_marked(const struct tidy_file *f, int line, const char *what);

void tidy_load_layers(const char *path);
void tidy_forget_layers(void); // and which headers were seen: for another run
int tidy_rooms_count(void);
const char *tidy_room_name(int index);
void tidy_check_includes(const struct tidy_file *f); // layers, own header first, private headers
void tidy_check_room(const char *room);              // README.md, tests
void tidy_check_dead_headers(void);
void tidy_check_bans(const struct tidy_file *f);

#endif
