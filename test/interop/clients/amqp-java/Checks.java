// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;

final class Checks extends Check {
    Checks(String url, String tag) throws Exception {
        super(url, tag);
    }

    void confirms() throws Exception {
        String queue = queue("");
        channel.confirmSelect();
        for (int i = 0; i < 500; i++) {
            send(queue, "m" + i, MessageProperties.PERSISTENT_BASIC);
        }
        channel.waitForConfirmsOrDie(20_000);
        same(channel.messageCount(queue), 500L);
        Inbox inbox = consume(channel, queue);
        inbox.await(500);
        for (int i = 0; i < 500; i++) {
            Message m = inbox.messages.get(i);
            same(m + " " + m.properties().getDeliveryMode(), "m" + i + " false 2");
            channel.basicAck(m.tag(), false);
        }
        remove(queue);
    }

    void returns() throws Exception {
        List<String> order = Collections.synchronizedList(new ArrayList<>());
        channel.addReturnListener(back -> order.add(back.getReplyCode() + " " + back.getRoutingKey()));
        channel.addConfirmListener((number, many) -> order.add("ack " + number), (number, many) -> order.add("nack " + number));
        channel.confirmSelect();
        String queue = queue("");
        for (String key : List.of(tag + "-nowhere", queue)) {
            channel.basicPublish("", key, true, null, new byte[1]);
            channel.waitForConfirmsOrDie(20_000);
        }
        same(order, List.of("312 " + tag + "-nowhere", "ack 1", "ack 2"));
        remove(queue);
    }

    // Strings arrive as LongString, everywhere in a table.
    static Object plain(Object value) {
        if (value instanceof LongString) {
            return value.toString();
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> made = table();
            map.forEach((key, part) -> made.put((String) key, plain(part)));
            return made;
        }
        return value instanceof List<?> list ? new ArrayList<>(list.stream().map(Checks::plain).toList()) : value;
    }

    void properties() throws Exception {
        String queue = queue("");
        Date stamp = new Date(1709209845000L);
        Map<String, Object> headers = table("true", true, "false", false, "byte", (byte) -7, "short", (short) -300, "int", -70000, "long", 1L << 40,
                "half", 0.5, "float", 0.25f, "text", "grün 中 \uD83D\uDE00", "blank", "", "none", null, "bytes", new byte[] {0, 1, -1},
                "table", table("x", 1, "y", table("z", "end")), "time", stamp, "cents", new BigDecimal("123.45"), "no_table", table());
        List<Object> list = new ArrayList<>(List.of("a", 1, table("deep", new ArrayList<>(List.of("er", true)))));
        list.add(null);
        headers.put("list", list);
        BasicProperties sent = new BasicProperties("text/plain", "utf-8", headers, 2, 4, "c-1", "r-1", "60000", "m-1", stamp, "kind", "guest", "interop", null);
        send(queue, "x", sent);
        BasicProperties got = soon(queue).properties();
        for (String name : headers.keySet()) {
            same(plain(got.getHeaders().get(name)), headers.get(name));
        }
        same(got.getHeaders().keySet(), headers.keySet());
        same(got.builder().headers(null).build().toString(), sent.builder().headers(null).build().toString());
        remove(queue);
    }

    void empty() throws Exception {
        String queue = queue("");
        send(queue, "");
        send(queue, "x", with().correlationId("").headers(table()).build());
        send(queue, "", with().headers(table("", "", "null", null)).build());
        Message first = soon(queue);
        Message second = soon(queue);
        Message third = soon(queue);
        same(first.body() + first.properties().getHeaders() + first.properties().getMessageId(), "nullnull");
        same(second.body() + second.properties().getCorrelationId() + second.properties().getHeaders(), "x{}");
        same(third.body() + plain(third.properties().getHeaders()), table("", "", "null", null).toString());
        remove(queue);
    }

