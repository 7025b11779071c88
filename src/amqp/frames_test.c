// SPDX-License-Identifier: Apache-2.0
//
// What passes between the two halves of the door: contents as they were sent however they were cut,
// contents sent in frames, waits, room, flow, exceptions; and memory that is short.
#include "amqp/rig_upper_test.h"
#include "base/prng.h"

// ---- contents in

struct said { // what the upper half must have been given
    struct buf contents;
    uint32_t count;
};

// One content, in body frames of random sizes. The frames go to `frames`, one after the other.
static void say_content(struct prng *prng, uint16_t number, struct said *said, struct buf *frames)
{
    static const size_t sizes[] = {0, 1, 100, 1000, 5000, 16384, 70000, 131064, 131065, 400000};
    size_t size = sizes[prng_below(prng, sizeof sizes / sizeof sizes[0])];
    uint8_t *body = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)prng_next(prng);
    char key[16];
    (void)snprintf(key, sizeof key, "key%u", said->count);
    put_publish(frames, number, key);
    put_header(frames, number, size);
    size_t most = AMQP_FRAME_MAX - 8;
    if (prng_chance(prng, 1, 2))
        most = 1 + (size_t)prng_below(prng, size / 3 + 10);
    for (size_t at = 0; at < size; at += most)
        put_frame(frames, AMQP_FRAME_BODY, number, body + at, size - at < most ? size - at : most);
    buf_put(&said->contents, key, strlen(key));
    buf_put(&said->contents, "\0\0", 2);
    buf_put(&said->contents, body, size);
    said->count++;
    mem_free(body);
}

static void test_contents_however_cut(void **state)
{
    (void)state;
    struct rig rig;
    struct prng prng;
    upper_reset();
    rig_init(&rig);
    prng_seed(&prng, 5);
    for (int round = 0; round < 12; round++) {
        struct peer peer;
        struct said said = {0};
        buf_init(&said.contents, 256 << 20);
        buf_clear(&upper.contents);
        peer_open(&rig, &peer, 1);
        for (int i = 0; i < 20; i++)
            say_content(&prng, 1, &said, &peer.out);
        struct slice all = buf_slice(&peer.out);
        size_t most = round % 3 == 0 ? 200000 : round % 3 == 1 ? 3000 : all.len;
        for (size_t at = 0; at < all.len;) {
            size_t n = 1 + (size_t)prng_below(&prng, most);
            n = n < all.len - at ? n : all.len - at;
            rig_raw_send(&peer.raw, all.data + at, n);
            while (peer.raw.out_at < peer.raw.out_len)
                rig_run(&rig, MILLIS(2));
            at += n;
        }
        rig_run(&rig, SECONDS(1));
        assert_int_equal(upper.contents.len, said.contents.len);
        assert_memory_equal(upper.contents.data, said.contents.data, said.contents.len);
        assert_int_equal(rig_request_bytes(&rig), 0);
        buf_fini(&said.contents);
        peer_close(&peer);
    }
    rig_fini(&rig);
}

// Frames of several channels between each other: each content is whole.
static void test_contents_interleaved(void **state)
{
    (void)state;
    enum { CHANNELS = 5, PARTS = 7 };
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, CHANNELS);
    for (uint16_t i = 1; i <= CHANNELS; i++)
        put_publish(&peer.out, i, "k");
    for (uint16_t i = 1; i <= CHANNELS; i++)
        put_header(&peer.out, i, PARTS * 4);
    for (int part = 0; part < PARTS; part++) {
        for (uint16_t i = 1; i <= CHANNELS; i++) {
            char text[8];
            (void)snprintf(text, sizeof text, "%u-%d.", i, part);
            put_frame(&peer.out, AMQP_FRAME_BODY, i, text, 4);
        }
    }
    peer_flush(&peer, SECONDS(1));
    buf_put_u8(&upper.contents, 0);
    assert_int_equal(upper.contents_count, CHANNELS);
    static const char last[] = "k\0\0005-0.5-1.5-2.5-3.5-4.5-5.5-6.";
    size_t len = sizeof last;
    assert_memory_equal(upper.contents.data + upper.contents.len - len, last, len);
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- contents out

