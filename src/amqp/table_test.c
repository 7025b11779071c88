// SPDX-License-Identifier: Apache-2.0
//
// Field tables: every type, what is cut or too deep, the canonical form, and building.
#include "amqp/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define BYTES(text) slice_of(text, sizeof text - 1)

// One entry of each type, as it may come.
static const char every[] = "\1tt\1"
                            "\1bb\xff"
                            "\1BB\xff"
                            "\1ss\xff\xfe"
                            "\1uu\xff\xfe"
                            "\1II\xff\xff\xff\xfd"
                            "\1ii\xff\xff\xff\xfd"
                            "\1ll\xff\xff\xff\xff\xff\xff\xff\xfc"
                            "\1LL\0\0\0\1\0\0\0\0"
                            "\1ff\x3f\xc0\0\0"
                            "\1dd\xc0\x04\0\0\0\0\0\0"
                            "\1DD\2\xff\xff\xff\x9c"
                            "\1SS\0\0\0\3abc"
                            "\1xx\0\0\0\2\0\1"
                            "\1TT\0\0\0\0\x65\0\0\0"
                            "\1AA\0\0\0\4t\0VV"
                            "\1FF\0\0\0\4\2nnV"
                            "\1VV";

static void test_every_type(void **state)
{
    (void)state;
    static const struct {
        enum amqp_kind kind;
        int64_t number;
    } expected[] = {
        {AMQP_BOOL, 1},         {AMQP_INT, -1},   {AMQP_INT, 255},         {AMQP_INT, -2},
        {AMQP_INT, 65534},      {AMQP_INT, -3},   {AMQP_INT, 4294967293},  {AMQP_INT, -4},
        {AMQP_INT, 4294967296}, {AMQP_DOUBLE, 0}, {AMQP_DOUBLE, 0},        {AMQP_DECIMAL, -100},
        {AMQP_TEXT, 0},         {AMQP_BYTES, 0},  {AMQP_TIME, 0x65000000}, {AMQP_ARRAY, 0},
        {AMQP_TABLE, 0},        {AMQP_NULL, 0},
    };
    struct slice table = BYTES(every);
    struct cursor in = cursor_of(table);
    struct slice name;
    struct amqp_value v;
    size_t at = 0;
    assert_int_equal(amqp_table_check(table), 0);
    for (; amqp_table_next(&in, &name, &v); at++) {
        assert_int_equal(name.len, 1);
        assert_int_equal(name.data[0], v.type);
        assert_int_equal(v.kind, expected[at].kind);
        assert_int_equal(v.number, expected[at].number);
        assert_int_equal(v.raw.data[0], v.type);
        assert_ptr_equal(v.raw.data + v.raw.len, in.pos);
    }
    assert_int_equal(at, sizeof expected / sizeof expected[0]);
    assert_int_equal(in.err, 0);
    assert_int_equal(amqp_table_get(table, "f", &v), 0);
    assert_true(v.real > 1.49 && v.real < 1.51);
    assert_int_equal(amqp_table_get(table, "d", &v), 0);
    assert_true(v.real > -2.51 && v.real < -2.49);
    assert_int_equal(amqp_table_get(table, "D", &v), 0);
    assert_int_equal(v.scale, 2);
    assert_int_equal(amqp_table_get(table, "S", &v), 0);
    assert_true(slice_eq_cstr(v.bytes, "abc"));
    assert_int_equal(amqp_table_get(table, "nn", &v), ERR_NOT_FOUND); // it is within another
    assert_int_equal(amqp_table_get(table, "A", &v), 0);
    struct cursor array = cursor_of(v.bytes);
    assert_true(amqp_array_next(&array, &v));
    assert_int_equal(v.kind, AMQP_BOOL);
    assert_true(amqp_array_next(&array, &v));
    assert_true(amqp_array_next(&array, &v));
    assert_int_equal(v.kind, AMQP_NULL);
    assert_false(amqp_array_next(&array, &v));
}