    void large() throws Exception {
        String queue = queue("");
        String body = "abcdefg".repeat(430000);
        send(queue, body, MessageProperties.PERSISTENT_BASIC);
        same(soon(queue).body().equals(body), true);
        remove(queue);
    }

    void prefetch() throws Exception {
        String queue = queue("");
        fill(queue, 20);
        channel.basicQos(3);
        Inbox inbox = consume(channel, queue);
        inbox.await(3);
        Thread.sleep(300);
        same(inbox.bodies(), "m0 m1 m2");
        channel.basicAck(inbox.messages.get(0).tag(), false);
        inbox.await(4);
        Thread.sleep(300);
        same(inbox.bodies(), "m0 m1 m2 m3");
        remove(queue);
    }

    void requeue() throws Exception {
        String queue = queue("");
        fill(queue, 3);
        Message first = soon(queue);
        Message second = soon(queue);
        channel.basicReject(first.tag(), true);
        channel.basicNack(second.tag(), false, true);
        for (String want : List.of("m0 true", "m1 true", "m2 false")) {
            same(soon(queue).toString(), want);
        }
        remove(queue);
    }

    void multiple() throws Exception {
        String queue = queue("");
        fill(queue, 9);
        Inbox inbox = consume(channel, queue);
        inbox.await(9);
        channel.basicAck(inbox.messages.get(2).tag(), true);
        channel.basicNack(inbox.messages.get(5).tag(), true, false);
        channel.basicNack(inbox.messages.get(8).tag(), true, true);
        inbox.await(12);
        same(inbox.bodies(), "m0 m1 m2 m3 m4 m5 m6 m7 m8 m6 m7 m8");
        remove(queue);
    }

    void closed() throws Exception {
        String queue = queue("");
        fill(queue, 4);
        Channel other = connection.createChannel();
        Inbox first = consume(other, queue);
        first.await(4);
        other.basicAck(first.messages.get(0).tag(), false);
        other.close();
        Connection killed = factory.newConnection();
        Channel third = killed.createChannel();
        Inbox second = consume(third, queue);
        second.await(3);
        third.basicAck(second.messages.get(0).tag(), false);
        Thread.sleep(300);
        killed.abort(0);
        Inbox inbox = consume(channel, queue);
        inbox.await(2);
        same(inbox.messages.toString(), "[m2 true, m3 true]");
        remove(queue);
    }