static void expect_content(struct peer *peer, const uint8_t *body, size_t size, size_t frame_max)
{
    size_t have = 0;
    (void)peer_expect(peer, 1, AMQP_BASIC_DELIVER);
    assert_true(peer_next(peer));
    assert_int_equal(peer->type, AMQP_FRAME_HEADER);
    assert_int_equal(peer->payload.len, 12 + 4);
    assert_int_equal(be16_get(peer->payload.data), 60);
    assert_int_equal(be64_get(peer->payload.data + 4), size);
    assert_memory_equal(peer->payload.data + 12, "\x10\0\2", 3);
    while (have < size) {
        assert_true(peer_next(peer));
        assert_int_equal(peer->type, AMQP_FRAME_BODY);
        assert_true(peer->payload.len + 8 <= frame_max);
        assert_true(peer->payload.len <= size - have);
        assert_memory_equal(peer->payload.data, body + have, peer->payload.len);
        have += peer->payload.len;
    }
}

static void test_contents_sent(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1000, 4088, 4089, 20000, 131064, 131065, 1000000};
    struct rig rig;
    struct peer peer;
    struct prng prng;
    upper_reset();
    rig_init(&rig);
    prng_seed(&prng, 6);
    for (int small = 0; small < 2; small++) {
        uint32_t frame_max = small != 0 ? 4096 : AMQP_FRAME_MAX;
        peer_to_state(&rig, &peer, AMQP_CONN_TUNING, 0);
        put_tune_ok(&peer.out, frame_max, 10, 0);
        put_open(&peer.out, "/");
        put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        put_method(&peer.out, 1, AMQP_BASIC_QOS, &(struct amqp_basic_qos){0});
        (void)peer_expect(&peer, 0, AMQP_CONNECTION_OPEN_OK);
        (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i / 2];
            struct blob *blob;
            assert_int_equal(blob_create(size + 100, NULL, &blob), 0);
            for (size_t j = 0; j < blob->size; j++)
                blob->data[j] = (uint8_t)prng_next(&prng);
            const struct amqp_basic_deliver deliver = {.delivery_tag = i};
            amqp_send_content(upper.ch, AMQP_BASIC_DELIVER, &deliver, slice_of("\x10\0\2", 4),
                              slice_of(blob->data + 50, size), i % 2 == 0 ? blob : NULL);
            rig_run(&rig, SECONDS(2));
            expect_content(&peer, blob->data + 50, size, frame_max);
            assert_int_equal(atomic_load(&blob->refs), 1); // nothing holds it any more
            blob_unref(blob);
        }
        peer_close(&peer);
        rig_run(&rig, SECONDS(1));
    }
    assert_int_equal(rig_request_bytes(&rig), 0);
    rig_fini(&rig);
}

// A large blob is not pinned by a small body of it, however long the client does not read.
static void test_small_bodies_pin_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct peer deaf;
    struct blob *blob;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &deaf, 1);
    put_method(&deaf.out, 1, AMQP_BASIC_QOS, &(struct amqp_basic_qos){0});
    peer_flush(&deaf, MILLIS(200));
    deaf.raw.deaf = true;
    io_watch(deaf.raw.sock, 0);
    assert_int_equal(blob_create(1 << 20, NULL, &blob), 0);
    memset(blob->data, 'x', blob->size);
    while (amqp_conn_room(upper.ch->conn) > 0) {
        const struct amqp_basic_deliver deliver = {.delivery_tag = 1};
        amqp_send_content(upper.ch, AMQP_BASIC_DELIVER, &deliver, slice_of("\0\0", 2),
                          slice_of(blob->data, 30000), blob);
    }
    assert_int_equal(atomic_load(&blob->refs), 1);
    rig_run(&rig, SECONDS(100));
    assert_int_equal(upper.rooms, 0);
    assert_true(rig_request_bytes(&rig) < 2 << 20);
    deaf.raw.deaf = false;
    io_watch(deaf.raw.sock, IO_READABLE);
    rig_run(&rig, SECONDS(100));
    assert_int_equal(upper.rooms, 1);
    assert_true(amqp_conn_room(upper.ch->conn) > 0);
    assert_int_equal(rig_request_bytes(&rig), 0);
    blob_unref(blob);
    peer_close(&deaf);
    rig_fini(&rig);
}

