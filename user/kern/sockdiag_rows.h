/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to a sock_diag(7) dump as a table: pure, without a socket. For sockdiag_dump.c. */
#pragma once

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What to request, and how to decode it. */
struct sockdiag_kind {
	uint32_t states;    /* 1 << TCP_LISTEN and so on */
	uint8_t extensions; /* 1 << (INET_DIAG_INFO - 1) and so on */
	size_t row_size;
	size_t cookie_at; /* offset of the socket's cookie, uint64_t, in a row */
	/* Decodes a message to a row. Returns 0; 1 to skip the socket; or -EBADMSG. */
	int (*decode)(const struct nlmsghdr *message, void *ret_row);
};

struct sockdiag_rows {
	const struct sockdiag_kind *kind;
	char *at; /* @n rows; NULL if there has been none */
	size_t n;
	size_t capacity;
	size_t max;     /* more are -E2BIG; 0 = no limit */
	bool disturbed; /* the kernel says that the answer is not consistent */
};

/* Adds the rows of one datagram, which is aligned as a struct nlmsghdr. Returns 1 if it ends the
 * answer, 0 if not; the error that the kernel answers with; -EBADMSG, -E2BIG or -ENOMEM. */
int sockdiag_rows_read(struct sockdiag_rows *rows, const void *datagram, size_t length);

/* Sorts the rows by cookie and drops duplicates. */
void sockdiag_rows_merge(struct sockdiag_rows *rows);
