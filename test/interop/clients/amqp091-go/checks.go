// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var checks = map[string]func(){
	"confirms": confirms, "return": returns, "properties": properties, "empty": empty, "large": large, "prefetch": prefetch,
	"requeue": requeue, "multiple": multiple, "closed": closed, "deadletter": deadletter, "ttl": ttl, "priority": priority,
	"get": get, "exclusive": exclusive, "passive": passive, "cancelled": cancelled, "exchanges": exchanges,
	"lifetime": lifetime, "replyto": replyto,
}

func confirms() {
	q := queue("", nil)
	must(ch.Confirm(false))
	var waits []*amqp.DeferredConfirmation
	for i := 0; i < 500; i++ {
		wait, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", q, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprintf("m%d", i))})
		must(err)
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		same(wait.Wait(), true)
	}
	same(count(q), 500)
	in := consume(ch, q)
	for i := 0; i < 500; i++ {
		m := next(in)
		same([]any{string(m.Body), m.DeliveryMode, m.Redelivered}, []any{fmt.Sprintf("m%d", i), uint8(amqp.Persistent), false})
		must(m.Ack(false))
	}
	remove(q)
}

func returns() {
	order := make(chan string, 10)
	back, confirmed := ch.NotifyReturn(make(chan amqp.Return)), ch.NotifyPublish(make(chan amqp.Confirmation))
	go func() { // one reader of both: the client hands over one after the other
		for {
			select {
			case r := <-back:
				order <- fmt.Sprint(r.ReplyCode, " ", r.RoutingKey)
			case c := <-confirmed:
				order <- fmt.Sprint(c.DeliveryTag, " ", c.Ack)
			}
		}
	}()
	must(ch.Confirm(false))
	q := queue("", nil)
	for _, key := range []string{tag + "-nowhere", q} {
		must(ch.PublishWithContext(context.Background(), "", key, true, false, amqp.Publishing{Body: []byte("x")}))
	}
	same([]string{<-order, <-order, <-order}, []string{"312 " + tag + "-nowhere", "1 true", "2 true"})
	remove(q)
}

func properties() {
	q := queue("", nil)
	stamp := time.Date(2024, 2, 29, 12, 30, 45, 0, time.UTC)
	headers := amqp.Table{
		"true": true, "false": false, "int8": int8(-7), "int16": int16(-300), "int32": int32(-70000), "int64": int64(1) << 40,
		"half": 0.5, "float": float32(0.25), "text": "grün 中 \U0001f600", "blank": "", "none": nil, "bytes": []byte{0, 1, 255},
		"list": []any{"a", int32(1), nil, amqp.Table{"deep": []any{"er", true}}}, "table": amqp.Table{"x": int32(1), "y": amqp.Table{"z": "end"}},
		"time": stamp, "cents": amqp.Decimal{Scale: 2, Value: 12345},
	}
	p := amqp.Publishing{Headers: headers, ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 4,
		CorrelationId: "c-1", ReplyTo: "r-1", Expiration: "60000", MessageId: "m-1", Timestamp: stamp, Type: "kind", UserId: "guest", AppId: "interop"}
	send(q, "x", p)
	m := soon(q)
	got := m.Headers
	for name, want := range headers {
		if at, ok := got[name].(time.Time); ok {
			got[name] = at.UTC()
		}
		same(got[name], want)
	}
	same(len(got), len(headers))
	same([]any{m.ContentType, m.ContentEncoding, m.DeliveryMode, m.Priority, m.CorrelationId, m.ReplyTo, m.Expiration, m.MessageId, m.Timestamp.UTC(), m.Type, m.UserId, m.AppId},
		[]any{p.ContentType, p.ContentEncoding, p.DeliveryMode, p.Priority, p.CorrelationId, p.ReplyTo, p.Expiration, p.MessageId, stamp, p.Type, p.UserId, p.AppId})
	remove(q)
}

func empty() {
	q := queue("", nil)
	send(q, "", amqp.Publishing{})
	send(q, "x", amqp.Publishing{Headers: amqp.Table{}})
	send(q, "", amqp.Publishing{Headers: amqp.Table{"": "", "null": nil}})
	first, second, third := soon(q), soon(q), soon(q)
	same([]any{len(first.Body), len(first.Headers), first.MessageId}, []any{0, 0, ""})
	same([]any{string(second.Body), len(second.Headers)}, []any{"x", 0})
	same([]any{len(third.Body), third.Headers}, []any{0, amqp.Table{"": "", "null": nil}})
	remove(q)
}

