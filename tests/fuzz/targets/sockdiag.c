/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams of the kernel with listeners or connections. The first byte chooses, and whether there
 * is a limit. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/connection.h"
#include "core/listener.h"
#include "fuzz.h"
#include "kern/sockdiag.h"
#include "kern/sockdiag_conn.h"
#include "kern/sockdiag_rows.h"

static int decode_listener(const struct nlmsghdr *message, void *ret)
{
	struct listener *listener = ret;
	const int r = sockdiag_decode_listener(message, listener);

	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	FUZZ_CHECK(r != 0 || listener->endpoint.family == AF_INET ||
	           listener->endpoint.family == AF_INET6);
	return r;
}

static int decode_connection(const struct nlmsghdr *message, void *ret)
{
	const int r = sockdiag_conn_decode(message, ret);

	FUZZ_CHECK(r == 0 || r == 1 || r == -EBADMSG);
	return r;
}

static const struct sockdiag_kind kinds[] = {
        {.row_size = sizeof(struct listener),
         .cookie_at = offsetof(struct listener, cookie),
         .decode = decode_listener},
        {.row_size = sizeof(struct connection),
         .cookie_at = offsetof(struct connection, cookie),
         .decode = decode_connection},
};

static uint64_t cookie_of(const struct sockdiag_rows *rows, size_t i)
{
	uint64_t cookie;

	memcpy(&cookie, rows->at + i * rows->kind->row_size + rows->kind->cookie_at,
	       sizeof(cookie));
	return cookie;
}

static void run(const char *text, size_t size)
{
	struct sockdiag_rows rows = {.kind = &kinds[text[0] & 1], .max = text[0] & 2 ? 2 : 0};
	void *datagram;
	int r;

	if (!size)
		return;
	datagram = malloc(size - 1);
	memcpy(datagram, text + 1, size - 1);
	r = sockdiag_rows_read(&rows, datagram, size - 1);
	FUZZ_CHECK(r <= 1);
	FUZZ_CHECK(!rows.max || rows.n <= rows.max);
	FUZZ_CHECK(rows.n <= (size - 1) / NLMSG_LENGTH(sizeof(struct inet_diag_msg)));
	sockdiag_rows_merge(&rows);
	for (size_t i = 1; i < rows.n; i++)
		FUZZ_CHECK(cookie_of(&rows, i - 1) < cookie_of(&rows, i));
	free(rows.at);
	free(datagram);
}

const struct fuzz_target fuzz_target = {run, 8};
