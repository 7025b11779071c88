// SPDX-License-Identifier: Apache-2.0
//
// A check that cannot fail is none: each rule of tidy is broken once in a small tree of its own,
// and must be found; the same tree without the breach must pass.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// The whole program in this unit, its main under another name.
int tidy_main(int argc, char **argv);
#define main tidy_main
#include "tools/tidy/main.c"
#undef main
#include "tools/tidy/bans.c"
#include "tools/tidy/file.c"
#include "tools/tidy/layers.c"

#define HEAD "// SPDX-License-Identifier: Apache-2.0\n//\n// What this file is.\n"

static void put(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

// A tree without a fault: two rooms, the second may include the first.
static int make_tree(void **state)
{
    static char dir[] = "/tmp/tidy-test-XXXXXX";
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return -1;
    *state = dir;
    mkdir("src", 0700);
    mkdir("src/low", 0700);
    mkdir("src/high", 0700);
    put("src/LAYERS", "# rooms\nlow:\nhigh: low\n");
    put("src/low/README.md", "low\n");
    put("src/high/README.md", "high\n");
    put("src/low/a.h", HEAD "#ifndef WEIR_LOW_A_H\n#define WEIR_LOW_A_H\nint a(void);\n#endif\n");
    put("src/low/a_int.h", HEAD "#ifndef WEIR_LOW_A_INT_H\n#define WEIR_LOW_A_INT_H\n#endif\n");
    put("src/low/a.c", HEAD "#include \"low/a.h\"\n\n#include \"low/a_int.h\"\n\n"
                            "int a(void)\n{\n    return 0;\n}\n");
    put("src/low/a_test.c", HEAD "#include \"low/a.h\"\n");
    put("src/high/b.h", HEAD "#ifndef WEIR_HIGH_B_H\n#define WEIR_HIGH_B_H\n#endif\n");
    put("src/high/b.c", HEAD "#include \"high/b.h\"\n\n#include \"low/a.h\"\n");
    put("src/high/b_test.c", HEAD "#include \"high/b.h\"\n");
    return 0;
}

static int remove_tree(void **state)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", (const char *)*state);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

// Runs tidy on the tree; the number of findings.
static int run(void)
{
    char name[] = "tidy";
    char *argv[] = {name, NULL};
    findings = 0;
    marks = 0;
    tidy_forget_layers();
    // cmocka's own words go to standard error as well: it is only lent.
    int kept = dup(STDERR_FILENO);
    int file = open("findings.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    int status = tidy_main(1, argv);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    assert_int_equal(status, findings == 0 ? 0 : 1);
    return findings;
}

static bool told(const char *what)
{
    static char text[20000];
    FILE *in = fopen("findings.txt", "r");
    assert_non_null(in);
    size_t len = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[len] = '\0';
    return strstr(text, what) != NULL;
}

static void a_good_tree_passes(void **state)
{
    (void)state;
    assert_int_equal(run(), 0);
}

// One breach each: the text of src/high/b.c, and a part of what must be told.
static const struct {
    const char *text;
    const char *finding;
} breaches[] = {
    {HEAD "#include \"high/b.h\"\n\n#include \"low/a_int.h\"\n", "private to low"},
    {HEAD "#include \"low/a.h\"\n#include \"high/b.h\"\n", "own header"},
    {HEAD "#include \"high/b.h\"\n#include \"a.h\"\n", "written from src/"},
    {"#include \"high/b.h\"\n\n\n\n", "the first line must be"},
    {"// SPDX-License-Identifier: Apache-2.0\n#include \"high/b.h\"\nint x;\nint y;\n",
     "opening paragraph"},
    {HEAD "#include \"high/b.h\"\nstatic int x = 1; \n", "ends in a space"},
    {HEAD "#include \"high/b.h\"\n\tint x;\n", "a tab"},
    {HEAD "#include \"high/b.h\"\n// TO"
          "DO later\n",
     "finish it"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\n    strcpy(a, b);\n}\n", "strcpy"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\n    p = malloc(3);\n}\n", "base/mem.h"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\n    fsync(3);\n}\n", "fsync"},
    {HEAD "#include \"high/b.h\"\n#include <pthread.h>\n", "operating system"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\n    printf(\"x\");\n}\n", "print"},
    {HEAD "#include \"high/b.h\"\ntypedef struct x x;\n", "typedef"},
    {HEAD "#include \"high/b.h\"\n#define X \\\n    goto out\n", "macro"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\n    ASSERT(a && b);\n}\n", "one condition"},
    {HEAD "#include \"high/b.h\"\nvoid f(void)\n{\nagain:\n    goto again;\n}\n", "backward"},
};

static void every_breach_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof breaches / sizeof breaches[0]; i++) {
        put("src/high/b.c", breaches[i].text);
        if (run() == 0 || !told(breaches[i].finding))
            fail_msg("not found: %s", breaches[i].finding);
    }
}

