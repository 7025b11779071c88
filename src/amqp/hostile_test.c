// SPDX-License-Identifier: Apache-2.0
//
// Peers that mean no good: frames that are none, lengths that promise much, tables within tables,
// bodies that are not what their headers say, answers that nobody reads. In each case memory stays
// flat, others notice nothing, and it ends.
#include "amqp/rig_upper_test.h"

#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static void others_notice_nothing(struct rig *rig)
{
    struct peer peer;
    peer_open(rig, &peer, 1);
    put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0});
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_CLOSE_OK);
    peer_close(&peer);
}

// ---- frames

static void test_channel_max_and_frame_max(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    uint8_t *body = mem_zalloc(8192);
    rig_init(&rig);
    peer_to_state(&rig, &peer, AMQP_CONN_TUNING, 0);
    put_tune_ok(&peer.out, 4096, 2, 0);
    put_open(&peer.out, "/");
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_OPEN_OK);
    put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    put_method(&peer.out, 2, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
    (void)peer_expect(&peer, 2, AMQP_CHANNEL_OPEN_OK);
    put_method(&peer.out, 3, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    peer_expect_close(&peer, 0, 530,
                      "NOT_ALLOWED - number of channels opened (2) has reached the negotiated "
                      "channel_max (2)");
    peer_close(&peer);
    peer_open(&rig, &peer, 0);
    put_method(&peer.out, 2048, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    peer_expect_close(
        &peer, 0, 530,
        "NOT_ALLOWED - channel number 2048 is above the negotiated channel_max (2047)");
    peer_close(&peer);

    peer_to_state(&rig, &peer, AMQP_CONN_TUNING, 0);
    put_tune_ok(&peer.out, 4096, 2, 0);
    put_open(&peer.out, "/");
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_OPEN_OK);
    put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
    put_publish(&peer.out, 1, "k");
    put_header(&peer.out, 1, 8192);
    put_frame(&peer.out, AMQP_FRAME_BODY, 1, body, 4096); // RabbitMQ forgives the eight bytes
    assert_false(peer_next(&peer));
    put_frame(&peer.out, AMQP_FRAME_BODY, 1, body, 4097);
    peer_expect_close(&peer, 0, 501,
                      "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}");
    peer_close(&peer);
    mem_free(body);
    rig_fini(&rig);
}

// A length alone holds nothing, before the login and after it.
static void test_lengths_that_lie(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static const uint8_t huge[] = {1, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 10, 0, 11};
    static const uint8_t some[] = {1, 0, 0, 0, 0, 0x0f, 0xff, 0, 10, 0, 11};
    struct rig rig;
    struct rig_raw raw[COUNT];
    uint8_t bytes[32];
    rig_init(&rig);
    int64_t before = rig_request_bytes(&rig);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(rig_raw_connect(rig.io, &rig.addr, &raw[i]), 0);
        memcpy(bytes, PROTOCOL_HEADER, 8);
        memcpy(bytes + 8, i % 2 == 0 ? huge : some, sizeof huge);
        rig_raw_send(&raw[i], bytes, 8 + sizeof huge);
        rig_run(&rig, MILLIS(20));
    }
    assert_true(rig_request_bytes(&rig) - before < COUNT * 64);
    rig_run(&rig, SECONDS(11)); // the deadline of the handshake
    for (int i = 0; i < COUNT; i++) {
        assert_true(raw[i].ended);
        rig_raw_close(&raw[i]);
    }
    assert_int_equal(rig_connections(&rig), 0);
    others_notice_nothing(&rig);
    assert_int_equal(rig_request_bytes(&rig), before);
    rig_fini(&rig);
}

struct bad_frame {
    struct slice bytes;
    uint16_t code;
    const char *text;
};