// Every cut is an error, but where an entry ends.
static void test_cut(void **state)
{
    (void)state;
    size_t whole = 0;
    for (size_t len = 0; len < sizeof every - 1; len++) {
        uint8_t *exact = mem_dup(every, len + 1); // for the sanitizers to guard
        int err = amqp_table_check(slice_of(exact, len));
        assert_true(err == 0 || err == ERR_MALFORMED);
        whole += err == 0;
        mem_free(exact);
    }
    assert_int_equal(whole, 18);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\1n", 2},                        // no type
        {"\5n", 2},                        // a name that is cut
        {"\1nZ", 3},                       // no such type
        {"\1n\0", 3},                      // nor this one
        {"\1nS\0\0\0\2x", 8},              // cut
        {"\1nS\xff\xff\xff\xff", 7},       // 4 GiB
        {"\1nF\0\0\0\3\1nt", 10},          // its last value is cut by the table's length
        {"\1nA\0\0\0\1t", 8},              // likewise in an array
        {"\1nF\0\0\0\7\1nA\0\0\0\1t", 14}, // deeper down
        {"\1nA\x7f\xff\xff\xffVV", 9},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(amqp_table_check(slice_of(bad[i].bytes, bad[i].len)), ERR_MALFORMED);
    assert_int_equal(amqp_table_check(SLICE_NULL), 0);
    assert_int_equal(amqp_table_check(BYTES("\0V")), 0); // a name without bytes
}

// So many tables (or arrays, in turn) within each other; the outermost is one of them.
static void nested(struct buf *out, int depth, bool arrays)
{
    uint8_t bytes[8192];
    size_t at = sizeof bytes;
    for (int i = 1; i < depth; i++) {
        size_t len = sizeof bytes - at;
        bool array = arrays && i % 2 == 0;
        at -= 4;
        bytes[at] = bytes[at + 1] = 0;
        bytes[at + 2] = (uint8_t)(len >> 8);
        bytes[at + 3] = (uint8_t)len;
        bytes[--at] = array ? 'A' : 'F';
        bool in_array = arrays && i + 1 < depth && i % 2 != 0;
        if (!in_array) {
            bytes[--at] = 'n';
            bytes[--at] = 1;
        }
    }
    buf_put(out, bytes + at, sizeof bytes - at);
}

static void test_depth(void **state)
{
    (void)state;
    for (int arrays = 0; arrays < 2; arrays++) {
        for (int depth = 1; depth < 700; depth += depth < 40 ? 1 : 60) {
            struct buf table;
            struct buf canonical;
            buf_init(&table, 1 << 16);
            buf_init(&canonical, 1 << 16);
            nested(&table, depth, arrays != 0);
            int expected = depth <= AMQP_TABLE_DEPTH_MAX ? 0 : ERR_LIMIT;
            assert_int_equal(amqp_table_check(buf_slice(&table)), expected);
            assert_int_equal(amqp_table_canonical(buf_slice(&table), &canonical), expected);
            if (expected == 0)
                assert_true(slice_eq(buf_slice(&table), buf_slice(&canonical)) || table.len == 0);
            buf_fini(&canonical);
            buf_fini(&table);
        }
    }
}

static void assert_canonical(struct slice table, struct slice expected)
{
    struct buf out;
    struct buf again;
    buf_init(&out, 4096);
    buf_init(&again, 4096);
    assert_int_equal(amqp_table_canonical(table, &out), 0);
    assert_int_equal(out.len, expected.len);
    if (out.len > 0)
        assert_memory_equal(out.data, expected.data, expected.len);
    assert_int_equal(amqp_table_canonical(buf_slice(&out), &again), 0);
    assert_true(slice_eq(buf_slice(&out), buf_slice(&again)) || out.len == 0);
    buf_fini(&again);
    buf_fini(&out);
}

static void test_canonical(void **state)
{
    (void)state;
    assert_canonical(SLICE_NULL, SLICE_NULL);
    // sorted by name; an integer of any type is the same
    struct slice sorted = BYTES("\1aI\0\0\0\5\2bbI\xff\xff\xff\xff\1cS\0\0\0\1x");
    assert_canonical(BYTES("\1cS\0\0\0\1x\2bbs\xff\xff\1aB\5"), sorted);
    assert_canonical(BYTES("\2bbb\xff\1al\0\0\0\0\0\0\0\5\1cS\0\0\0\1x"), sorted);
    assert_canonical(BYTES("\1aL\0\0\0\0\0\0\0\5\2bbI\xff\xff\xff\xff\1cS\0\0\0\1x"), sorted);
    // what 32 bits do not hold
    assert_canonical(BYTES("\1ni\xff\xff\xff\xff"), BYTES("\1nl\0\0\0\0\xff\xff\xff\xff"));
    assert_canonical(BYTES("\1nI\x7f\xff\xff\xff"), BYTES("\1nI\x7f\xff\xff\xff"));
    // of equal names the last; a float is a double
    assert_canonical(BYTES("\1nI\0\0\0\1\1nt\7\1m\x66\x3f\xc0\0\0"),
                     BYTES("\1md\x3f\xf8\0\0\0\0\0\0\1nt\1"));
    // within others too; arrays keep their order
    assert_canonical(BYTES("\1nF\0\0\0\6\1bV\1aV\1aA\0\0\0\4B\2B\1"),
                     BYTES("\1aA\0\0\0\12I\0\0\0\2I\0\0\0\1\1nF\0\0\0\6\1aV\1bV"));
    // text and bytes, decimals and times are what they are
    assert_canonical(BYTES("\1bx\0\0\0\1a\1aS\0\0\0\1a"), BYTES("\1aS\0\0\0\1a\1bx\0\0\0\1a"));
    assert_canonical(BYTES("\1dD\1\0\0\0\12\1tT\0\0\0\0\0\0\0\1"),
                     BYTES("\1dD\1\0\0\0\12\1tT\0\0\0\0\0\0\0\1"));
    // shorter names first
    assert_canonical(BYTES("\2aaV\1aV\1bV\0V"), BYTES("\0V\1aV\2aaV\1bV"));
}

