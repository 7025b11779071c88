// SPDX-License-Identifier: Apache-2.0
//
// The three places an option may come from, in their order; addresses; what is refused and with
// which code.
#include "cli/serve_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16
#define READ(out, ...) \
    read_arguments(out, (char *[ARGUMENTS_MAX]){(char[]){"serve"}, __VA_ARGS__, NULL})
#define A(text) \
    (char[])    \
    {           \
        text    \
    }

static int read_arguments(struct serve_options *out, char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return serve_options_read(argc, argv, out);
}

static char file_path[] = "/tmp/weir-options-XXXXXX";

static void file_write(const char *text)
{
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int file_make(void **state)
{
    (void)state;
    (void)snprintf(file_path, sizeof file_path, "/tmp/weir-options-XXXXXX");
    int fd = mkstemp(file_path);
    return fd < 0 ? -1 : close(fd);
}

static int clean(void **state)
{
    static const char *const names[] = {"WEIR_DATA_DIR",       "WEIR_KAFKA",        "WEIR_SHARDS",
                                        "WEIR_ADDR_FILE",      "WEIR_ALLOW_REMOTE", "WEIR_CONFIG",
                                        "WEIR_NUM_PARTITIONS", "WEIR_JOURNAL_FILES"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    return 0;
}

static int file_remove(void **state)
{
    (void)clean(state);
    return unlink(file_path);
}

static void presets(void **state)
{
    struct serve_options o;
    (void)state;
    assert_int_equal(READ(&o, A("--data"), A("/store")), 0);
    assert_string_equal(o.data, "/store");
    assert_int_equal(o.doors[SERVE_KAFKA].port, 9092);
    assert_int_equal(o.doors[SERVE_KAFKA].count, 0); // both loopback families
    assert_int_equal(o.shards, 0);                   // by the number of cores
    assert_null(o.addr_file);
    assert_false(o.insecure);
    assert_int_equal(o.settings_count, 0);
    assert_null(o.settings[0]);
    serve_options_free(&o);
    assert_null(o.data);
}

static void every_option(void **state)
{
    struct serve_options o;
    (void)state;
    assert_int_equal(READ(&o, A("--data=/a"), A("--kafka"), A("[::1]:7,127.0.0.1:8"), A("--shards"),
                          A("3"), A("--addr-file=/b"), A("--allow-remote"), A("-X"),
                          A("num.partitions=3"), A("-Xweir.journal.files=2")),
                     0);
    assert_int_equal(o.doors[SERVE_KAFKA].count, 2);
    char text[IO_ADDR_TEXT_SIZE];
    io_addr_text(&o.doors[SERVE_KAFKA].addrs[0], text);
    assert_string_equal(text, "[::1]:7");
    io_addr_text(&o.doors[SERVE_KAFKA].addrs[1], text);
    assert_string_equal(text, "127.0.0.1:8");
    assert_int_equal(o.shards, 3);
    assert_string_equal(o.addr_file, "/b");
    assert_true(o.insecure);
    assert_int_equal(o.settings_count, 2);
    assert_string_equal(o.settings[0], "num.partitions=3");
    assert_string_equal(o.settings[1], "weir.journal.files=2");
    assert_null(o.settings[2]);
    serve_options_free(&o);
}

static void a_port_means_both_loopbacks(void **state)
{
    static const struct {
        char text[32];
        uint16_t port;
    } rows[] = {{"0", 0}, {"9093", 9093}, {":9094", 9094}, {"localhost:65535", 65535}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct serve_options o;
        char text[32];
        memcpy(text, rows[i].text, sizeof text);
        assert_int_equal(READ(&o, A("--data=d"), A("--kafka"), text), 0);
        assert_int_equal(o.doors[SERVE_KAFKA].count, 0);
        assert_int_equal(o.doors[SERVE_KAFKA].port, rows[i].port);
        serve_options_free(&o);
    }
}

static void an_address_without_a_port(void **state)
{
    struct serve_options o;
    char text[IO_ADDR_TEXT_SIZE];
    (void)state;
    assert_int_equal(READ(&o, A("--data=d"), A("--kafka=127.0.0.2")), 0);
    assert_int_equal(o.doors[SERVE_KAFKA].count, 1);
    io_addr_text(&o.doors[SERVE_KAFKA].addrs[0], text);
    assert_string_equal(text, "127.0.0.2:9092");
    serve_options_free(&o);
}

static void what_is_refused(void **state)
{
    static const char *const rows[] = {"--kafka=example:9092",
                                       "--kafka=65536",
                                       "--kafka=localhost:x",
                                       "--shards=0",
                                       "--shards=65",
                                       "--shards=two",
                                       "--shards=",
                                       "--port=1",
                                       "-Xnum.partitions",
                                       "-X",
                                       "-Xno.such.setting=1",
                                       "-Xretention.ms=1",
                                       "stray",
                                       "--data",
                                       "--kafka=1,2,,3,not-one"};
    struct serve_options o;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s", rows[i]);
        assert_int_equal(READ(&o, A("--data=d"), text), EX_USAGE);
    }
    assert_int_equal(READ(&o, A("--shards=1")), EX_USAGE); // no --data
}

static void addresses_are_limited(void **state)
{
    char text[256] = "--kafka=127.0.0.1:1";
    struct serve_options o;
    (void)state;
    for (int i = 2; i <= IO_LISTENERS_MAX; i++) {
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof text - at, ",127.0.0.1:%d", i);
    }
    assert_int_equal(READ(&o, A("--data=d"), text), 0);
    assert_int_equal(o.doors[SERVE_KAFKA].count, IO_LISTENERS_MAX);
    serve_options_free(&o);
    size_t at = strlen(text);
    (void)snprintf(text + at, sizeof text - at, ",127.0.0.1:9");
    assert_int_equal(READ(&o, A("--data=d"), text), EX_USAGE);
}