func large() {
	q, body := queue("", nil), strings.Repeat("abcdefg", 430000)
	send(q, body, amqp.Publishing{DeliveryMode: 2})
	same(string(soon(q).Body) == body, true)
	remove(q)
}

func prefetch() {
	q := queue("", nil)
	fill(q, 20)
	must(ch.Qos(3, 0, false))
	in := consume(ch, q)
	first := next(in)
	next(in)
	next(in)
	nothing(in)
	must(first.Ack(false))
	same(string(next(in).Body), "m3")
	nothing(in)
	remove(q)
}

func requeue() {
	q := queue("", nil)
	fill(q, 3)
	first, second := soon(q), soon(q)
	must(first.Reject(true))
	must(second.Nack(false, true))
	for _, want := range []string{"m0 true", "m1 true", "m2 false"} {
		m := soon(q)
		same(fmt.Sprint(string(m.Body), " ", m.Redelivered), want)
	}
	remove(q)
}

func multiple() {
	q := queue("", nil)
	fill(q, 9)
	in := consume(ch, q)
	var got []amqp.Delivery
	for len(got) < 9 {
		got = append(got, next(in))
	}
	must(got[2].Ack(true))
	must(got[5].Nack(true, false))
	must(got[8].Nack(true, true))
	for _, want := range []string{"m6", "m7", "m8"} {
		same(string(next(in).Body), want)
	}
	nothing(in)
	remove(q)
}

func closed() {
	q := queue("", nil)
	fill(q, 4)
	other := channel(conn)
	in := consume(other, q)
	must(next(in).Ack(false))
	for i := 0; i < 3; i++ {
		next(in)
	}
	must(other.Close())
	dropped := dial()
	in = consume(channel(dropped), q)
	must(next(in).Ack(false))
	next(in)
	next(in)
	must(dropped.Close())
	in = consume(ch, q)
	for _, want := range []string{"m2 true", "m3 true"} {
		m := next(in)
		same(fmt.Sprint(string(m.Body), " ", m.Redelivered), want)
	}
	remove(q)
}

func dead(args amqp.Table) (string, string) {
	must(ch.ExchangeDeclare(tag+"-dlx", "direct", false, false, false, false, nil))
	letters := queue("-dead", nil)
	must(ch.QueueBind(letters, "gone", tag+"-dlx", false, nil))
	args["x-dead-letter-exchange"], args["x-dead-letter-routing-key"] = tag+"-dlx", "gone"
	return queue("", args), letters
}

func bury(queues ...string) {
	remove(queues...)
	must(ch.ExchangeDelete(tag+"-dlx", false, false))
}

func death(m amqp.Delivery) amqp.Table { return m.Headers["x-death"].([]any)[0].(amqp.Table) }

func deadletter() {
	q, letters := dead(amqp.Table{})
	send(q, "x", amqp.Publishing{Headers: amqp.Table{"mine": int32(1)}, MessageId: "m-1"})
	must(soon(q).Reject(false))
	m := soon(letters)
	same([]any{string(m.Body), m.RoutingKey, m.Exchange, m.MessageId, m.Headers["mine"]}, []any{"x", "gone", tag + "-dlx", "m-1", int32(1)})
	d := death(m)
	same([]any{d["queue"], d["reason"], d["count"], d["exchange"], d["routing-keys"]}, []any{q, "rejected", int64(1), "", []any{q}})
	_ = d["time"].(time.Time)
	same(m.Headers["x-first-death-reason"], "rejected")
	bury(q, letters)
}

func ttl() {
	q, letters := dead(amqp.Table{"x-message-ttl": int32(3000)})
	begin := time.Now()
	send(q, "own", amqp.Publishing{Expiration: "300"})
	send(q, "queue's", amqp.Publishing{})
	m := soon(letters)
	same([]any{string(m.Body), time.Since(begin) < 2500*time.Millisecond, m.Expiration}, []any{"own", true, ""})
	same([]any{death(m)["reason"], death(m)["original-expiration"]}, []any{"expired", "300"})
	same([]any{string(soon(letters).Body), time.Since(begin) > 2500*time.Millisecond}, []any{"queue's", true})
	bury(q, letters)
}