static void test_bad_frames(void **state)
{
    (void)state;
    static const struct bad_frame cases[] = {
        {BYTES("\1\0\1\0\0\0\4\0\x14\0\x0b\xcd"), 501,
         "FRAME_ERROR - type 1, all octets = <<0,20,0,11>>: {invalid_frame_end_marker,205}"},
        {BYTES("\1\0\1\0\0\0\2\0\x14\xce"), 501,
         "FRAME_ERROR - type 1, all octets = <<0,20>>: unknown_frame"},
        {BYTES("\4\0\1\0\0\0\0\xce"), 501,
         "FRAME_ERROR - type 4, all octets = <<>>: unknown_frame"},
        {BYTES("\x08\0\0\0\0\0\1\0\xce"), 501,
         "FRAME_ERROR - type 8, all octets = <<0>>: unknown_frame"},
        {BYTES("\x08\0\1\0\0\0\0\xce"), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"},
        {BYTES("\3\0\0\0\0\0\1x\xce"), 505, "UNEXPECTED_FRAME - type 3, all octets = <<\"x\">>"},
        {BYTES("\2\0\1\0\0\0\3\0\x3c\0\xce"), 501,
         "FRAME_ERROR - type 2, all octets = <<0,60,0>>: unknown_frame"},
        {BYTES("\3\0\1\0\0\0\1x\xce"), 505,
         "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
        {BYTES("\3\0\x09\0\0\0\1x\xce"), 505,
         "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
        {BYTES("\1\0\1\0\0\0\4\0\x3c\0\x29\xce"), 503, "COMMAND_INVALID - unknown method 60.41"},
        {BYTES("\1\0\1\0\0\0\4\0\x3c\0\x28\xce"), 501, "FRAME_ERROR - cannot decode <<>>"},
        {BYTES("\1\0\1\0\0\0\x0b\0\x14\0\x28\0\0\xff xyz\xce"), 501,
         "FRAME_ERROR - cannot decode <<0,0,255,32,120,121,122>>"},
        {BYTES("\1\0\1\0\0\0\6\0\x14\0\x14\1\1\xce"), 501, // a byte too many
         "FRAME_ERROR - cannot decode <<1,1>>"},
        {BYTES("\1\0\1\0\0\0\x09\0\x3c\0\x1e\3\xed\xa0\x80\0\xce"), 501, // a surrogate
         "FRAME_ERROR - Malformed UTF-8 in shortstr"},
        {BYTES("\1\0\1\0\0\0\x0f\0\x32\0\x0a\0\0\0\0\0\0\0\3\1nZ\xce"), 502,
         "SYNTAX_ERROR - the table arguments of queue.declare is malformed"},
    };
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer;
        peer_open(&rig, &peer, 1);
        buf_put_slice(&peer.out, cases[i].bytes);
        peer_expect_close(&peer, 0, cases[i].code, cases[i].text);
        peer_close(&peer);
    }
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static void test_hundreds_of_nested_tables(void **state)
{
    (void)state;
    enum { DEPTH = 580 };
    struct rig rig;
    struct peer peer;
    struct buf table;
    size_t opened[DEPTH];
    rig_init(&rig);
    buf_init(&table, 1 << 16);
    for (int i = 0; i < DEPTH; i++)
        opened[i] = amqp_open_table(&table, slice_cstr("n"));
    for (int i = DEPTH; i-- > 0;)
        amqp_close(&table, opened[i]);
    peer_open(&rig, &peer, 1);
    const struct amqp_queue_declare declare = {.arguments = buf_slice(&table)};
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &declare);
    peer_expect_close(&peer, 0, 502,
                      "SYNTAX_ERROR - the table arguments of queue.declare is malformed");
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

// ---- contents

// One frame of a content by a letter.
static void put_letter(struct buf *out, char letter)
{
    switch (letter) {
    case 'M':
        put_publish(out, 1, "k");
        break;
    case 'H': // ten bytes are promised
    case 'h': // none
        put_header(out, 1, letter == 'H' ? 10 : 0);
        break;
    case 'C': // of class queue
        put_frame(out, AMQP_FRAME_HEADER, 1, "\0\x32\0\0\0\0\0\0\0\0\0\1\0\0", 14);
        break;
    case 'W': // with a weight
        put_frame(out, AMQP_FRAME_HEADER, 1, "\0\x3c\0\1\0\0\0\0\0\0\0\1\0\0", 14);
        break;
    case 'P': // whose properties are cut
        put_frame(out, AMQP_FRAME_HEADER, 1, "\0\x3c\0\0\0\0\0\0\0\0\0\1\x80\0", 14);
        break;
    default: // so many bytes of body
        put_frame(out, AMQP_FRAME_BODY, 1, "0123456789abcdef", (size_t)(letter - '0'));
    }
}

#define WANTS_HEADER "UNEXPECTED_FRAME - expected content header for class 60, got "
#define WANTS_BODY   "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
#define TOO_MUCH     "FRAME_ERROR - content body frame exceeds remaining content size"

static void test_contents_that_lie(void **state)
{
    (void)state;
    static const struct {
        const char *frames;
        uint16_t code;
        const char *text;
    } cases[] = {
        {"MH;", 501, TOO_MUCH}, // eleven bytes
        {"MH56", 501, TOO_MUCH},
        {"MHH", 505, WANTS_BODY},
        {"MHM", 505, WANTS_BODY},
        {"MH5M", 505, WANTS_BODY},
        {"M1", 505, WANTS_HEADER "non content header frame instead"},
        {"MM", 505, WANTS_HEADER "non content header frame instead"},
        {"MW", 505, WANTS_HEADER "non content header frame instead"},
        {"MC", 505, WANTS_HEADER "one for class 50 instead"},
        {"MP", 502, "SYNTAX_ERROR - the properties of a message are malformed"},
        {"Mh1", 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
        {"H", 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
    };
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer;
        peer_open(&rig, &peer, 1);
        for (const char *letter = cases[i].frames; *letter != '\0'; letter++)
            put_letter(&peer.out, *letter);
        peer_expect_close(&peer, 0, cases[i].code, cases[i].text);
        peer_close(&peer);
    }
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    rig_fini(&rig);
}

// Sizes that no message has are refused by the channel, and what follows them is passed over.
static size_t say_all(struct peer *peer, const uint8_t *data, size_t len)
{
    rig_raw_send(&peer->raw, data, len);
    while (peer->raw.out_at < len && !peer->raw.ended)
        rig_run(peer->rig, 200000);
    return len;
}

// How much a connection that ends may still say does not depend on how its frames fall into reads:
// here every other read ends within one.
static void test_much_behind_the_end(void **state)
{
    (void)state;
    enum { PART = 120000, MOST = 40 << 20 };
    struct rig rig;
    struct peer peer;
    struct buf frame;
    uint8_t *part = mem_zalloc(PART);
    size_t said = 0;
    buf_init(&frame, 1 << 20);
    put_frame(&frame, AMQP_FRAME_BODY, 1, part, PART);
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    put_publish(&peer.out, 1, "k");
    put_header(&peer.out, 1, 10);
    put_frame(&peer.out, AMQP_FRAME_BODY, 1, part, 100);
    peer_flush(&peer, 1000000);
    while (!peer.raw.ended && said < MOST) {
        said += say_all(&peer, frame.data, PART / 2);
        said += say_all(&peer, frame.data + PART / 2, frame.len - PART / 2);
    }
    assert_true(peer.raw.ended);
    assert_true(said >= AMQP_DISCARD_BYTES);
    buf_fini(&frame);
    mem_free(part);
    peer_close(&peer);
    rig_fini(&rig);
}

static void test_sizes_out_of_bounds(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {(16 << 20) + 1,
         "PRECONDITION_FAILED - message size 16777217 is larger than configured max "
         "size 16777216"},
        {UINT64_C(1) << 63, "PRECONDITION_FAILED - message size 9223372036854775808 is larger than "
                            "configured max size 16777216"},
        {UINT64_MAX, "PRECONDITION_FAILED - message size 18446744073709551615 is larger than "
                     "configured max size 16777216"},
    };
    struct rig rig;
    struct peer peer;
    uint8_t *part = mem_zalloc(100000);
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_publish(&peer.out, 1, "k");
        put_header(&peer.out, 1, cases[i].size);
        peer_expect_close(&peer, 1, 406, cases[i].text);
        for (int j = 0; j < 50; j++) {
            put_frame(&peer.out, AMQP_FRAME_BODY, 1, part, 100000);
            assert_false(peer_next(&peer));
            assert_true(rig_request_bytes(&rig) < 1 << 20);
        }
        put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
        put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
    }
    peer_close(&peer);
    mem_free(part);
    rig_fini(&rig);
}

// A header's promise buys nothing; what is held follows what was sent, and not for long.
static void test_bodies_that_stop(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct rig rig;
    struct peer *peers = mem_alloc(COUNT * sizeof *peers);
    uint8_t part[2000] = {0};
    rig_init(&rig);
    for (int i = 0; i < COUNT; i++) {
        peer_open(&rig, &peers[i], 1);
        put_publish(&peers[i].out, 1, "k");
        put_header(&peers[i].out, 1, 16 << 20);
        put_frame(&peers[i].out, AMQP_FRAME_BODY, 1, part, sizeof part);
        // a frame that says 100,000 bytes, of which a few come
        buf_put(&peers[i].out, "\3\0\1\0\1\x86\xa0 few", 11);
        peer_flush(&peers[i], MILLIS(200));
    }
    assert_true(rig_request_bytes(&rig) < COUNT * 16 << 10);
    rig_run(&rig, SECONDS(40));
    assert_int_equal(rig_connections(&rig), 0);
    assert_int_equal(rig_request_bytes(&rig), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_true(peers[i].raw.ended);
        peer_close(&peers[i]);
    }
    others_notice_nothing(&rig);
    mem_free(peers);
    rig_fini(&rig);
}

// Headers of contents that have begun on many channels: what is held is not more than there is, and
// who fills it does not stay.
static void test_many_headers_without_bodies(void **state)
{
    (void)state;
    enum { PEERS = 3, CHANNELS = 600, BYTES_EACH = 100000 };
    struct rig rig;
    struct peer peers[PEERS];
    const struct amqp_properties p = {.flags = AMQP_HEADERS};
    struct buf table, header;
    int64_t most = 0;
    rig_init(&rig);
    buf_init(&table, 1 << 20);
    buf_init(&header, 1 << 20);
    uint8_t *long_text = mem_zalloc(BYTES_EACH);
    amqp_put_text(&table, slice_cstr("t"), slice_of(long_text, BYTES_EACH));
    buf_put(&header, "\0\x3c\0\0\0\0\0\0\0\0\0\1", 12);
    struct amqp_properties filled = p;
    filled.headers = buf_slice(&table);
    amqp_properties_write(&filled, &header);
    for (int i = 0; i < PEERS; i++)
        peer_open(&rig, &peers[i], CHANNELS);
    for (int i = 0; i < PEERS; i++) {
        for (uint16_t ch = 1; ch <= CHANNELS; ch++) {
            put_publish(&peers[i].out, ch, "k");
            put_frame(&peers[i].out, AMQP_FRAME_HEADER, ch, header.data, header.len);
        }
        rig_raw_send(&peers[i].raw, peers[i].out.data, peers[i].out.len);
    }
    for (int i = 0; i < 200; i++) {
        rig_run(&rig, MILLIS(100));
        int64_t bytes = rig_request_bytes(&rig);
        most = bytes > most ? bytes : most;
    }
    assert_true(most <= 64 << 20);
    others_notice_nothing(&rig);
    for (int i = 0; i < PEERS; i++)
        peer_close(&peers[i]);
    rig_run(&rig, SECONDS(5));
    assert_int_equal(rig_request_bytes(&rig), 0);
    mem_free(long_text);
    buf_fini(&table);
    buf_fini(&header);
    rig_fini(&rig);
}

// ---- answers that nobody reads

static void test_answers_never_read(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct rig rig;
    struct peer deaf;
    rig_init(&rig);
    peer_open(&rig, &deaf, 1);
    deaf.raw.deaf = true;
    for (int i = 0; i < COUNT; i++)
        put_method(&deaf.out, 1, AMQP_CHANNEL_FLOW, &(struct amqp_channel_flow){true});
    rig_raw_send(&deaf.raw, deaf.out.data, deaf.out.len);
    int64_t most = 0;
    for (int i = 0; i < 60; i++) {
        rig_run(&rig, SECONDS(1));
        int64_t bytes = rig_request_bytes(&rig);
        most = bytes > most ? bytes : most;
    }
    assert_true(most < 2 << 20);
    assert_true(deaf.raw.out_at < deaf.raw.out_len); // it is not read any more
    others_notice_nothing(&rig);
    deaf.raw.deaf = false; // and is heard out when it listens
    io_watch(deaf.raw.sock, IO_READABLE | IO_WRITABLE);
    rig_run(&rig, SECONDS(60));
    assert_int_equal(deaf.raw.out_at, deaf.raw.out_len);
    uint32_t answers = 0;
    while (deaf.raw.in.len - deaf.seen >= 8) {
        deaf.seen += 8 + be32_get(deaf.raw.in.data + deaf.seen + 3);
        answers++;
    }
    assert_int_equal(answers, COUNT);
    assert_int_equal(rig_request_bytes(&rig), 0);
    peer_close(&deaf);
    rig_fini(&rig);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(upper.sessions, 0);
    upper_reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_channel_max_and_frame_max, teardown),
        cmocka_unit_test_teardown(test_lengths_that_lie, teardown),
        cmocka_unit_test_teardown(test_bad_frames, teardown),
        cmocka_unit_test_teardown(test_hundreds_of_nested_tables, teardown),
        cmocka_unit_test_teardown(test_contents_that_lie, teardown),
        cmocka_unit_test_teardown(test_much_behind_the_end, teardown),
        cmocka_unit_test_teardown(test_sizes_out_of_bounds, teardown),
        cmocka_unit_test_teardown(test_bodies_that_stop, teardown),
        cmocka_unit_test_teardown(test_many_headers_without_bodies, teardown),
        cmocka_unit_test_teardown(test_answers_never_read, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