static void elsewhere_than_loopback_by_name_only(void **state)
{
    struct serve_options o;
    (void)state;
    assert_int_equal(READ(&o, A("--data=d"), A("--kafka=0.0.0.0:9092")), EX_CONFIG);
    assert_int_equal(READ(&o, A("--data=d"), A("--kafka=[::]:9092")), EX_CONFIG);
    assert_int_equal(READ(&o, A("--data=d"), A("--kafka=0.0.0.0:9092"), A("--allow-remote=false")),
                     EX_CONFIG);
    assert_int_equal(READ(&o, A("--data=d"), A("--kafka=0.0.0.0:9092"), A("--allow-remote")), 0);
    serve_options_free(&o);
}

static void file_then_environment_then_arguments(void **state)
{
    struct serve_options o;
    (void)state;
    file_write("# a comment\n\n"
               "data = /from-file\n"
               "  shards=2  \n"
               "kafka = localhost:1000\n"
               "num.partitions = 4\n");
    (void)setenv("WEIR_SHARDS", "5", 1);
    (void)setenv("WEIR_KAFKA", "1001", 1);
    (void)setenv("WEIR_NUM_PARTITIONS", "6", 1);
    (void)setenv("WEIR_JOURNAL_FILES", "3", 1); // of weir.journal.files
    assert_int_equal(READ(&o, A("--config"), file_path, A("--kafka=1002")), 0);
    assert_string_equal(o.data, "/from-file");
    assert_int_equal(o.shards, 5);
    assert_int_equal(o.doors[SERVE_KAFKA].port, 1002);
    // The node takes settings in order; the last of a name wins.
    assert_int_equal(o.settings_count, 3);
    assert_string_equal(o.settings[0], "num.partitions=4");
    assert_string_equal(o.settings[1], "num.partitions=6");
    assert_string_equal(o.settings[2], "weir.journal.files=3");
    serve_options_free(&o);
}

static void the_file_by_environment(void **state)
{
    struct serve_options o;
    (void)state;
    file_write("data=/there\nallow-remote=true");
    (void)setenv("WEIR_CONFIG", file_path, 1);
    assert_int_equal(READ(&o, A("--shards=1")), 0);
    assert_string_equal(o.data, "/there");
    assert_true(o.insecure);
    serve_options_free(&o);
}

static void bad_files(void **state)
{
    struct serve_options o;
    char config[64];
    (void)state;
    (void)snprintf(config, sizeof config, "--config=%s", file_path);
    file_write("data /no-equals\n");
    assert_int_equal(READ(&o, config), EX_CONFIG);
    file_write("data=/d\nno.such = 1\n");
    assert_int_equal(READ(&o, config), EX_USAGE);
    assert_int_equal(READ(&o, A("--config=/nowhere/at/all")), EX_NOINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(presets, clean),
        cmocka_unit_test_setup(every_option, clean),
        cmocka_unit_test_setup(a_port_means_both_loopbacks, clean),
        cmocka_unit_test_setup(an_address_without_a_port, clean),
        cmocka_unit_test_setup(what_is_refused, clean),
        cmocka_unit_test_setup(addresses_are_limited, clean),
        cmocka_unit_test_setup(elsewhere_than_loopback_by_name_only, clean),
        cmocka_unit_test_setup_teardown(file_then_environment_then_arguments, file_make,
                                        file_remove),
        cmocka_unit_test_setup_teardown(the_file_by_environment, file_make, file_remove),
        cmocka_unit_test_setup_teardown(bad_files, file_make, file_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