func priority() {
	q := queue("", amqp.Table{"x-max-priority": int32(9)})
	for _, level := range []uint8{1, 5, 9, 3, 7, 5} {
		send(q, fmt.Sprint(level), amqp.Publishing{Priority: level})
	}
	send(q, "none", amqp.Publishing{})
	send(q, "top", amqp.Publishing{Priority: 200})
	until(func() bool { return count(q) == 8 })
	for _, want := range []string{"9", "top", "7", "5", "5", "3", "1", "none"} {
		same(string(soon(q).Body), want)
	}
	remove(q)
}

func get() {
	q := queue("", nil)
	_, ok, err := ch.Get(q, false)
	same([]any{ok, err}, []any{false, nil})
	fill(q, 5)
	until(func() bool { return count(q) == 5 })
	m := soon(q)
	same([]any{string(m.Body), m.RoutingKey, m.MessageCount}, []any{"m0", q, uint32(4)})
	must(m.Ack(false))
	purged, err := ch.QueuePurge(q, false)
	must(err)
	same(purged, 4)
	remove(q)
}

func exclusive() {
	q, err := ch.QueueDeclare(tag, false, false, true, false, nil)
	must(err)
	other := dial()
	refused(other, 405, func(on *amqp.Channel) error {
		_, err := on.QueueDeclarePassive(q.Name, false, false, true, false, nil)
		return err
	})
	listen := func(q string) func(on *amqp.Channel) error {
		return func(on *amqp.Channel) error {
			_, err := on.Consume(q, "", false, false, false, false, nil)
			return err
		}
	}
	refused(other, 405, listen(q.Name))
	shared := queue("-shared", nil)
	_, err = ch.Consume(shared, "", false, true, false, false, nil)
	must(err)
	refused(other, 403, listen(shared))
	must(conn.Close())
	conn, ch = other, channel(other)
	missing(conn, q.Name)
	remove(shared)
}

func passive() {
	five := amqp.Table{"x-max-priority": int32(5)}
	q, x := queue("", five), tag+"-x"
	must(ch.ExchangeDeclare(x, "direct", false, false, false, false, nil))
	missing(conn, tag+"-none")
	refused(conn, 404, func(on *amqp.Channel) error {
		return on.ExchangeDeclarePassive(tag+"-none", "direct", false, false, false, false, nil)
	})
	refused(conn, 404, func(on *amqp.Channel) error { _, _, err := on.Get(tag+"-none", false); return err })
	refused(conn, 404, func(on *amqp.Channel) error { return on.QueueBind(q, "key", tag+"-none", false, nil) })
	declare := func(name string, durable bool, args amqp.Table) func(*amqp.Channel) error {
		return func(on *amqp.Channel) error {
			_, err := on.QueueDeclare(name, durable, false, false, false, args)
			return err
		}
	}
	refused(conn, 406, declare(q, true, nil))
	refused(conn, 406, declare(q, false, five))
	refused(conn, 403, declare("amq.mine", true, nil))
	refused(conn, 406, func(on *amqp.Channel) error { return on.ExchangeDeclare(x, "topic", false, false, false, false, nil) })
	queue("", five)
	must(ch.ExchangeDeclare(x, "direct", false, false, false, false, nil))
	remove(q)
	must(ch.ExchangeDelete(x, false, false))
}

func cancelled() {
	q := queue("", nil)
	told := ch.NotifyCancel(make(chan string, 1))
	_, err := ch.Consume(q, "c-tag", false, false, false, false, nil)
	must(err)
	_, err = channel(conn).QueueDelete(q, false, false, false)
	must(err)
	select {
	case consumer := <-told:
		same(consumer, "c-tag")
	case <-time.After(20 * time.Second):
		panic("no cancel in 20 s")
	}
}

