/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/sockdiag_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int sockdiag_rows_add(struct sockdiag_rows *rows, const struct nlmsghdr *message)
{
	const size_t size = rows->kind->row_size;
	int r;

	if (rows->max && rows->n == rows->max)
		return -E2BIG;
	if (rows->n == rows->capacity) {
		const size_t capacity = rows->capacity ? 2 * rows->capacity : 64;
		char *at = reallocarray(rows->at, capacity, size);

		if (!at)
			return -ENOMEM;
		rows->at = at;
		rows->capacity = capacity;
	}
	r = rows->kind->decode(message, rows->at + rows->n * size);
	rows->n += r == 0;
	return r < 0 ? r : 0;
}

/* Reads the message that ends an answer. Returns 1, or its error. */
static int sockdiag_rows_read_end(const struct nlmsghdr *message)
{
	/* Both NLMSG_DONE and NLMSG_ERROR begin with an error number; 0 is success. */
	const int *error = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EBADMSG;
	return *error < 0 ? *error : 1;
}

int sockdiag_rows_read(struct sockdiag_rows *rows, const void *datagram, size_t length)
{
	const struct nlmsghdr *message = datagram;
	/* Signed: NLMSG_NEXT() makes it negative after a last message without padding. */
	int64_t left = (int64_t)length;

	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		int r;

		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			rows->disturbed = true;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
			return sockdiag_rows_read_end(message);
		r = sockdiag_rows_add(rows, message);
		if (r < 0)
			return r;
	}
	return 0;
}

static uint64_t sockdiag_rows_cookie(const struct sockdiag_kind *kind, const void *row)
{
	uint64_t cookie;

	memcpy(&cookie, (const char *)row + kind->cookie_at, sizeof(cookie));
	return cookie;
}

static int sockdiag_rows_compare(const void *a, const void *b, void *kind)
{
	const uint64_t x = sockdiag_rows_cookie(kind, a), y = sockdiag_rows_cookie(kind, b);

	return (x > y) - (x < y);
}

void sockdiag_rows_merge(struct sockdiag_rows *rows)
{
	const struct sockdiag_kind *kind = rows->kind;
	const size_t size = kind->row_size;
	size_t n = 0;

	if (rows->n)
		qsort_r(rows->at, rows->n, size, sockdiag_rows_compare, (void *)kind);
	for (size_t i = 0; i < rows->n; i++) {
		const char *row = rows->at + i * size;

		if (n == 0 || sockdiag_rows_compare(rows->at + (n - 1) * size, row, (void *)kind))
			memmove(rows->at + n++ * size, row, size);
	}
	rows->n = n;
}
