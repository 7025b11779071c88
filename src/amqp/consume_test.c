// SPDX-License-Identifier: Apache-2.0
//
// Consuming: what is delivered when, how much at once, what an acknowledgement does, and what comes
// again when a consumer, a channel, a connection or a queue ends.
#include "amqp/consumer.h"
#include "amqp/deletion.h"
#include "amqp/rig_classes_test.h"
#include "amqp/session.h"

// Bodies "1", "2", …
static void fill(struct peer *peer, const char *queue, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char body[16];
        (void)snprintf(body, sizeof body, "%d", i);
        publish(peer, queue, body);
    }
}

// The next deliveries are these, and then nothing comes.
static uint64_t delivered_run(struct peer *peer, int first, int last, bool redelivered)
{
    uint64_t tag = 0;
    peer_flush(peer, MILLIS(300));
    for (int i = first; i <= last; i++) {
        char body[16];
        (void)snprintf(body, sizeof body, "%d", i);
        tag = delivered(peer, body, redelivered);
    }
    nothing_comes(peer);
    return tag;
}

static uint32_t deliveries_taken(struct peer *peer, uint64_t *last_tag)
{
    struct content content;
    uint32_t count = 0;
    peer_flush(peer, MILLIS(500));
    while (peer_next(peer)) {
        assert_int_equal(peer->method, AMQP_BASIC_DELIVER);
        *last_tag = ((const struct amqp_basic_deliver *)peer->args)->delivery_tag;
        take_content(peer, &content);
        count++;
    }
    return count;
}

static void the_prefetch_is_kept_and_changed_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    fill(&peer, "q", 1, 40);
    for (int global = 0; global < 2; global++) {
        const int base = global * 20;
        qos(&peer, 3, global == 1);
        consume(&peer, "q", "c", false);
        uint64_t tag = delivered_run(&peer, base + 1, base + 3, false);
        ack(&peer, tag - 2, false);
        tag = delivered_run(&peer, base + 4, base + 4, false);
        qos(&peer, 5, global == 1); // raised: two more
        tag = delivered_run(&peer, base + 5, base + 6, false);
        qos(&peer, 1, global == 1); // lowered: nothing until less than one is out
        ack(&peer, tag - 1, true);
        nothing_comes(&peer);
        ack(&peer, tag, false);
        tag = delivered_run(&peer, base + 7, base + 7, false);
        ack(&peer, tag, false);
        tag = delivered_run(&peer, base + 8, base + 8, false);
        qos(&peer, 0, global == 1); // none: all the rest
        (void)ask(&peer, AMQP_BASIC_CANCEL,
                  &(struct amqp_basic_cancel){.consumer_tag = text("none")}, AMQP_BASIC_DELIVER);
        struct content content;
        take_content(&peer, &content);
        uint32_t more = 0;
        while (peer_next(&peer)) {
            if (peer.method == AMQP_BASIC_CANCEL_OK)
                continue;
            assert_int_equal(peer.method, AMQP_BASIC_DELIVER);
            tag = ((const struct amqp_basic_deliver *)peer.args)->delivery_tag;
            take_content(&peer, &content);
            more++;
        }
        more += deliveries_taken(&peer, &tag);
        assert_int_equal(more, 40 - base - 9);
        (void)ask(&peer, AMQP_BASIC_CANCEL, &(struct amqp_basic_cancel){.consumer_tag = text("c")},
                  AMQP_BASIC_CANCEL_OK);
        // The second time begins with twenty again.
        ack(&peer, 0, true);
        assert_int_equal(look(&peer, "q").messages, 0);
        fill(&peer, "q", 21, 40);
    }
    peer_close(&peer);
    rig_fini(&rig);
}