// A connection with more to send than its client takes is not read, and its client must live all
// the same: one that sends heartbeats stays, one that has died does not.
static void test_deaf_and_dead(void **state)
{
    (void)state;
    static const uint8_t beat[] = {8, 0, 0, 0, 0, 0, 0, 0xce};
    struct rig rig;
    struct peer peers[2];
    upper_reset();
    rig_init(&rig);
    for (int i = 0; i < 2; i++) {
        peer_to_state(&rig, &peers[i], AMQP_CONN_OPEN, 10);
        put_method(&peers[i].out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        put_method(&peers[i].out, 1, AMQP_BASIC_QOS, &(struct amqp_basic_qos){0});
        peer_flush(&peers[i], MILLIS(200));
        peers[i].raw.deaf = true;
        io_watch(peers[i].raw.sock, 0);
        struct blob *blob;
        assert_int_equal(blob_create(4 << 20, NULL, &blob), 0);
        memset(blob->data, 'x', blob->size);
        const struct amqp_basic_deliver deliver = {.delivery_tag = 1};
        amqp_send_content(upper.ch, AMQP_BASIC_DELIVER, &deliver, slice_of("\0\0", 2),
                          slice_of(blob->data, blob->size), blob);
        blob_unref(blob);
    }
    for (int i = 0; i < 20; i++) {
        buf_put(&peers[1].out, beat, sizeof beat);
        peer_flush(&peers[1], SECONDS(10));
    }
    assert_int_equal(rig_connections(&rig), 1);
    peers[1].raw.deaf = false;
    io_watch(peers[1].raw.sock, IO_READABLE);
    rig_run(&rig, SECONDS(5));
    assert_true(peers[1].raw.in.len > 4 << 20);
    put_method(&peers[1].out, 1, AMQP_BASIC_QOS, &(struct amqp_basic_qos){0}); // and is heard again
    uint32_t handled = upper.handled;
    peer_flush(&peers[1], SECONDS(1));
    assert_int_equal(upper.handled, handled + 1);
    for (int i = 0; i < 2; i++)
        peer_close(&peers[i]);
    rig_fini(&rig);
}

// ---- waits

static void test_waits_hold(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 2);
    upper.wait = upper.wait_holds = true;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    put_method(&peer.out, 2, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0});
    for (int i = 0; i < 20000; i++) // more than is read at once
        put_method(&peer.out, 2, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0});
    rig_raw_send(&peer.raw, peer.out.data, peer.out.len);
    rig_run(&rig, SECONDS(30));
    assert_int_equal(upper.handled, 1);
    upper.wait = false;
    assert_true(upper_wait_end());
    rig_run(&rig, SECONDS(60));
    assert_int_equal(upper.handled, 20002);
    buf_clear(&peer.out);

    // One that does not hold lets others pass.
    upper.wait = true;
    upper.wait_holds = false;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    put_method(&peer.out, 1, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0});
    peer_flush(&peer, MILLIS(200));
    assert_int_equal(upper.handled, 20004);
    upper.wait = false;
    assert_true(upper_wait_end());
    assert_true(upper_wait_end());
    peer_close(&peer);
    rig_fini(&rig);
}

static void test_waits_outlive(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 2);
    upper.wait = true;
    upper.wait_holds = false;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0});
    (void)peer_expect(&peer, 1, AMQP_CHANNEL_CLOSE_OK);
    assert_false(upper_wait_end()); // the channel is gone
    upper.wait_holds = true;
    put_method(&peer.out, 2, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    peer_flush(&peer, MILLIS(200));
    peer_close(&peer);
    rig_run(&rig, SECONDS(1));
    // Held back, nothing is read, not even that the client has gone; it is noticed afterwards.
    upper.wait = false;
    (void)upper_wait_end();
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_connections(&rig), 0);

    peer_open(&rig, &peer, 1); // one is under way when the server stops
    upper.wait = true;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    peer_flush(&peer, MILLIS(200));
    peer_close(&peer);
    rig_fini(&rig);
    assert_int_equal(upper.dropped, 1);
}