static void prose_members_and_marks_are_let_through(void **state)
{
    (void)state;
    put("src/high/b.c",
        HEAD "#include \"high/b.h\"\n"
             "// malloc( and fsync( in prose, \"strcpy(\" as well\n"
             "void f(void)\n{\n    io->read(io);\n    my_read(\"free(x)\");\n"
             "    // tidy: os — to show that it works\n    fsync(3);\n"
             "    ASSERT(a || (b && c));\n    goto out;\nout:\n    x.close(x);\n}\n");
    assert_int_equal(run(), 0);
    assert_int_equal(marks, 1);
}

static void layers_hold_upward_only(void **state)
{
    (void)state;
    put("src/low/a.c", HEAD "#include \"low/a.h\"\n\n#include \"low/a_int.h\"\n"
                            "#include \"high/b.h\"\n");
    assert_int_equal(run(), 1);
    assert_true(told("low must not include high"));
}

// A function of `lines` lines in all.
static void put_function(int lines, const char *above)
{
    FILE *out = fopen("src/high/b.c", "w");
    assert_non_null(out);
    fputs(HEAD "#include \"high/b.h\"\n\n", out);
    fputs(above, out);
    fputs("void f(void)\n{\n", out);
    for (int i = 0; i < lines - 3; i++)
        fputs("    x++;\n", out);
    fputs("}\n", out);
    assert_int_equal(fclose(out), 0);
}

static void long_functions_and_files(void **state)
{
    (void)state;
    put_function(70, "");
    assert_int_equal(run(), 0);
    put_function(71, "");
    assert_int_equal(run(), 1);
    put_function(71, "// tidy: long — a table in words\n");
    assert_int_equal(run(), 0);
    put_function(700, "// tidy: long — a table in words\n");
    assert_int_equal(run(), 1);
    assert_true(told("lines, at most 600"));
}

static void headers_and_pages(void **state)
{
    (void)state;
    put("src/high/b.h", HEAD "#ifndef B_H\n#define B_H\n#endif\n");
    put("src/high/dead.h", HEAD "#ifndef WEIR_HIGH_DEAD_H\n#define WEIR_HIGH_DEAD_H\n#endif\n");
    assert_int_equal(unlink("src/low/README.md"), 0);
    assert_int_equal(unlink("src/high/b_test.c"), 0);
    assert_int_equal(run(), 4);
    assert_true(told("#ifndef WEIR_HIGH_B_H"));
    assert_true(told("nobody includes this header"));
    assert_true(told("src/low has no README.md"));
    assert_true(told("src/high has no test"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_tree_passes, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(every_breach_is_found, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(prose_members_and_marks_are_let_through, make_tree,
                                        remove_tree),
        cmocka_unit_test_setup_teardown(layers_hold_upward_only, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(long_functions_and_files, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(headers_and_pages, make_tree, remove_tree),
    };
    return cmocka_run_group_tests_name("tidy", tests, NULL, NULL);
}
