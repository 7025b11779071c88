// SPDX-License-Identifier: Apache-2.0
// amqp091-go, dialled with the URL and nothing else: the checks of amqp_checks.py. This file is what
// they share, checks.go has one function a check.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var url, tag string
var conn *amqp.Connection
var ch *amqp.Channel

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("%#v, expected %#v", got, want))
	}
}

func until(condition func() bool) {
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			panic("not within 20 s")
		}
	}
}

func dial() *amqp.Connection {
	c, err := amqp.Dial(url)
	must(err)
	return c
}

func channel(c *amqp.Connection) *amqp.Channel {
	opened, err := c.Channel()
	must(err)
	return opened
}

func queue(part string, args amqp.Table) string {
	q, err := ch.QueueDeclare(tag+part, true, false, false, false, args)
	must(err)
	return q.Name
}

func publish(on *amqp.Channel, exchange, key, body string, p amqp.Publishing) {
	p.Body = []byte(body)
	must(on.PublishWithContext(context.Background(), exchange, key, false, false, p))
}

func send(q, body string, p amqp.Publishing) { publish(ch, "", q, body, p) }

func fill(q string, count int) {
	for i := 0; i < count; i++ {
		send(q, fmt.Sprintf("m%d", i), amqp.Publishing{})
	}
}

func count(q string) int {
	found, err := ch.QueueDeclarePassive(q, true, false, false, false, nil)
	must(err)
	return found.Messages
}

func soon(q string) (got amqp.Delivery) {
	until(func() bool {
		message, ok, err := ch.Get(q, false)
		must(err)
		got = message
		return ok
	})
	return got
}

func consume(on *amqp.Channel, q string) <-chan amqp.Delivery {
	in, err := on.Consume(q, "", false, false, false, false, nil)
	must(err)
	return in
}

func next(in <-chan amqp.Delivery) amqp.Delivery {
	select {
	case message, ok := <-in:
		if !ok {
			panic("the channel of deliveries was closed")
		}
		return message
	case <-time.After(20 * time.Second):
		panic("no delivery in 20 s")
	}
}

func nothing(in <-chan amqp.Delivery) {
	select {
	case message := <-in:
		panic("not expected: " + string(message.Body))
	case <-time.After(300 * time.Millisecond):
	}
}

func refused(c *amqp.Connection, code int, call func(*amqp.Channel) error) {
	on := channel(c)
	err := call(on)
	var closed *amqp.Error
	if !errors.As(err, &closed) || closed.Code != code {
		panic(fmt.Sprintf("%d expected: %v", code, err))
	}
}

func missing(c *amqp.Connection, q string) {
	refused(c, 404, func(on *amqp.Channel) error {
		_, err := on.QueueDeclarePassive(q, true, false, false, false, nil)
		return err
	})
}

func remove(queues ...string) {
	for _, q := range queues {
		_, err := ch.QueueDelete(q, false, false, false)
		must(err)
	}
}

func main() {
	url, tag = os.Args[1], os.Args[3]
	defer func() {
		if wrong := recover(); wrong != nil {
			fmt.Println(wrong)
			os.Exit(1)
		}
	}()
	conn = dial()
	ch = channel(conn)
	checks[os.Args[2]]()
	must(conn.Close())
}
