// SPDX-License-Identifier: Apache-2.0

// franz-go: clients are made with the seed broker, the topic and group, where a new group starts, a codec, and nothing
// else; its defaults are an idempotent producer, snappy before none, and the cooperative-sticky balancer.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var baseMs = time.Now().UnixMilli() - 60000

func die(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		die("%v", err)
	}
}

func newClient(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(os.Args[1]))...)
	must(err)
	return cl
}

func reader(topic, group string) *kgo.Client {
	return newClient(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

func records(topic string) []*kgo.Record {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	rows := []*kgo.Record{
		{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "h1", Value: []byte("a")}, {Key: "none"}, {Key: "h1", Value: []byte("b")}, {Key: "empty", Value: []byte{}}}},
		{Value: []byte("null key")},
		{Key: []byte("tombstone")},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("binary"), Value: all},
	}
	rng := rand.New(rand.NewSource(1))
	for i := 0; i < 3; i++ {
		big := make([]byte, 990000)
		rng.Read(big)
		rows = append(rows, &kgo.Record{Key: []byte("big"), Value: big})
	}
	for i := 0; i < 100; i++ {
		rows = append(rows, &kgo.Record{Key: []byte("small"), Value: bytes.Repeat([]byte("w"), 1024)})
	}
	for i, r := range rows {
		r.Topic, r.Timestamp = topic, time.UnixMilli(baseMs+int64(i))
	}
	return rows
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func compare(i int, got, want *kgo.Record) {
	switch {
	case got.Offset != int64(i):
		die("offset %d, %d expected", got.Offset, i)
	case !same(got.Key, want.Key):
		die("record %d: key %q, %q expected", i, got.Key, want.Key)
	case !same(got.Value, want.Value):
		die("record %d: value of %d bytes differs (%d expected)", i, len(got.Value), len(want.Value))
	case !got.Timestamp.Equal(want.Timestamp):
		die("record %d: timestamp %v, %v expected", i, got.Timestamp, want.Timestamp)
	case len(got.Headers) != len(want.Headers):
		die("record %d: %d headers", i, len(got.Headers))
	}
	for j, h := range want.Headers {
		if got.Headers[j].Key != h.Key || !same(got.Headers[j].Value, h.Value) {
			die("record %d: header %d differs", i, j)
		}
	}
}

func send(cl *kgo.Client, rows []*kgo.Record) { must(cl.ProduceSync(context.Background(), rows...).FirstErr()) }

func roundtrip(topic, codec string) {
	create(topic, 1)
	opts := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	var cl *kgo.Client
	if codec == "default" {
		cl = newClient()
	} else {
		cl = newClient(kgo.ProducerBatchCompression(opts[codec]))
	}
	want := records(topic)
	send(cl, records(topic))
	cl.Close()
	in := reader(topic, topic)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := 0; i < len(want); {
		fetches := in.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			die("%d records, then %v", i, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { compare(i, r, want[i]); i++ })
	}
	must(in.CommitUncommittedOffsets(ctx))
	in.Close()
}

func produce(topic string, from, to int) {
	cl := newClient()
	for i := from; i < to; i++ {
		text := []byte("r" + strconv.Itoa(i))
		cl.Produce(context.Background(), &kgo.Record{Topic: topic, Key: text, Value: text}, func(_ *kgo.Record, err error) { must(err) })
		if i%10 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	must(cl.Flush(context.Background()))
	cl.Close()
}

func member(topic, group string) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	cl := reader(topic, group)
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) { fmt.Fprintln(os.Stderr, err) })
		fetches.EachRecord(func(r *kgo.Record) { fmt.Printf("%s\n", r.Value) })
	}
	cl.Close()
}