static void test_canonical_fails(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 8);
    assert_int_equal(amqp_table_canonical(BYTES("\1nS\0\0\0\x10"
                                                "0123456789abcdef"),
                                          &out),
                     ERR_LIMIT);
    buf_clear(&out);
    assert_int_equal(amqp_table_canonical(BYTES("\1nZ"), &out), ERR_MALFORMED);
    buf_clear(&out);
    assert_int_equal(amqp_table_canonical(BYTES("\1nA\0\0\0\1t"), &out), ERR_MALFORMED);
    buf_clear(&out);
    mem_fail_after(0);
    assert_int_equal(amqp_table_canonical(BYTES("\1nV"), &out), ERR_NOMEM);
    mem_fail_after(-1);
    buf_fini(&out);
}

static void test_building(void **state)
{
    (void)state;
    struct buf out;
    struct amqp_value v;
    buf_init(&out, 4096);
    amqp_put_null(&out, slice_cstr("null"));
    amqp_put_bool(&out, slice_cstr("bool"), true);
    amqp_put_int(&out, slice_cstr("int"), -7);
    amqp_put_int(&out, slice_cstr("long"), INT64_C(1) << 40);
    amqp_put_time(&out, slice_cstr("time"), 1700000000);
    amqp_put_text(&out, slice_cstr("text"), slice_cstr("hello"));
    size_t table = amqp_open_table(&out, slice_cstr("table"));
    size_t array = amqp_open_array(&out, slice_cstr("array"));
    amqp_put_text(&out, SLICE_NULL, slice_cstr("one"));
    amqp_put_int(&out, SLICE_NULL, 2);
    amqp_close(&out, array);
    amqp_put_raw(&out, slice_cstr("raw"), BYTES("u\0\5"));
    amqp_close(&out, table);
    assert_int_equal(out.err, 0);
    assert_int_equal(amqp_table_check(buf_slice(&out)), 0);
    assert_int_equal(amqp_table_get(buf_slice(&out), "int", &v), 0);
    assert_int_equal(v.type, 'I');
    assert_int_equal(v.number, -7);
    assert_int_equal(amqp_table_get(buf_slice(&out), "long", &v), 0);
    assert_int_equal(v.type, 'l');
    assert_int_equal(v.number, INT64_C(1) << 40);
    assert_int_equal(amqp_table_get(buf_slice(&out), "time", &v), 0);
    assert_int_equal(v.number, 1700000000);
    assert_int_equal(amqp_table_get(buf_slice(&out), "table", &v), 0);
    struct slice inner = v.bytes;
    assert_int_equal(amqp_table_get(inner, "raw", &v), 0);
    assert_int_equal(v.number, 5);
    assert_int_equal(amqp_table_get(inner, "array", &v), 0);
    struct cursor in = cursor_of(v.bytes);
    assert_true(amqp_array_next(&in, &v));
    assert_true(slice_eq_cstr(v.bytes, "one"));
    assert_true(amqp_array_next(&in, &v));
    assert_int_equal(v.number, 2);
    assert_false(amqp_array_next(&in, &v));
    buf_fini(&out);
    // a full buffer is an error that sticks, also for what is open
    buf_init(&out, 12);
    table = amqp_open_table(&out, slice_cstr("t"));
    amqp_put_text(&out, slice_cstr("name"), slice_cstr("value"));
    amqp_close(&out, table);
    assert_int_equal(out.err, ERR_LIMIT);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_canonical),  cmocka_unit_test(test_canonical_fails),
        cmocka_unit_test(test_building),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