// One limit for three consumers of queues on different shards: whoever has messages gets them.
static void consumers_share_the_channels_limit(void **state)
{
    (void)state;
    enum { LIMIT = 4, QUEUES = 3 };
    struct rig rig;
    struct peer peer, publisher;
    static const char *const queues[QUEUES] = {"a", "b", "c"};
    uint64_t tag = 0;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &publisher, 1);
    qos(&peer, LIMIT, true);
    for (int i = 0; i < QUEUES; i++) {
        declare(&peer, queues[i]);
        consume(&peer, queues[i], queues[i], false);
    }
    fill(&publisher, "b", 1, 10); // all is one's
    nothing_comes(&publisher);
    assert_int_equal(deliveries_taken(&peer, &tag), LIMIT);
    fill(&publisher, "a", 1, 10);
    fill(&publisher, "c", 1, 10);
    nothing_comes(&publisher);
    nothing_comes(&peer);
    uint32_t total = LIMIT;
    while (total < 30) { // never more than the limit, never less than there is
        ack(&peer, tag, true);
        uint32_t n = deliveries_taken(&peer, &tag);
        assert_true(n <= LIMIT);
        assert_true(n > 0);
        total += n;
    }
    ack(&peer, tag, true);
    assert_int_equal(total, 30);
    assert_int_equal(deliveries_taken(&peer, &tag), 0);
    // Two leave: the third has the limit to itself.
    for (int i = 0; i < 2; i++)
        (void)ask(&peer, AMQP_BASIC_CANCEL,
                  &(struct amqp_basic_cancel){.consumer_tag = text(queues[i])},
                  AMQP_BASIC_CANCEL_OK);
    fill(&publisher, "c", 11, 20);
    nothing_comes(&publisher);
    assert_int_equal(deliveries_taken(&peer, &tag), LIMIT);
    qos(&peer, LIMIT + 2, true);
    assert_int_equal(deliveries_taken(&peer, &tag), 2);
    // One without acknowledgement is given nothing while the channel is at its limit.
    fill(&publisher, "a", 11, 12);
    nothing_comes(&publisher);
    consume(&peer, "a", "free", true);
    nothing_comes(&peer);
    ack(&peer, tag, true);
    assert_int_equal(deliveries_taken(&peer, &tag), 6);
    peer_close(&peer);
    peer_close(&publisher);
    rig_fini(&rig);
}

static void what_is_out_comes_again(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer, other;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &other, 1);
    declare(&peer, "q");
    fill(&peer, "q", 1, 5);
    consume(&peer, "q", "c", false);
    uint64_t tag = delivered_run(&peer, 1, 5, false);
    assert_int_equal(tag, 5);
    nack(&peer, 2, false, true); // back in its place, and here again
    assert_int_equal(delivered_run(&peer, 2, 2, true), 6);
    put_method(&peer.out, 1, AMQP_BASIC_REJECT, &(struct amqp_basic_reject){6, false});
    nothing_comes(&peer); // gone: there are no dead letters
    put_method(&peer.out, 1, AMQP_BASIC_RECOVER, &(struct amqp_basic_recover){.requeue = true});
    (void)peer_expect(&peer, 1, AMQP_BASIC_RECOVER_OK);
    (void)delivered(&peer, "1", true);
    assert_int_equal(delivered_run(&peer, 3, 5, true), 10);
    // Cancelling leaves them out; closing the channel does not.
    (void)ask(&peer, AMQP_BASIC_CANCEL, &(struct amqp_basic_cancel){.consumer_tag = text("c")},
              AMQP_BASIC_CANCEL_OK);
    get_empty(&other, "q");
    ack(&peer, 7, false);
    (void)ask(&peer, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0}, AMQP_CHANNEL_CLOSE_OK);
    assert_int_equal(look(&other, "q").messages, 3);
    // In order, and so once more when the connection breaks off.
    for (int round = 0; round < 2; round++) {
        (void)get(&other, "q", false, NULL);
        consume(&other, "q", "c", false);
        uint64_t last = 0;
        assert_int_equal(deliveries_taken(&other, &last), 2);
        peer_close(&other);
        rig_run(&rig, SECONDS(1));
        peer_open(&rig, &other, 1);
    }
    consume(&other, "q", "c", false);
    (void)delivered_run(&other, 3, 5, true);
    peer_close(&peer);
    peer_close(&other);
    rig_fini(&rig);
}

