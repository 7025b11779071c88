// SPDX-License-Identifier: Apache-2.0
// RabbitMQ's Java client, a ConnectionFactory with the URL and nothing else: the checks of
// amqp_checks.py. This file is what they share, Checks.java has one method a check.

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;

abstract class Check {
    interface Condition {
        boolean holds() throws Exception;
    }

    interface Call {
        void run(Channel channel) throws Exception;
    }

    record Message(String body, Envelope envelope, BasicProperties properties) {
        long tag() {
            return envelope.getDeliveryTag();
        }

        @Override
        public String toString() {
            return body + " " + envelope.isRedeliver();
        }
    }

    static final class Inbox extends DefaultConsumer {
        final List<Message> messages = new CopyOnWriteArrayList<>();
        final List<String> cancels = new CopyOnWriteArrayList<>();
        String tag; // the client tells a consumer its own on another thread, and may be late

        Inbox(Channel channel) {
            super(channel);
        }

        @Override
        public void handleDelivery(String tag, Envelope envelope, BasicProperties properties, byte[] body) {
            messages.add(new Message(new String(body), envelope, properties));
        }

        @Override
        public void handleCancel(String tag) {
            cancels.add(tag);
        }

        String bodies() {
            StringBuilder all = new StringBuilder();
            messages.forEach(m -> all.append(m.body()).append(' '));
            return all.toString().trim();
        }

        void await(int count) throws Exception {
            until(() -> messages.size() >= count);
        }
    }

    final String tag;
    final ConnectionFactory factory = new ConnectionFactory();
    Connection connection;
    Channel channel;

    Check(String url, String tag) throws Exception {
        this.tag = tag;
        factory.setUri(url.replaceAll("/$", "")); // this client takes a bare slash for a virtual host without a name
        connection = factory.newConnection();
        channel = connection.createChannel();
    }

    static void same(Object got, Object want) {
        if (!Objects.deepEquals(got, want)) {
            throw new AssertionError("got " + got + ", expected " + want);
        }
    }

    static void until(Condition condition) throws Exception {
        for (long end = System.currentTimeMillis() + 20_000; !condition.holds(); Thread.sleep(20)) {
            if (System.currentTimeMillis() > end) {
                throw new AssertionError("not within 20 s");
            }
        }
    }

    static Map<String, Object> table(Object... pairs) {
        Map<String, Object> made = new HashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            made.put((String) pairs[i], pairs[i + 1]);
        }
        return made;
    }

    String queue(String part, Object... arguments) throws IOException {
        return channel.queueDeclare(tag + part, true, false, false, table(arguments)).getQueue();
    }

    void send(String queue, String body) throws IOException {
        send(queue, body, null);
    }

    void send(String queue, String body, BasicProperties properties) throws IOException {
        channel.basicPublish("", queue, properties, body.getBytes());
    }

    void fill(String queue, int count) throws IOException {
        for (int i = 0; i < count; i++) {
            send(queue, "m" + i);
        }
    }

    static BasicProperties.Builder with() {
        return new BasicProperties.Builder();
    }

    Message get(String queue) throws IOException {
        GetResponse got = channel.basicGet(queue, false);
        return got == null ? null : new Message(new String(got.getBody()), got.getEnvelope(), got.getProps());
    }

    Message soon(String queue) throws Exception {
        Message[] got = new Message[1];
        until(() -> (got[0] = get(queue)) != null);
        return got[0];
    }

    Inbox consume(Channel on, String queue) throws IOException {
        Inbox inbox = new Inbox(on);
        inbox.tag = on.basicConsume(queue, false, inbox);
        return inbox;
    }

    void remove(String... queues) throws IOException {
        for (String queue : queues) {
            channel.queueDelete(queue);
        }
    }

    void refused(int code, Call call) throws Exception {
        refused(connection, code, call);
    }

    static void refused(Connection on, int code, Call call) throws Exception {
        try {
            call.run(on.createChannel());
        } catch (IOException | AlreadyClosedException e) {
            Throwable reason = e instanceof AlreadyClosedException ? e : e.getCause();
            Object method = ((ShutdownSignalException) reason).getReason();
            same(((com.rabbitmq.client.AMQP.Channel.Close) method).getReplyCode(), code);
            return;
        }
        throw new AssertionError("not refused: " + code + " expected");
    }

    public static void main(String[] words) {
        try {
            Checks checks = new Checks(words[0], words[2]);
            Checks.class.getDeclaredMethod(words[1].equals("return") ? "returns" : words[1]).invoke(checks);
            checks.connection.close();
        } catch (Throwable e) {
            Throwable cause = e instanceof java.lang.reflect.InvocationTargetException ? e.getCause() : e;
            cause.printStackTrace();
            System.err.flush();
            System.out.println(cause);
            System.exit(1);
        }
        System.exit(0);
    }
}