    private String[] dead(Object... arguments) throws Exception {
        channel.exchangeDeclare(tag + "-dlx", "direct");
        String letters = queue("-dead");
        channel.queueBind(letters, tag + "-dlx", "gone");
        List<Object> all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of("x-dead-letter-exchange", tag + "-dlx", "x-dead-letter-routing-key", "gone"));
        return new String[] {queue("", all.toArray()), letters};
    }

    private void bury(String... queues) throws Exception {
        remove(queues);
        channel.exchangeDelete(tag + "-dlx");
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> death(Message message) {
        return (Map<String, Object>) ((List<Object>) plain(message.properties().getHeaders().get("x-death"))).get(0);
    }

    void deadletter() throws Exception {
        String[] queues = dead();
        send(queues[0], "x", with().messageId("m-1").headers(table("mine", 1)).build());
        channel.basicReject(soon(queues[0]).tag(), false);
        Message got = soon(queues[1]);
        same(got + " " + got.envelope().getRoutingKey() + " " + got.envelope().getExchange(), "x false gone " + tag + "-dlx");
        same(got.properties().getMessageId() + got.properties().getHeaders().get("mine"), "m-11");
        Map<String, Object> death = death(got);
        same(death.remove("time").getClass(), Date.class);
        same(death, table("queue", queues[0], "reason", "rejected", "count", 1L, "exchange", "", "routing-keys", List.of(queues[0])));
        same(got.properties().getHeaders().get("x-first-death-reason").toString(), "rejected");
        bury(queues);
    }

    void ttl() throws Exception {
        String[] queues = dead("x-message-ttl", 3000);
        long begin = System.currentTimeMillis();
        send(queues[0], "own", with().expiration("300").build());
        send(queues[0], "queue's");
        Message own = soon(queues[1]);
        same(own.body() + own.properties().getExpiration() + (System.currentTimeMillis() - begin < 2500), "ownnulltrue");
        same(death(own).get("reason") + " " + death(own).get("original-expiration"), "expired 300");
        same(soon(queues[1]).body() + (System.currentTimeMillis() - begin > 2500), "queue'strue");
        bury(queues);
    }

    void priority() throws Exception {
        String queue = queue("", "x-max-priority", 9);
        for (int level : new int[] {1, 5, 9, 3, 7, 5}) {
            send(queue, "" + level, with().priority(level).build());
        }
        send(queue, "none");
        send(queue, "top", with().priority(200).build());
        until(() -> channel.messageCount(queue) == 8);
        for (String want : "9 top 7 5 5 3 1 none".split(" ")) {
            same(soon(queue).body(), want);
        }
        remove(queue);
    }

    void get() throws Exception {
        String queue = queue("");
        same(get(queue), null);
        fill(queue, 5);
        until(() -> channel.messageCount(queue) == 5);
        Message got = get(queue);
        same(got + " " + got.envelope().getRoutingKey(), "m0 false " + queue);
        channel.basicAck(got.tag(), false);
        same(channel.queuePurge(queue).getMessageCount(), 4);
        same(get(queue), null);
        remove(queue);
    }

    void exclusive() throws Exception {
        String queue = channel.queueDeclare(tag, false, true, false, null).getQueue();
        Connection other = factory.newConnection();
        refused(other, 405, on -> on.queueDeclarePassive(queue));
        refused(other, 405, on -> consume(on, queue));
        String shared = queue("-shared");
        channel.basicConsume(shared, false, "", false, true, null, new Inbox(channel));
        refused(other, 403, on -> consume(on, shared));
        connection.close();
        connection = other;
        channel = other.createChannel();
        refused(404, on -> on.queueDeclarePassive(queue));
        remove(shared);
    }

    void passive() throws Exception {
        String queue = queue("", "x-max-priority", 5);
        String exchange = tag + "-x";
        channel.exchangeDeclare(exchange, "direct");
        refused(404, on -> on.queueDeclarePassive(tag + "-none"));
        refused(404, on -> on.exchangeDeclarePassive(tag + "-none"));
        refused(404, on -> on.basicGet(tag + "-none", false));
        refused(404, on -> on.queueBind(queue, tag + "-none", "key"));
        refused(406, on -> on.queueDeclare(queue, true, false, false, null));
        refused(406, on -> on.queueDeclare(queue, false, false, false, table("x-max-priority", 5)));
        refused(406, on -> on.exchangeDeclare(exchange, "topic"));
        refused(403, on -> on.queueDeclare("amq.mine", true, false, false, null));
        queue("", "x-max-priority", 5);
        channel.exchangeDeclare(exchange, "direct");
        remove(queue);
        channel.exchangeDelete(exchange);
    }

    void cancelled() throws Exception {
        String queue = queue("");
        Inbox inbox = consume(channel, queue);
        connection.createChannel().queueDelete(queue);
        until(() -> !inbox.cancels.isEmpty());
        same(inbox.cancels, List.of(inbox.tag));
    }

    private void reaches(String kind, String key, String want, BasicProperties properties) throws Exception {
        channel.basicPublish(tag + "-" + kind, key, properties, new byte[1]);
        StringBuilder got = new StringBuilder();
        until(() -> {
            got.setLength(0);
            for (String part : List.of("a", "b", "c")) {
                got.append(channel.messageCount(tag + "-" + part) > 0 ? part : "");
            }
            return got.length() >= want.length();
        });
        same(kind + " " + key + " " + got, kind + " " + key + " " + want);
        for (String part : List.of("a", "b", "c")) {
            channel.queuePurge(tag + "-" + part);
        }
    }

    void exchanges() throws Exception {
        String a = queue("-a");
        String b = queue("-b");
        String c = queue("-c");
        List<String> kinds = List.of("direct", "fanout", "topic", "headers");
        for (String kind : kinds) {
            channel.exchangeDeclare(tag + "-" + kind, kind);
        }
        channel.queueBind(a, tag + "-direct", "k");
        channel.queueBind(b, tag + "-direct", "k");
        channel.queueBind(b, tag + "-direct", "l");
        channel.queueBind(a, tag + "-fanout", "");
        channel.queueBind(c, tag + "-fanout", "ignored");
        channel.queueBind(a, tag + "-topic", "one.*");
        channel.queueBind(b, tag + "-topic", "#.end");
        channel.queueBind(c, tag + "-topic", "#");
        channel.queueBind(a, tag + "-headers", "", table("x-match", "all", "p", 1, "q", "two"));
        channel.queueBind(b, tag + "-headers", "", table("x-match", "any", "p", 1, "q", "other"));
        reaches("direct", "k", "ab", null);
        reaches("direct", "l", "b", null);
        reaches("fanout", "any", "ac", null);
        reaches("topic", "one.end", "abc", null);
        reaches("topic", "end", "bc", null);
        reaches("topic", "one.two.three", "c", null);
        reaches("headers", "", "ab", with().headers(table("p", 1, "q", "two")).build());
        reaches("headers", "", "b", with().headers(table("p", 1)).build());
        channel.exchangeBind(tag + "-fanout", tag + "-direct", "k");
        reaches("direct", "k", "abc", null);
        channel.exchangeUnbind(tag + "-fanout", tag + "-direct", "k");
        channel.queueUnbind(a, tag + "-direct", "k");
        reaches("direct", "k", "b", null);
        remove(a, b, c);
        for (String kind : kinds) {
            channel.exchangeDelete(tag + "-" + kind);
        }
    }

    void lifetime() throws Exception {
        String made = channel.queueDeclare().getQueue();
        same(made.startsWith("amq.gen-"), true);
        send(made, "x");
        soon(made);
        String own = channel.queueDeclare(tag + "-auto", false, false, true, null).getQueue();
        channel.basicCancel(consume(channel, own).tag);
        refused(404, on -> on.queueDeclarePassive(own));
        String kept = queue("-kept");
        String consumer = consume(channel, kept).tag;
        refused(406, on -> on.queueDelete(kept, true, false));
        channel.basicCancel(consumer);
        send(kept, "x");
        until(() -> channel.messageCount(kept) == 1);
        refused(406, on -> on.queueDelete(kept, false, true));
        remove(kept);
        String brief = queue("-short", "x-expires", 500);
        Thread.sleep(2000);
        refused(404, on -> on.queueDeclarePassive(brief));
    }

    void replyto() throws Exception {
        String queue = queue("");
        Inbox answers = new Inbox(channel);
        channel.basicConsume("amq.rabbitmq.reply-to", true, answers);
        send(queue, "ask", with().replyTo("amq.rabbitmq.reply-to").correlationId("c-1").build());
        Connection server = factory.newConnection();
        Channel on = server.createChannel();
        Inbox inbox = consume(on, queue);
        inbox.await(1);
        Message asked = inbox.messages.get(0);
        String back = asked.properties().getReplyTo();
        same(back.startsWith("amq.rabbitmq.reply-to."), true);
        on.basicPublish("", back, with().correlationId(asked.properties().getCorrelationId()).build(), "answer".getBytes());
        on.basicAck(asked.tag(), false);
        answers.await(1);
        same(answers.bodies() + answers.messages.get(0).properties().getCorrelationId(), "answerc-1");
        server.close();
        remove(queue);
    }
}