static void tags_that_are_none(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    ack(&peer, 0, true); // all of nothing
#define UNKNOWN(n) "PRECONDITION_FAILED - unknown delivery tag " n
    ask_refused(&peer, AMQP_BASIC_ACK, &(struct amqp_basic_ack){7, false}, 406, UNKNOWN("7"));
    ask_refused(&peer, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0, false}, 406, UNKNOWN("0"));
    ask_refused(&peer, AMQP_BASIC_ACK, &(struct amqp_basic_ack){7, true}, 406, UNKNOWN("7"));
    ask_refused(&peer, AMQP_BASIC_NACK, &(struct amqp_basic_nack){7, true, true}, 406,
                UNKNOWN("7"));
    ask_refused(&peer, AMQP_BASIC_REJECT, &(struct amqp_basic_reject){7, true}, 406, UNKNOWN("7"));
    fill(&peer, "q", 1, 2);
    (void)get(&peer, "q", false, NULL);
    ack(&peer, 1, false);
    ask_refused(&peer, AMQP_BASIC_ACK, &(struct amqp_basic_ack){1, false}, 406, UNKNOWN("1"));
    (void)get(&peer, "q", true, NULL); // asks for none
    ask_refused(&peer, AMQP_BASIC_ACK, &(struct amqp_basic_ack){1, false}, 406, UNKNOWN("1"));
    ask_fatal(&peer, AMQP_BASIC_RECOVER, &(struct amqp_basic_recover){.requeue = false}, 540,
              "NOT_IMPLEMENTED - requeue=false");
    ask_fatal(&peer, AMQP_BASIC_QOS, &(struct amqp_basic_qos){.prefetch_size = 5}, 540,
              "NOT_IMPLEMENTED - prefetch_size!=0 (5)");
    peer_close(&peer);
    rig_fini(&rig);
}

static void consumers_and_their_tags(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 4096);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    const struct amqp_basic_consume_ok *ok =
        ask(&peer, AMQP_BASIC_CONSUME, &(struct amqp_basic_consume){.queue = text("q")},
            AMQP_BASIC_CONSUME_OK);
    assert_memory_equal(ok->consumer_tag.data, "amq.ctag-", 9);
    assert_int_equal(look(&peer, "q").consumers, 1);
    ask_refused(&peer, AMQP_BASIC_CONSUME,
                &(struct amqp_basic_consume){.queue = text("q"), .exclusive = true}, 403,
                "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
    (void)ask(&peer, AMQP_BASIC_CONSUME,
              &(struct amqp_basic_consume){
                  .queue = text("q"), .consumer_tag = text("c"), .exclusive = true},
              AMQP_BASIC_CONSUME_OK);
    ask_refused(&peer, AMQP_BASIC_CONSUME, &(struct amqp_basic_consume){.queue = text("q")}, 403,
                "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
    ask_refused(&peer, AMQP_BASIC_CONSUME, &(struct amqp_basic_consume){.queue = text("nosuch")},
                404, "NOT_FOUND - no queue 'nosuch' in vhost '/'");
    amqp_put_text(&table, text("x-priority"), text("a"));
    ask_refused(&peer, AMQP_BASIC_CONSUME,
                &(struct amqp_basic_consume){.queue = text("q"), .arguments = buf_slice(&table)},
                406,
                "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
                "\"expected integer, got longstr\"");
    consume(&peer, "q", "c", false);
    put_method(&peer.out, 1, AMQP_BASIC_CANCEL,
               &(struct amqp_basic_cancel){.consumer_tag = text("c"), .no_wait = true});
    consume(&peer, "q", "c", false); // the tag is free
    ask_fatal(&peer, AMQP_BASIC_CONSUME,
              &(struct amqp_basic_consume){.queue = text("q"), .consumer_tag = text("c")}, 530,
              "NOT_ALLOWED - attempt to reuse consumer tag 'c'");
    (void)ask(&peer, AMQP_BASIC_CANCEL, &(struct amqp_basic_cancel){.consumer_tag = text("c")},
              AMQP_BASIC_CANCEL_OK); // of nobody
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

// Deliveries stand between consume-ok and cancel-ok, whatever else is going on.
static void deliveries_keep_within_their_consumer(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer, publisher;
    struct content content;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &publisher, 1);
    declare(&peer, "q");
    uint32_t taken = 0;
    for (int round = 0; round < 30; round++) {
        fill(&publisher, "q", 1, 20);
        rig_raw_send(&publisher.raw, publisher.out.data, publisher.out.len);
        put_method(&peer.out, 1, AMQP_BASIC_CONSUME,
                   &(struct amqp_basic_consume){
                       .queue = text("q"), .consumer_tag = text("c"), .no_ack = round % 2 == 0});
        rig_raw_send(&peer.raw, peer.out.data, peer.out.len);
        rig_run(&rig, round * 40000);
        buf_clear(&peer.out);
        put_method(&peer.out, 1, AMQP_BASIC_CANCEL,
                   &(struct amqp_basic_cancel){.consumer_tag = text("c")});
        rig_run(&rig, MILLIS(20));
        peer_flush(&peer, MILLIS(200));
        buf_clear(&publisher.out);
        (void)peer_expect(&peer, 1, AMQP_BASIC_CONSUME_OK);
        while (peer_next(&peer) && peer.method != AMQP_BASIC_CANCEL_OK) {
            assert_int_equal(peer.method, AMQP_BASIC_DELIVER);
            take_content(&peer, &content);
            taken++;
        }
        assert_int_equal(peer.method, AMQP_BASIC_CANCEL_OK);
        nothing_comes(&peer);
        put_method(&peer.out, 1, AMQP_BASIC_ACK, &(struct amqp_basic_ack){0, true});
    }
    print_message("%u taken in 30 rounds\n", taken);
    assert_true(taken > 20);
    peer_close(&peer);
    peer_close(&publisher);
    rig_fini(&rig);
}

static void queues_that_go_tell_their_consumers(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer, other;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &other, 1);
    declare(&peer, "q");
    fill(&peer, "q", 1, 2);
    consume(&peer, "q", "c", false);
    (void)delivered_run(&peer, 1, 2, false);
    (void)ask(&other, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")},
              AMQP_QUEUE_DELETE_OK);
    const struct amqp_basic_cancel *cancel = peer_expect(&peer, 1, AMQP_BASIC_CANCEL);
    assert_true(slice_eq_cstr(cancel->consumer_tag, "c"));
    assert_true(cancel->no_wait);
    nothing_comes(&peer);
    ack(&peer, 1, false); // of a queue that is gone: no error
    declare(&peer, "q");
    consume(&peer, "q", "c", false); // the tag is free
    fill(&peer, "q", 3, 3);
    (void)delivered_run(&peer, 3, 3, false);
    ack(&peer, 3, true);
    nothing_comes(&peer);
    peer_close(&peer);
    peer_close(&other);
    rig_fini(&rig);
}

