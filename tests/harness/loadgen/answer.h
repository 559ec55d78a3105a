/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An HTTP/1.x answer as it comes in: whether all of it is there, and which worker gave it. Touches
 * no socket. It is not for TLS, HTTP/2, pipelining or trailers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX 4096 /* bytes of an answer that are looked at; its head must fit */

enum answer_state {
	ANSWER_PART,
	ANSWER_WHOLE,
	ANSWER_BAD, /* no HTTP, a head that is too long, or a status that is not 200 */
};

struct answer {
	char text[ANSWER_MAX + 1];
	size_t len;        /* bytes kept in text */
	uint64_t received; /* bytes that came */
	size_t head_len;   /* with the empty line; 0 until the whole head is there */
	int64_t body_len;  /* Content-Length, -1: none */
	char tail[7];      /* the last bytes that came */
	bool chunked;      /* the body comes in chunks */
	bool last_on_line; /* the server said that it closes after this one */
};

void answer_reset(struct answer *answer);

enum answer_state answer_add(struct answer *answer, const char *data, size_t len);

/* Without Content-Length and chunks the end of the connection is the end of the answer. */
bool answer_ends_at_eof(const struct answer *answer);

/* Who answered: the header X-Worker, or the first bytes of the body. */
const char *answer_worker(const struct answer *answer, size_t *ret_len);