// What the connection owns goes before its close is answered, or after it has died.
static void test_owned(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    upper.owns = true;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0});
    assert_false(peer_next(&peer));
    assert_int_equal(upper.owners, 1);
    assert_int_equal(upper.sessions, 0);
    (void)upper_wait_end();
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_CLOSE_OK);
    peer_close(&peer);

    peer_open(&rig, &peer, 1);
    upper.owns = true;
    put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
    peer_flush(&peer, MILLIS(200));
    peer_close(&peer);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(upper.owners, 2);
    assert_int_equal(rig_connections(&rig), 0);
    (void)upper_wait_end();
    rig_fini(&rig);
}

// ---- exceptions, flow

static void test_exceptions(void **state)
{
    (void)state;
    static const uint16_t soft[] = {311, 312, 313, 403, 404, 405, 406};
    static const uint16_t hard[] = {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541};
    struct rig rig;
    struct peer peer;
    char text[300];
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 2);
    upper.fail_text = "no queue 'q' in vhost '/'";
    for (size_t i = 0; i < sizeof soft / sizeof soft[0]; i++) {
        upper.fail = soft[i];
        put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
        put_method(&peer.out, 1, AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){0}); // not handled
        (void)snprintf(text, sizeof text, "%s - %s", amqp_code_name(soft[i]), upper.fail_text);
        uint32_t handled = upper.handled;
        peer_expect_close(&peer, 1, soft[i], text);
        const struct amqp_channel_close *close = peer.args;
        assert_int_equal(close->class_id, 50);
        assert_int_equal(close->method_id, 10);
        assert_int_equal(upper.handled, handled + 1);
        upper.fail = 0;
        put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0}); // both
        (void)peer_expect(&peer, 1, AMQP_CHANNEL_CLOSE_OK);
        put_method(&peer.out, 2, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0}); // others go on
        put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
        put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
        assert_int_equal(upper.handled, handled + 2);
    }
    peer_close(&peer);
    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++) {
        peer_open(&rig, &peer, 2);
        upper.fail = hard[i];
        put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
        (void)snprintf(text, sizeof text, "%s - %s", amqp_code_name(hard[i]), upper.fail_text);
        peer_expect_close(&peer, 0, hard[i], text);
        assert_int_equal(upper.sessions, 0);
        put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0}); // both
        (void)peer_expect(&peer, 0, AMQP_CONNECTION_CLOSE_OK);
        put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE_OK, &(struct amqp_connection_close_ok){0});
        peer_flush(&peer, MILLIS(200));
        assert_true(peer.raw.ended);
        peer_close(&peer);
    }
    rig_fini(&rig);
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    char name[400];
    upper_reset();
    rig_init(&rig);
    memset(name, 'n', sizeof name);
    for (size_t len = 240; len < 260; len++) {
        name[len] = '\0';
        upper.fail = AMQP_NOT_FOUND;
        upper.fail_text = name;
        peer_open(&rig, &peer, 1);
        put_method(&peer.out, 1, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){0});
        const struct amqp_channel_close *m = peer_expect(&peer, 1, AMQP_CHANNEL_CLOSE);
        size_t whole = len + strlen("NOT_FOUND - ");
        assert_int_equal(m->reply_text.len, whole <= 255 ? whole : 255);
        const char *end = whole <= 255 ? "nnn" : "...";
        assert_memory_equal(m->reply_text.data + m->reply_text.len - 3, end, 3);
        name[len] = 'n';
        peer_close(&peer);
    }
    rig_fini(&rig);
}