static void auto_delete_queues_go_with_their_last_consumer(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    const struct amqp_queue_declare m = {.queue = text("q"), .auto_delete = true};
    const struct amqp_queue_declare passive = {.queue = text("q"), .passive = true};
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    for (int round = 0; round < 3; round++) {
        (void)declare_with(&peer, &m);
        assert_int_equal(look(&peer, "q").consumers, 0); // not before it had one
        consume(&peer, "q", "c", round == 0);
        consume(&peer, "q", "d", false);
        (void)ask(&peer, AMQP_BASIC_CANCEL, &(struct amqp_basic_cancel){.consumer_tag = text("c")},
                  AMQP_BASIC_CANCEL_OK);
        assert_int_equal(look(&peer, "q").consumers, 1);
        if (round < 2) {
            (void)ask(&peer, AMQP_BASIC_CANCEL,
                      &(struct amqp_basic_cancel){.consumer_tag = text("d")}, AMQP_BASIC_CANCEL_OK);
        } else { // or its channel
            (void)ask(&peer, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0},
                      AMQP_CHANNEL_CLOSE_OK);
            (void)ask(&peer, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0},
                      AMQP_CHANNEL_OPEN_OK);
        }
        ask_refused(&peer, AMQP_QUEUE_DECLARE, &passive, 404,
                    "NOT_FOUND - no queue 'q' in vhost '/'");
    }
    peer_close(&peer);
    rig_fini(&rig);
}

// A get finds what consumers have left.
static void gets_come_behind_consumers(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer, other;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &other, 1);
    declare(&peer, "q");
    qos(&peer, 2, false);
    consume(&peer, "q", "c", false);
    fill(&other, "q", 1, 3);
    struct content content;
    (void)get(&other, "q", true, &content);
    assert_string_equal(content.body, "3");
    get_empty(&other, "q");
    (void)delivered_run(&peer, 1, 2, false);
    peer_close(&peer);
    peer_close(&other);
    rig_fini(&rig);
}