func awaitPartitions(adm *kadm.Client, topic string, want int) {
	seen := -1
	// The admin package answers from what the client knows for up to 5 s (MetadataMinAge): wait well past that.
	for i := 0; i < 150; i++ {
		topics, err := adm.ListTopics(context.Background())
		must(err)
		if seen = len(topics[topic].Partitions); seen == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	die("%s has %d partitions, %d expected", topic, seen, want)
}

func create(topic string, partitions int32) {
	adm := kadm.NewClient(newClient())
	_, err := adm.CreateTopic(context.Background(), partitions, -1, nil, topic)
	must(err)
	awaitPartitions(adm, topic, int(partitions))
	adm.Close()
}

func retentionOf(adm *kadm.Client, topic string) string {
	found, err := adm.DescribeTopicConfigs(context.Background(), topic)
	must(err)
	for _, c := range found[0].Configs {
		if c.Key == "retention.ms" {
			return c.MaybeValue()
		}
	}
	return "absent"
}

func admin(topic string) {
	ctx, cl := context.Background(), newClient()
	adm := kadm.NewClient(cl)
	_, err := adm.CreateTopic(ctx, 2, -1, map[string]*string{"retention.ms": kadm.StringPtr("86400123")}, topic)
	must(err)
	if _, err = adm.CreateTopic(ctx, 2, -1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		die("a second topic of that name: %v", err)
	}
	awaitPartitions(adm, topic, 2)
	if v := retentionOf(adm, topic); v != "86400123" {
		die("retention.ms is %s", v)
	}
	_, err = adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("86400456")}}, topic)
	must(err)
	for i := 0; retentionOf(adm, topic) != "86400456"; i++ {
		if i == 50 {
			die("retention.ms was not altered")
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, err = adm.UpdatePartitions(ctx, 5, topic)
	must(err)
	awaitPartitions(adm, topic, 5)
	manual := newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send(manual, records(topic)[:5])
	adminOffsets(ctx, adm, topic)
	md, err := adm.BrokerMetadata(ctx)
	must(err)
	if len(md.Brokers) != 1 {
		die("%d brokers", len(md.Brokers))
	}
	_, err = adm.DescribeAllLogDirs(ctx, nil)
	must(err)
	_, err = adm.DeleteTopics(ctx, topic)
	must(err)
	awaitPartitions(adm, topic, 0)
}

func adminOffsets(ctx context.Context, adm *kadm.Client, topic string) {
	cut := kadm.Offsets{}
	cut.AddOffset(topic, 0, 3, -1)
	_, err := adm.DeleteRecords(ctx, cut)
	must(err)
	low, err := adm.ListStartOffsets(ctx, topic)
	must(err)
	high, err := adm.ListEndOffsets(ctx, topic)
	must(err)
	at, err := adm.ListOffsetsAfterMilli(ctx, baseMs+4, topic)
	must(err)
	for _, c := range []struct {
		listed kadm.ListedOffsets
		want   int64
	}{{low, 3}, {high, 5}, {at, 4}} {
		if got, _ := c.listed.Lookup(topic, 0); got.Err != nil || got.Offset != c.want {
			die("offset %d (%v), %d expected", got.Offset, got.Err, c.want)
		}
	}
}

func groups(group string) {
	ctx := context.Background()
	adm := kadm.NewClient(newClient())
	listed, err := adm.ListGroups(ctx)
	must(err)
	if _, there := listed[group]; !there {
		die("not listed")
	}
	described, err := adm.DescribeGroups(ctx, group)
	must(err)
	must(described[group].Err)
	offsets, err := adm.FetchOffsets(ctx, group)
	must(err)
	if len(offsets) == 0 {
		die("no committed offsets")
	}
	_, err = adm.DeleteGroup(ctx, group)
	must(err)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	must(err)
	return n
}

func main() {
	if len(os.Args) < 4 {
		die("HOST:PORT roundtrip|create|produce|member|admin|groups NAME ...")
	}
	name, rest := os.Args[3], os.Args[4:]
	switch os.Args[2] {
	case "roundtrip":
		roundtrip(name, rest[0])
	case "create":
		create(name, int32(number(rest[0])))
	case "produce":
		produce(name, number(rest[0]), number(rest[1]))
	case "member":
		member(name, rest[0])
	case "admin":
		admin(name)
	case "groups":
		groups(name)
	default:
		die("what is %s?", os.Args[2])
	}
}
