// SPDX-License-Identifier: Apache-2.0
//
// Kafka's four codecs over whole buffers (KIP-110 for zstd). The bytes come from strangers, so the
// output is capped before it grows: a bomb costs at most the limit, never what it claims. Snappy is
// accepted raw (librdkafka) and in the xerial framing (the Java client); it is written raw.
//
// XERIAL FRAMING (big-endian): 8 bytes magic 82 'SNAPPY' 00, version u32, compatible u32, then per
// block a length u32 and that many bytes of raw snappy.
#ifndef WEIR_LOG_CODEC_H
#define WEIR_LOG_CODEC_H

#include "base/buf.h"
#include "log/batch.h"

// Appends the plain bytes to out, whose `max` is the cap. ERR_LIMIT, ERR_CORRUPT_MESSAGE,
// ERR_UNSUPPORTED_COMPRESSION_TYPE. After an error the content of out is undefined.
int codec_decompress(enum batch_codec codec, struct slice in, struct buf *out);
// Appends the packed bytes to out. ERR_LIMIT, ERR_UNSUPPORTED_COMPRESSION_TYPE.
int codec_compress(enum batch_codec codec, struct slice in, struct buf *out);

#endif
