// SPDX-License-Identifier: Apache-2.0
//
// Socket addresses as text. Only numeric addresses are understood: names are resolved by main,
// before any actor runs, since a resolver blocks. inet_pton decides what an address is; writing
// that parser again would buy nothing.
#include "io/io.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "io/io_int.h"

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool io_addr_is_v4(const struct io_addr *addr)
{
    return memcmp(addr->ip, v4_prefix, sizeof v4_prefix) == 0;
}

static int port_parse(const char *text, uint16_t *out)
{
    uint32_t port = 0;
    if (*text == '\0')
        return ERR_INVALID;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return ERR_INVALID;
        port = port * 10 + (uint32_t)(*text - '0');
        if (port > UINT16_MAX)
            return ERR_INVALID;
    }
    *out = (uint16_t)port;
    return 0;
}

int io_addr_parse(const char *text, struct io_addr *out)
{
    struct io_addr addr = {0};
    char host[INET6_ADDRSTRLEN];
    bool v6 = text[0] == '[';
    const char *begin = v6 ? text + 1 : text;
    const char *end = strchr(begin, v6 ? ']' : ':');
    if (end == NULL || (v6 && end[1] != ':') || (size_t)(end - begin) >= sizeof host)
        return ERR_INVALID;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (port_parse(end + (v6 ? 2 : 1), &addr.port) != 0)
        return ERR_INVALID;
    if (!v6)
        memcpy(addr.ip, v4_prefix, sizeof v4_prefix);
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, v6 ? addr.ip : addr.ip + 12) != 1)
        return ERR_INVALID;
    *out = addr;
    return 0;
}

void io_addr_text(const struct io_addr *addr, char out[IO_ADDR_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool v4 = io_addr_is_v4(addr);
    (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr->ip + 12 : addr->ip, host, sizeof host);
    (void)snprintf(out, IO_ADDR_TEXT_SIZE, v4 ? "%s:%u" : "[%s]:%u", host, (unsigned)addr->port);
}

bool io_addr_is_loopback(const struct io_addr *addr)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    if (io_addr_is_v4(addr))
        return addr->ip[12] == 127;
    return memcmp(addr->ip, v6_loopback, sizeof v6_loopback) == 0;
}