static void test_flow(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    put_method(&peer.out, 1, AMQP_CHANNEL_FLOW, &(struct amqp_channel_flow){true});
    const struct amqp_channel_flow_ok *ok = peer_expect(&peer, 1, AMQP_CHANNEL_FLOW_OK);
    assert_true(ok->active);
    put_method(&peer.out, 1, AMQP_CHANNEL_FLOW, &(struct amqp_channel_flow){false});
    peer_expect_close(&peer, 0, AMQP_NOT_IMPLEMENTED, "NOT_IMPLEMENTED - active=false");
    peer_close(&peer);
    rig_fini(&rig);
}

// AMQP 0-8's tickets: one for all, whatever is asked.
static void test_access(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    for (int i = 0; i < 2; i++) {
        const struct amqp_access_request m = {
            .realm = slice_cstr("/data"), .exclusive = true, .read = i == 0, .write = true};
        put_method(&peer.out, 1, AMQP_ACCESS_REQUEST, &m);
        const struct amqp_access_request_ok *ok = peer_expect(&peer, 1, AMQP_ACCESS_REQUEST_OK);
        assert_int_equal(ok->ticket, 1);
    }
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- memory

// More contents are begun than there is memory for: what stands still makes room for what moves.
static void test_memory_is_short(void **state)
{
    (void)state;
    enum { COUNT = 24, SIZE = 6 << 20 };
    struct rig rig;
    struct peer *peers = mem_alloc(COUNT * sizeof *peers);
    uint8_t *part = mem_zalloc(100000);
    upper_reset();
    rig_init(&rig);
    for (int i = 0; i < COUNT; i++) {
        peer_open(&rig, &peers[i], 1);
        put_publish(&peers[i].out, 1, "k");
        put_header(&peers[i].out, 1, SIZE);
        for (int j = 0; j < 55; j++) // the last part does not come
            put_frame(&peers[i].out, AMQP_FRAME_BODY, 1, part, 100000);
        rig_raw_send(&peers[i].raw, peers[i].out.data, peers[i].out.len);
        rig_run(&rig, MILLIS(300));
    }
    rig_run(&rig, SECONDS(20));
    assert_true(rig_request_bytes(&rig) <= 64 << 20);
    struct peer busy;
    peer_open(&rig, &busy, 1);
    put_publish(&busy.out, 1, "k");
    put_header(&busy.out, 1, SIZE);
    for (int j = 0; j < 62; j++)
        put_frame(&busy.out, AMQP_FRAME_BODY, 1, part, 100000);
    put_frame(&busy.out, AMQP_FRAME_BODY, 1, part, SIZE - 62 * 100000);
    peer_flush(&busy, SECONDS(20));
    assert_int_equal(upper.contents_count, 1);
    peer_close(&busy);
    uint32_t ended = 0;
    for (int i = 0; i < COUNT; i++) {
        ended += peers[i].raw.ended;
        peer_close(&peers[i]);
    }
    print_message("%u of %d that stood still were ended\n", ended, COUNT);
    assert_true(ended > 0);
    rig_run(&rig, SECONDS(5));
    assert_int_equal(rig_request_bytes(&rig), 0);
    mem_free(part);
    mem_free(peers);
    rig_fini(&rig);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(upper.sessions, 0);
    upper_reset();
    buf_fini(&upper.contents);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_contents_however_cut, teardown),
        cmocka_unit_test_teardown(test_contents_interleaved, teardown),
        cmocka_unit_test_teardown(test_contents_sent, teardown),
        cmocka_unit_test_teardown(test_small_bodies_pin_nothing, teardown),
        cmocka_unit_test_teardown(test_deaf_and_dead, teardown),
        cmocka_unit_test_teardown(test_waits_hold, teardown),
        cmocka_unit_test_teardown(test_waits_outlive, teardown),
        cmocka_unit_test_teardown(test_owned, teardown),
        cmocka_unit_test_teardown(test_exceptions, teardown),
        cmocka_unit_test_teardown(test_long_texts_are_cut, teardown),
        cmocka_unit_test_teardown(test_flow, teardown),
        cmocka_unit_test_teardown(test_access, teardown),
        cmocka_unit_test_teardown(test_memory_is_short, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
