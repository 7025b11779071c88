// SPDX-License-Identifier: Apache-2.0
//
// The codecs. gzip and lz4 are streamed in blocks into the growing buffer, so the cap is checked as
// bytes come out. Snappy states its size first; the claim is checked against what its format can
// reach at all before anything is allocated. zstd is unpacked in one shot into a buffer that grows
// fourfold on "too small": one shot needs no window buffer, so a frame that claims a window of
// gigabytes costs nothing, and batches of the Java client's highest levels can still be read (a
// limit on the window would refuse them).
#include "log/codec.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define CODEC_BLOCK_BYTES 65536U
// A copy element of three bytes yields at most 64 (snappy's format description): no input grows
// more.
#define SNAPPY_RATIO_MAX    22U
#define XERIAL_HEADER_BYTES 16U

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

// Room for the next block: at least one byte, at most CODEC_BLOCK_BYTES. NULL when the cap is
// reached.
static uint8_t *block_room(struct buf *out, size_t *out_len)
{
    ASSERT(out->len <= out->max);
    size_t left = out->max - out->len;
    size_t want = left < CODEC_BLOCK_BYTES ? left : CODEC_BLOCK_BYTES;
    if (want == 0) {
        out->err = ERR_LIMIT;
        return NULL;
    }
    *out_len = want;
    return buf_reserve(out, want);
}

static int gunzip_run(z_stream *z, struct buf *out)
{
    for (;;) {
        // One byte more than the cap would need is asked for by the stream's end mark alone, so a
        // full buffer is only an error when more comes.
        uint8_t spare;
        size_t room = 1;
        bool full = out->len == out->max;
        uint8_t *to = full ? &spare : block_room(out, &room);
        if (to == NULL)
            return out->err;
        z->next_out = to;
        z->avail_out = (uInt)room;
        int rc = inflate(z, Z_NO_FLUSH);
        size_t got = room - z->avail_out;
        if (full && got > 0)
            return ERR_LIMIT;
        out->len += got;
        if (rc == Z_STREAM_END)
            return 0;
        if (rc != Z_OK || (got == 0 && z->avail_in == 0))
            return ERR_CORRUPT_MESSAGE;
    }
}

static int gunzip(struct slice in, struct buf *out)
{
    if (in.len > UINT32_MAX)
        return ERR_LIMIT;
    z_stream z = {0};
    if (inflateInit2(&z, 15 + 16) != Z_OK) // 15: largest window, 16: gzip wrapping only
        return ERR_NOMEM;
    z.next_in = (Bytef *)(uintptr_t)in.data; // zlib's interface predates const
    z.avail_in = (uInt)in.len;
    int err = gunzip_run(&z, out);
    inflateEnd(&z);
    return err;
}

static int unsnappy_block(struct slice in, struct buf *out)
{
    size_t plain;
    if (snappy_uncompressed_length((const char *)in.data, in.len, &plain) != SNAPPY_OK)
        return ERR_CORRUPT_MESSAGE;
    if (plain > in.len * SNAPPY_RATIO_MAX)
        return ERR_CORRUPT_MESSAGE;
    if (plain > out->max - out->len)
        return ERR_LIMIT;
    if (plain == 0)
        return 0;
    uint8_t *to = buf_reserve(out, plain);
    if (to == NULL)
        return out->err;
    if (snappy_uncompress((const char *)in.data, in.len, (char *)to, &plain) != SNAPPY_OK)
        return ERR_CORRUPT_MESSAGE;
    out->len += plain;
    return 0;
}

static int unsnappy(struct slice in, struct buf *out)
{
    if (in.len < XERIAL_HEADER_BYTES || memcmp(in.data, xerial_magic, sizeof xerial_magic) != 0)
        return unsnappy_block(in, out);
    size_t at = XERIAL_HEADER_BYTES;
    while (at < in.len) {
        if (in.len - at < 4)
            return ERR_CORRUPT_MESSAGE;
        uint32_t len = be32_get(in.data + at);
        at += 4;
        if (len > in.len - at)
            return ERR_CORRUPT_MESSAGE;
        int err = unsnappy_block(slice_of(in.data + at, len), out);
        if (err != 0)
            return err;
        at += len;
    }
    return 0;
}

static int unlz4_run(LZ4F_dctx *ctx, struct slice in, struct buf *out)
{
    size_t at = 0, hint = 1;
    while (hint != 0) {
        uint8_t spare;
        size_t room = 1;
        bool full = out->len == out->max;
        uint8_t *to = full ? &spare : block_room(out, &room);
        if (to == NULL)
            return out->err;
        size_t taken = in.len - at, got = room;
        hint = LZ4F_decompress(ctx, to, &got, in.data + at, &taken, NULL);
        if (LZ4F_isError(hint))
            return ERR_CORRUPT_MESSAGE;
        if (full && got > 0)
            return ERR_LIMIT;
        at += taken;
        out->len += got;
        if (hint != 0 && taken == 0 && got == 0)
            return ERR_CORRUPT_MESSAGE; // the frame is cut off
    }
    return 0;
}