func exchanges() {
	queues := map[string]string{"a": queue("-a", nil), "b": queue("-b", nil), "c": queue("-c", nil)}
	kinds := []string{"direct", "fanout", "topic", "headers"}
	for _, kind := range kinds {
		must(ch.ExchangeDeclare(tag+"-"+kind, kind, false, false, false, false, nil))
	}
	bind := func(q, kind, key string, args amqp.Table) {
		must(ch.QueueBind(queues[q], key, tag+"-"+kind, false, args))
	}
	bind("a", "direct", "k", nil)
	bind("b", "direct", "k", nil)
	bind("b", "direct", "l", nil)
	bind("a", "fanout", "", nil)
	bind("c", "fanout", "ignored", nil)
	bind("a", "topic", "one.*", nil)
	bind("b", "topic", "#.end", nil)
	bind("c", "topic", "#", nil)
	bind("a", "headers", "", amqp.Table{"x-match": "all", "p": int32(1), "q": "two"})
	bind("b", "headers", "", amqp.Table{"x-match": "any", "p": int32(1), "q": "other"})
	reaches := func(kind, key, want string, headers amqp.Table) {
		publish(ch, tag+"-"+kind, key, "x", amqp.Publishing{Headers: headers})
		got := ""
		until(func() bool {
			got = ""
			for _, part := range []string{"a", "b", "c"} {
				if count(queues[part]) > 0 {
					got += part
				}
			}
			return len(got) >= len(want)
		})
		same([]string{kind, key, got}, []string{kind, key, want})
		for _, q := range queues {
			_, err := ch.QueuePurge(q, false)
			must(err)
		}
	}
	reaches("direct", "k", "ab", nil)
	reaches("direct", "l", "b", nil)
	reaches("fanout", "any", "ac", nil)
	reaches("topic", "one.end", "abc", nil)
	reaches("topic", "end", "bc", nil)
	reaches("topic", "one.two.three", "c", nil)
	reaches("headers", "", "ab", amqp.Table{"p": int32(1), "q": "two"})
	reaches("headers", "", "b", amqp.Table{"p": int32(1)})
	must(ch.ExchangeBind(tag+"-fanout", "k", tag+"-direct", false, nil))
	reaches("direct", "k", "abc", nil)
	must(ch.ExchangeUnbind(tag+"-fanout", "k", tag+"-direct", false, nil))
	must(ch.QueueUnbind(queues["a"], "k", tag+"-direct", nil))
	reaches("direct", "k", "b", nil)
	remove(queues["a"], queues["b"], queues["c"])
	for _, kind := range kinds {
		must(ch.ExchangeDelete(tag+"-"+kind, false, false))
	}
}

func lifetime() {
	made, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(err)
	same(strings.HasPrefix(made.Name, "amq.gen-"), true)
	send(made.Name, "x", amqp.Publishing{})
	soon(made.Name)
	own, err := ch.QueueDeclare(tag+"-auto", false, true, false, false, nil)
	must(err)
	_, err = ch.Consume(own.Name, "auto", false, false, false, false, nil)
	must(err)
	must(ch.Cancel("auto", false))
	missing(conn, own.Name)
	kept := queue("-kept", nil)
	_, err = ch.Consume(kept, "kept", false, false, false, false, nil)
	must(err)
	refused(conn, 406, func(on *amqp.Channel) error { _, err := on.QueueDelete(kept, true, false, false); return err })
	must(ch.Cancel("kept", false))
	send(kept, "x", amqp.Publishing{})
	until(func() bool { return count(kept) == 1 })
	refused(conn, 406, func(on *amqp.Channel) error { _, err := on.QueueDelete(kept, false, true, false); return err })
	remove(kept)
	short := queue("-short", amqp.Table{"x-expires": int32(500)})
	time.Sleep(2 * time.Second)
	missing(conn, short)
}

func replyto() {
	q := queue("", nil)
	answers, err := ch.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	must(err)
	send(q, "ask", amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "c-1"})
	server := dial()
	on := channel(server)
	asked := next(consume(on, q))
	same(strings.HasPrefix(asked.ReplyTo, "amq.rabbitmq.reply-to."), true)
	publish(on, "", asked.ReplyTo, "answer", amqp.Publishing{CorrelationId: asked.CorrelationId})
	must(asked.Ack(false))
	answer := next(answers)
	same([]string{string(answer.Body), answer.CorrelationId}, []string{"answer", "c-1"})
	must(server.Close())
	remove(q)
}