// A client that asks for everything and reads nothing: what is on its way to it stays bounded, and
// what it has not been given is others'.
static void a_deaf_consumer_holds_little(void **state)
{
    (void)state;
    enum { COUNT = 3000, SIZE = 4000 };
    struct rig rig;
    struct peer deaf, other;
    static char body[SIZE + 1];
    rig_init(&rig);
    memset(body, 'b', SIZE);
    peer_open(&rig, &deaf, 1);
    peer_open(&rig, &other, 1);
    declare(&other, "q");
    for (int i = 0; i < COUNT; i++)
        publish(&other, "q", body);
    peer_flush(&other, SECONDS(5));
    assert_int_equal(look(&other, "q").messages, COUNT);
    deaf.raw.deaf = true;
    put_method(&deaf.out, 1, AMQP_BASIC_CONSUME, &(struct amqp_basic_consume){.queue = text("q")});
    peer_flush(&deaf, SECONDS(5));
    uint32_t left = look(&other, "q").messages;
    print_message("%u of %d messages are not on their way\n", left, COUNT);
    assert_true(left > COUNT / 3);
    deaf.raw.deaf = false; // all of it comes
    rig_raw_send(&deaf.raw, NULL, 0);
    rig_run(&rig, SECONDS(20));
    assert_int_equal(look(&other, "q").messages, 0);
    peer_close(&deaf);
    rig_run(&rig, SECONDS(2));
    assert_int_equal(look(&other, "q").messages, COUNT);
    peer_close(&other);
    rig_fini(&rig);
}

// Without memory for what it is to remember, a channel is given no more; with it, all the rest.
// Nor do many of them: what they were lent while there was nothing is taken back when it comes.
static void deaf_consumers_hold_little(void **state)
{
    (void)state;
    enum { CONSUMERS = 200, COUNT = 40000, SIZE = 1000 };
    struct rig rig;
    struct peer deaf, other;
    char body[SIZE + 1], tag[16];
    int64_t most = 0;
    memset(body, 'x', SIZE);
    body[SIZE] = '\0';
    rig_init(&rig);
    peer_open(&rig, &deaf, 1);
    peer_open(&rig, &other, 1);
    (void)declare_with(&deaf, &(struct amqp_queue_declare){.queue = text("q")});
    for (int i = 0; i < CONSUMERS; i++) {
        (void)snprintf(tag, sizeof tag, "c%d", i);
        consume(&deaf, "q", tag, false);
    }
    deaf.raw.deaf = true;
    for (int i = 0; i < COUNT; i++) {
        publish(&other, "q", body);
        if (i % 500 != 499)
            continue;
        peer_flush(&other, MILLIS(20));
        most = rig_request_bytes(&rig) > most ? rig_request_bytes(&rig) : most;
    }
    assert_true(most < 8 << 20);
    deaf.raw.deaf = false; // and all come when it listens
    io_watch(deaf.raw.sock, IO_READABLE);
    rig_run(&rig, SECONDS(20));
    peer_close(&deaf);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(look(&other, "q").messages, COUNT);
    peer_close(&other);
    rig_fini(&rig);
}

static void memory_for_deliveries_is_short(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    fill(&peer, "q", 1, 80);
    qos(&peer, 32, false); // as many as a channel's list holds before it grows
    consume(&peer, "q", "c", false);
    uint64_t tag = 0;
    assert_int_equal(deliveries_taken(&peer, &tag), 32);
    size_t taken[RIG_SHARDS];
    for (int i = 0; i < RIG_SHARDS; i++) {
        struct budget *budget = shard_request_budget(((struct amqp_door *)rig.doors[i])->shard);
        taken[i] = (size_t)(budget->limit_bytes - budget_used(budget));
        budget_force(budget, taken[i]);
    }
    qos(&peer, 64, false);
    assert_int_equal(deliveries_taken(&peer, &tag), 0);
    ack(&peer, 1, false); // makes room for one
    ack(&peer, 2, false);
    assert_int_equal(deliveries_taken(&peer, &tag), 2);
    for (int i = 0; i < RIG_SHARDS; i++)
        budget_give(shard_request_budget(((struct amqp_door *)rig.doors[i])->shard), taken[i]);
    assert_int_equal(deliveries_taken(&peer, &tag), 32);
    ack(&peer, tag, true);
    assert_int_equal(deliveries_taken(&peer, &tag), 14);
    peer_close(&peer);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prefetch_is_kept_and_changed_at_once),
        cmocka_unit_test(consumers_share_the_channels_limit),
        cmocka_unit_test(what_is_out_comes_again),
        cmocka_unit_test(tags_that_are_none),
        cmocka_unit_test(consumers_and_their_tags),
        cmocka_unit_test(deliveries_keep_within_their_consumer),
        cmocka_unit_test(queues_that_go_tell_their_consumers),
        cmocka_unit_test(auto_delete_queues_go_with_their_last_consumer),
        cmocka_unit_test(gets_come_behind_consumers),
        cmocka_unit_test(a_deaf_consumer_holds_little),
        cmocka_unit_test(deaf_consumers_hold_little),
        cmocka_unit_test(memory_for_deliveries_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