static int unlz4(struct slice in, struct buf *out)
{
    LZ4F_dctx *ctx;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return ERR_NOMEM;
    int err = unlz4_run(ctx, in, out);
    LZ4F_freeDecompressionContext(ctx);
    return err;
}

// Where the frame states its size it is only a first guess, capped: a claim allocates nothing by
// itself.
static size_t unzstd_guess(struct slice in, size_t max)
{
    size_t guess = in.len < max / 4 ? in.len * 4 : max;
    unsigned long long stated = ZSTD_getFrameContentSize(in.data, in.len);
    if (stated != ZSTD_CONTENTSIZE_ERROR && stated != ZSTD_CONTENTSIZE_UNKNOWN && stated > guess)
        guess = stated < in.len * 16U ? (size_t)stated : guess;
    if (guess < 4096)
        guess = 4096;
    return guess < max ? guess : max;
}

static int unzstd_into(ZSTD_DCtx *ctx, struct slice in, struct buf *out)
{
    size_t max = out->max - out->len;
    for (size_t room = unzstd_guess(in, max);; room = room < max / 4 ? room * 4 : max) {
        uint8_t *to = buf_reserve(out, room);
        if (to == NULL)
            return out->err;
        size_t got = ZSTD_decompressDCtx(ctx, to, room, in.data, in.len);
        if (!ZSTD_isError(got)) {
            out->len += got;
            return 0;
        }
        // ZSTD_error_dstSize_tooSmall; the number is stable (zstd_errors.h).
        bool small = ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall;
        if (!small)
            return ERR_CORRUPT_MESSAGE;
        if (room == max)
            return ERR_LIMIT;
    }
}

static int unzstd(struct slice in, struct buf *out)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (ctx == NULL)
        return ERR_NOMEM;
    int err = unzstd_into(ctx, in, out);
    ZSTD_freeDCtx(ctx);
    return err;
}

static int plain(struct slice in, struct buf *out)
{
    buf_put_slice(out, in);
    return out->err;
}

static int gzip(struct slice in, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return ERR_NOMEM;
    size_t bound = deflateBound(&z, (uLong)in.len);
    uint8_t *to = bound <= UINT32_MAX ? buf_reserve(out, bound) : NULL;
    int err = ERR_LIMIT;
    if (to != NULL) {
        z.next_in = (Bytef *)(uintptr_t)in.data;
        z.avail_in = (uInt)in.len;
        z.next_out = to;
        z.avail_out = (uInt)bound;
        err = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : ERR_LIMIT;
        out->len += bound - z.avail_out;
    }
    deflateEnd(&z);
    return err;
}

static int snappy(struct slice in, struct buf *out)
{
    size_t len = snappy_max_compressed_length(in.len);
    uint8_t *to = buf_reserve(out, len);
    if (to == NULL)
        return out->err;
    if (snappy_compress((const char *)in.data, in.len, (char *)to, &len) != SNAPPY_OK)
        return ERR_LIMIT;
    out->len += len;
    return 0;
}

static int lz4(struct slice in, struct buf *out)
{
    LZ4F_preferences_t prefs = {0};
    prefs.frameInfo.blockMode = LZ4F_blockIndependent; // Kafka's readers know no linked blocks
    prefs.frameInfo.blockSizeID = LZ4F_max64KB;
    size_t bound = LZ4F_compressFrameBound(in.len, &prefs);
    uint8_t *to = buf_reserve(out, bound);
    if (to == NULL)
        return out->err;
    size_t len = LZ4F_compressFrame(to, bound, in.data, in.len, &prefs);
    if (LZ4F_isError(len))
        return ERR_LIMIT;
    out->len += len;
    return 0;
}

static int zstd(struct slice in, struct buf *out)
{
    size_t bound = ZSTD_compressBound(in.len);
    uint8_t *to = buf_reserve(out, bound);
    if (to == NULL)
        return out->err;
    size_t len = ZSTD_compress(to, bound, in.data, in.len, 3);
    if (ZSTD_isError(len))
        return ERR_LIMIT;
    out->len += len;
    return 0;
}

struct codec {
    int (*unpack)(struct slice in, struct buf *out);
    int (*pack)(struct slice in, struct buf *out);
};
static const struct codec codecs[BATCH_CODECS] = {
    [BATCH_NONE] = {plain, plain},       [BATCH_GZIP] = {gunzip, gzip},
    [BATCH_SNAPPY] = {unsnappy, snappy}, [BATCH_LZ4] = {unlz4, lz4},
    [BATCH_ZSTD] = {unzstd, zstd},
};

int codec_decompress(enum batch_codec codec, struct slice in, struct buf *out)
{
    if ((unsigned)codec >= BATCH_CODECS)
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    return codecs[codec].unpack(in, out);
}

int codec_compress(enum batch_codec codec, struct slice in, struct buf *out)
{
    if ((unsigned)codec >= BATCH_CODECS)
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    return codecs[codec].pack(in, out);
}
